#include "node_vdf.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "crypto.h"

#define VDF_NICE    19
#define VDF_LOOK_NS (UINT64_C(500) * 1000000) /* between two looks at the ledger */
#define NS_A_MS     UINT64_C(1000000)
#define NS_A_S      UINT64_C(1000000000)

struct node_vdf {
    struct node_vdf_options options;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool woken; /* under the lock */
    bool joined; /* of who stops it */
    atomic_bool quit;
    atomic_bool computing;
    _Atomic uint64_t computed, given_up, busy_ns;
    _Atomic uint64_t blocks; /* told of */
    /* The thread's own. */
    struct ledger_vdf_task task; /* the last one seen; index 0: none */
    uint64_t seen_ns; /* since when */
    uint64_t seen_blocks; /* what blocks was then */
    uint8_t output[CRYPTO_VDF_ELEMENT_BYTES], proof[CRYPTO_VDF_ELEMENT_BYTES];
    bool computed_it; /* these are its link's */
    bool done; /* it was handed over */
    uint64_t nudge_ns,
        nudge_blocks; /* when, and at which blocks, another block is to be asked for */
    uint64_t looked_ns;
};

/* --- waiting --------------------------------------------------------------------------------------------- */

/* Until woken or the time has come; UINT64_MAX: for ever. heed_wakes false: only the end of the node is heeded. */
static void vdf_wait(struct node_vdf *vdf, uint64_t until_ns, bool heed_wakes)
{
    const struct timespec end = {.tv_sec = (time_t)(until_ns / NS_A_S),
                                 .tv_nsec = (long)(until_ns % NS_A_S)};
    int rc = 0;

    pthread_mutex_lock(&vdf->lock);
    while (!atomic_load(&vdf->quit) && !(heed_wakes && vdf->woken) && rc != ETIMEDOUT)
        rc = until_ns == UINT64_MAX ? pthread_cond_wait(&vdf->changed, &vdf->lock)
                                    : pthread_cond_timedwait(&vdf->changed, &vdf->lock, &end);
    if (heed_wakes)
        vdf->woken = false;
    pthread_mutex_unlock(&vdf->lock);
}

static void vdf_wake(struct node_vdf *vdf)
{
    pthread_mutex_lock(&vdf->lock);
    vdf->woken = true;
    pthread_cond_broadcast(&vdf->changed);
    pthread_mutex_unlock(&vdf->lock);
}

/* By the clock that condition variables wait by. */
static uint64_t vdf_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_A_S + (uint64_t)now.tv_nsec;
}

/* --- computing ------------------------------------------------------------------------------------------- */

static bool vdf_same(const struct ledger_vdf_task *a, const struct ledger_vdf_task *b)
{
    return a->index == b->index && a->steps == b->steps &&
           memcmp(a->input, b->input, sizeof(a->input)) == 0;
}

/* As crypto_vdf_stop: the node ends, or the link is not due any more. */
static bool vdf_stop(void *ctx)
{
    struct node_vdf *vdf = ctx;
    struct ledger_vdf_task now;
    uint64_t now_ns = vdf_now();

    if (atomic_load(&vdf->quit))
        return true;
    if (now_ns - vdf->looked_ns < VDF_LOOK_NS)
        return false;
    vdf->looked_ns = now_ns;
    return vdf->options.task(vdf->options.ctx, &now) != 0 || !vdf_same(&now, &vdf->task);
}

static int vdf_compute(struct node_vdf *vdf, struct hm_error *error)
{
    const struct ledger_vdf_task *task = &vdf->task;
    uint64_t from_ns = vdf_now(), took_ns;
    int rc;

    atomic_store(&vdf->computing, true);
    rc = crypto_vdf_eval(task->input, task->steps, vdf_stop, vdf, vdf->output, error);
    if (rc == 0)
        rc = crypto_vdf_prove(task->input, task->steps, vdf->output, vdf_stop, vdf, vdf->proof,
                              error);
    atomic_store(&vdf->computing, false);
    took_ns = vdf_now() - from_ns;
    atomic_fetch_add(&vdf->busy_ns, took_ns);
    vdf->computed_it = rc == 0;
    if (rc != 0)
        return rc;
    atomic_fetch_add(&vdf->computed, 1);
    hm_log(HM_LOG_INFO, "node",
           "link %" PRIu64 " of the chain of delays: %" PRIu64 " squarings and their proof in "
           "%" PRIu64 " ms",
           task->index, task->steps, took_ns / NS_A_MS);
    return 0;
}

static void vdf_nudge_later(struct node_vdf *vdf)
{
    vdf->nudge_ns = vdf_now() + vdf->options.nudge_ms * NS_A_MS;
    vdf->nudge_blocks = atomic_load(&vdf->blocks) + NODE_VDF_NUDGE_BLOCKS;
}

static void vdf_nudge(struct node_vdf *vdf)
{
    if (vdf_now() < vdf->nudge_ns || atomic_load(&vdf->blocks) < vdf->nudge_blocks)
        return;
    vdf->options.nudge(vdf->options.ctx);
    vdf_nudge_later(vdf);
}

/* What the engine does not take now is offered again after the next block. */
static void vdf_make(struct node_vdf *vdf)
{
    struct hm_error error = {0};
    int rc = vdf->computed_it ? 0 : vdf_compute(vdf, &error);

    if (rc == HM_ECANCELLED) {
        atomic_fetch_add(&vdf->given_up, 1);
        return;
    }
    if (rc == 0)
        rc = vdf->options.offer(vdf->options.ctx, vdf->task.index,
                                hm_slice_of(vdf->output, sizeof(vdf->output)),
                                hm_slice_of(vdf->proof, sizeof(vdf->proof)), &error);
    vdf->done = rc == 0;
    vdf_nudge_later(vdf);
    if (rc != 0)
        hm_log(HM_LOG_WARN, "node", "link %" PRIu64 " of the chain of delays: %s", vdf->task.index,
               error.text);
}

/* --- the thread ------------------------------------------------------------------------------------------- */

/* Computes when it is time to; until when there is nothing to do. */
static uint64_t vdf_look(struct node_vdf *vdf)
{
    struct ledger_vdf_task task;
    uint64_t now_ns = vdf_now(), begin_ns;
    size_t turn;

    vdf->looked_ns = now_ns;
    if (vdf->options.task(vdf->options.ctx, &task) != 0)
        return UINT64_MAX;
    if (!vdf_same(&task, &vdf->task)) {
        vdf->task = task;
        vdf->seen_ns = now_ns;
        vdf->seen_blocks = atomic_load(&vdf->blocks);
        vdf->computed_it = vdf->done = false;
    }
    if (vdf->done) {
        vdf_nudge(vdf);
        return UINT64_MAX;
    }
    turn = vdf->options.turn(vdf->options.ctx, &task);
    if (turn == SIZE_MAX)
        return UINT64_MAX;
    begin_ns = vdf->seen_ns + turn * vdf->options.turn_ms * NS_A_MS;
    if (now_ns < begin_ns)
        return begin_ns;
    if (atomic_load(&vdf->blocks) - vdf->seen_blocks < turn * NODE_VDF_TURN_BLOCKS)
        return UINT64_MAX;
    vdf_make(vdf);
    return UINT64_MAX;
}

static void *vdf_main(void *arg)
{
    struct node_vdf *vdf = arg;

    pthread_setname_np(pthread_self(), "hm-vdf");
    /* Of this thread alone; where it may not be, it computes like the others. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), VDF_NICE);
    while (!atomic_load(&vdf->quit)) {
        uint64_t until_ns = vdf_look(vdf);

        vdf_wait(vdf, vdf->looked_ns + VDF_LOOK_NS, false); /* however many blocks there are */
        vdf_wait(vdf, until_ns, true);
    }
    return NULL;
}

int node_vdf_open(const struct node_vdf_options *options, struct node_vdf **out,
                  struct hm_error *error)
{
    struct node_vdf *vdf = hm_calloc(1, sizeof(*vdf));
    pthread_condattr_t attr;

    if (vdf == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the chain of delays");
    vdf->options = *options;
    if (vdf->options.turn_ms == 0)
        vdf->options.turn_ms = NODE_VDF_TURN_MS;
    if (vdf->options.nudge_ms == 0)
        vdf->options.nudge_ms = NODE_VDF_NUDGE_MS;
    vdf->woken = true;
    pthread_mutex_init(&vdf->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&vdf->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&vdf->thread, NULL, vdf_main, vdf) != 0) {
        pthread_cond_destroy(&vdf->changed);
        pthread_mutex_destroy(&vdf->lock);
        hm_free(vdf);
        return hm_fail(error, HM_ENOMEM, "no thread for the chain of delays");
    }
    *out = vdf;
    return 0;
}

void node_vdf_stop(struct node_vdf *vdf)
{
    atomic_store(&vdf->quit, true);
    vdf_wake(vdf);
    if (!vdf->joined)
        pthread_join(vdf->thread, NULL);
    vdf->joined = true;
}

void node_vdf_close(struct node_vdf *vdf)
{
    if (vdf == NULL)
        return;
    node_vdf_stop(vdf);
    pthread_cond_destroy(&vdf->changed);
    pthread_mutex_destroy(&vdf->lock);
    hm_free(vdf);
}

void node_vdf_saw_block(struct node_vdf *vdf)
{
    if (vdf == NULL)
        return;
    atomic_fetch_add(&vdf->blocks, 1);
    vdf_wake(vdf);
}

void node_vdf_get_stats(struct node_vdf *vdf, struct node_vdf_stats *out)
{
    *out = (struct node_vdf_stats){.computed = atomic_load(&vdf->computed),
                                   .given_up = atomic_load(&vdf->given_up),
                                   .busy_ns = atomic_load(&vdf->busy_ns),
                                   .computing = atomic_load(&vdf->computing)};
}
