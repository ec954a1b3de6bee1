/* The main flow: place, lease, run, settle. One thread a job; every step leaves a record that a restart can
 * finish from. */
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#include "node_job.h"
#include "node_notes.h"
#include "sched.h"

/* The lease outlasts the job's own timeout by this much, so that its settlement reaches the ledger. Time not
 * used is not paid. */
#define NODE_LEASE_GRACE_MS  UINT64_C(10000)
#define NODE_PLACE_RETRY_MS  1000
#define NODE_SETTLE_TRIES    5
#define NODE_SETTLE_RETRY_MS 1000

/* --- place and lease --------------------------------------------------------------------------------------- */

static int node_share_for(const Hypermesh__Asset *asset, uint64_t amount, uint32_t *share_ppm,
                          struct hm_error *error)
{
    const struct asset_adapter *adapter = asset_adapter_of(asset->kind);

    if (adapter == NULL)
        return hm_fail(error, HM_EUNSUPPORTED, "leasing %s is not supported yet",
                       wire_asset_kind_name(asset->kind));
    return adapter->share_for(asset, amount, share_ppm, error);
}

/* Every active asset, page by page; one more than placement takes is enough for it to refuse. A cluster's ledger has
 * other machines' assets too, where this node cannot run anything: there only what it registered itself counts. */
static int node_assets_all(const struct node *node, struct ledger_view *view,
                           struct hm_arena *arena, Hypermesh__Asset ***out, size_t *count,
                           struct hm_error *error)
{
    const struct ledger_asset_filter filter = {.owner = node->options.cluster ? node->operator_id
                                                                              : NULL};
    Hypermesh__Asset **list = NULL, **page;
    const uint8_t *after = NULL;
    size_t found = 0, room = 0, got;

    do {
        int rc = ledger_view_assets(view, &filter, after, LEDGER_PAGE_MAX, arena, &page, &got,
                                    error);
        if (rc != 0)
            return rc;
        if (found + got > room) { /* in the arena: doubling keeps what is left behind small */
            Hypermesh__Asset **longer;

            room = (found + got) * 2;
            longer = hm_arena_alloc(arena, room * sizeof(*longer) + 1);
            if (longer == NULL)
                return hm_fail(error, HM_ENOMEM, "no memory for a list of %zu assets", found + got);
            if (found > 0)
                memcpy(longer, list, found * sizeof(*longer));
            list = longer;
        }
        if (got > 0)
            memcpy(list + found, page, got * sizeof(*page));
        found += got;
        after = got > 0 ? page[got - 1]->id.data : NULL;
    } while (got == LEDGER_PAGE_MAX && found <= SCHED_ASSETS_MAX);
    *out = list;
    *count = found;
    return 0;
}

/* Who asks, and for how long; the snapshot in which the ledger is asked. */
struct node_asker {
    struct ledger_view *view;
    const uint8_t *consumer;
    uint64_t duration_ms;
};

static bool node_admits(void *ctx, const Hypermesh__Asset *asset)
{
    const struct node_asker *asker = ctx;

    return ledger_view_admits(asker->view, asset, asker->consumer, 0, asker->duration_ms, NULL) ==
           0;
}

static int node_place(struct node_job *job, struct hm_arena *arena, struct sched_placement *out,
                      struct hm_error *error)
{
    struct node_asker asker = {.consumer = job->record.consumer.data,
                               .duration_ms = job->record.spec->timeout_ms + NODE_LEASE_GRACE_MS};
    struct sched_snapshot snapshot = {.admits = node_admits,
                                      .admits_ctx = &asker,
                                      .share_for = node_share_for,
                                      .grace_ms = NODE_LEASE_GRACE_MS,
                                      .pids_per_slot = ASSET_SLOT_PIDS};
    struct ledger_view *view;
    Hypermesh__Params *params;
    Hypermesh__Asset **assets = NULL;

    int rc = ledger_view_open(job->node->ledger, &view, error);
    if (rc != 0)
        return rc;
    rc = ledger_view_params(view, arena, &params, error);
    if (rc == 0)
        rc = node_assets_all(job->node, view, arena, &assets, &snapshot.count, error);
    if (rc == 0) {
        asker.view = view;
        snapshot.assets = assets;
        snapshot.default_max_leases = params->max_leases_per_asset;
        snapshot.default_max_duration_ms = params->max_lease_ms;
        rc = sched_place(&snapshot, job->record.spec, out, error);
    }
    ledger_view_close(view);
    return rc;
}

void node_job_digest(const Hypermesh__JobSpec *spec, uint8_t out[CRYPTO_HASH_BYTES])
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    memset(out, 0, CRYPTO_HASH_BYTES);
    if (wire_pack(&spec->base, &bytes) == 0)
        crypto_hash(bytes.data, bytes.len, out);
}

static int node_allocate(struct node_job *job, const struct sched_placement *placement,
                         struct engine_receipt *receipt, struct hm_error *error)
{
    Hypermesh__Allocate allocate = HYPERMESH__ALLOCATE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Operation *ops[] = {&op};
    Hypermesh__LeaseItem items[SCHED_ITEMS_MAX];
    Hypermesh__LeaseItem *pointers[SCHED_ITEMS_MAX];
    uint8_t digest[CRYPTO_HASH_BYTES];

    for (size_t i = 0; i < placement->count; i++) {
        hypermesh__lease_item__init(&items[i]);
        items[i].asset = placement->items[i].asset->id;
        items[i].share_ppm = placement->items[i].share_ppm;
        items[i].max_price_per_hour = placement->items[i].asset->price_per_hour;
        pointers[i] = &items[i];
    }
    node_job_digest(job->record.spec, digest);
    allocate.n_items = placement->count;
    allocate.items = pointers;
    allocate.duration_ms = job->record.spec->timeout_ms + NODE_LEASE_GRACE_MS;
    allocate.job = wire_bytes(digest, sizeof(digest));
    op.op_case = HYPERMESH__OPERATION__OP_ALLOCATE;
    op.allocate = &allocate;
    return node_wallet_submit(job->node, job->account, ops, HM_COUNT_OF(ops), receipt, error);
}

/* Room is counted from the attempt on: a rival's lease may be on the ledger before its job knows. *ended tells
 * node_wait_for_room whether a lease ended since. */
static void node_lease_attempt(struct node *node, uint64_t *ended)
{
    pthread_mutex_lock(&node->jobs.lock);
    node->jobs.leased++;
    *ended = node->jobs.leases_ended;
    pthread_mutex_unlock(&node->jobs.lock);
}

static void node_lease_missed(struct node *node)
{
    pthread_mutex_lock(&node->jobs.lock);
    node->jobs.leased--;
    pthread_mutex_unlock(&node->jobs.lock);
}

static void node_lease_ended(struct node *node)
{
    pthread_mutex_lock(&node->jobs.lock);
    node->jobs.leased--;
    node->jobs.leases_ended++;
    pthread_cond_broadcast(&node->jobs.room);
    pthread_mutex_unlock(&node->jobs.lock);
}

/* Waits until another job's lease ends, unless one has since the attempt; false: none is there that could make
 * room. */
static bool node_wait_for_room(struct node_job *job, uint64_t ended)
{
    struct node_jobs *jobs = &job->node->jobs;
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += NODE_PLACE_RETRY_MS / 1000;
    pthread_mutex_lock(&jobs->lock);
    bool made = jobs->leases_ended != ended;
    bool others = (jobs->leased > 0 || made) && !jobs->stopping;
    if (others && !made && !node_job_cancelled(job))
        pthread_cond_timedwait(&jobs->room, &jobs->lock, &until);
    pthread_mutex_unlock(&jobs->lock);
    return others;
}

static int node_remember(struct node_job *job, ProtobufCBinaryData *field, const void *data,
                         size_t len)
{
    void *copy = hm_arena_dup(&job->arena, data, len);

    if (copy == NULL)
        return HM_ENOMEM;
    *field = wire_bytes(copy, len);
    return 0;
}

static int node_try_lease(struct node_job *job, struct engine_receipt *receipt,
                          struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct sched_placement placement;

    hm_arena_init(&arena, 0);
    if (node_job_cancelled(job))
        return hm_fail(error, HM_ECANCELLED, "cancelled before it started");
    int rc = node_place(job, &arena, &placement, error);
    return rc != 0 ? rc : node_allocate(job, &placement, receipt, error);
}

/* Tries until there is room, while other jobs of this node hold what is needed. Those that wait try one after the
 * other: at once, all but one would pay the fee of a refused transaction. */
static int node_job_find_room(struct node_job *job, struct engine_receipt *receipt,
                              struct hm_error *error)
{
    pthread_mutex_t *placing = &job->node->jobs.placing;
    uint64_t ended;
    int rc;

    node_lease_attempt(job->node, &ended);
    rc = node_try_lease(job, receipt, error);
    /* HM_ECONFLICT: another took the share between the choice and the block. */
    while (rc == HM_EUNAVAILABLE || rc == HM_ECONFLICT) {
        node_lease_missed(job->node);
        if (!node_wait_for_room(job, ended))
            return rc;
        pthread_mutex_lock(placing);
        node_lease_attempt(job->node, &ended);
        rc = node_try_lease(job, receipt, error);
        pthread_mutex_unlock(placing);
    }
    if (rc != 0)
        node_lease_missed(job->node);
    return rc;
}

static int node_job_lease(struct node_job *job, struct hm_error *error)
{
    struct engine_receipt *receipt = hm_arena_alloc(&job->arena, sizeof(*receipt));

    if (receipt == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a receipt");
    int rc = node_job_find_room(job, receipt, error);
    if (rc != 0)
        return rc;
    if (receipt->created_count != 1)
        rc = hm_fail(error, HM_EINTERNAL, "an allocation made %zu leases", receipt->created_count);
    else if (node_remember(job, &job->record.lease, receipt->created[0], WIRE_ID_BYTES) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for a receipt");
    if (rc != 0) {
        node_lease_missed(job->node);
        return rc;
    }
    if (node_remember(job, &job->record.allocate_tx, receipt->digest, CRYPTO_HASH_BYTES) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a receipt");
    job->record.state = HYPERMESH__JOB_STATE__JOB_LEASED;
    return 0;
}

/* --- run ---------------------------------------------------------------------------------------------------------- */

static void node_job_started(void *ctx, int pid)
{
    struct node_job *job = ctx;

    (void)pid;
    job->record.started_ms = hm_wall_ms(job->node->options.clock);
    job->record.state = HYPERMESH__JOB_STATE__JOB_RUNNING;
    node_job_save(job);
}

static void node_job_output(void *ctx, uint64_t log_bytes)
{
    struct node_job *job = ctx;

    pthread_mutex_lock(&job->node->jobs.lock);
    job->log_bytes = log_bytes;
    pthread_cond_broadcast(&job->node->jobs.changed);
    pthread_mutex_unlock(&job->node->jobs.lock);
}

static int node_job_find_lease(struct node *node, const Hypermesh__JobRecord *record,
                               struct hm_arena *arena, Hypermesh__Lease **out,
                               struct hm_error *error)
{
    struct ledger_view *view;
    int rc = ledger_view_open(node->ledger, &view, error);

    if (rc != 0)
        return rc;
    rc = ledger_view_lease(view, record->lease.data, arena, out, error);
    ledger_view_close(view);
    return rc;
}

/* Keeps what the sandbox reports; texts go into the job's arena. */
static void node_job_report(struct node_job *job, const struct runtime_job_result *result)
{
    Hypermesh__JobRecord *record = &job->record;
    Hypermesh__JobUsage *usage = hm_arena_dup(&job->arena, &result->usage, sizeof(result->usage));
    char **warnings = hm_arena_alloc(&job->arena, (result->warning_count + 1) * sizeof(*warnings));

    record->outcome = result->outcome;
    record->exit_code = result->exit_code;
    record->reason = hm_arena_strdup(&job->arena, result->reason);
    record->sandbox = hm_arena_strdup(&job->arena, result->sandbox);
    if (record->reason == NULL || record->sandbox == NULL || usage == NULL || warnings == NULL) {
        record->reason = record->sandbox = (char *)(uintptr_t)("");
        return;
    }
    record->usage = usage;
    if (result->has_result)
        node_remember(job, &record->result, result->result, CRYPTO_HASH_BYTES);
    for (size_t i = 0; i < result->warning_count; i++) {
        warnings[i] = hm_arena_strdup(&job->arena, result->warnings[i]);
        if (warnings[i] == NULL)
            return;
        record->n_warnings = i + 1;
    }
    record->warnings = warnings;
}

/* Before the result is on the ledger, where anybody may ask what it was made of. Without it a challenge is lost, but
 * the job's owner has his outputs: so it settles all the same. */
static void node_job_keep(struct node_job *job, const struct runtime_job_result *result)
{
    HM_CLEANUP(hm_buf) struct hm_buf spec = {0};
    struct hm_error error = {0};
    int rc = wire_pack(&job->record.spec->base, &spec);

    if (rc == 0)
        rc = node_result_keep(job->node, job->record.lease.data, hm_buf_slice(&spec),
                              hm_slice_of(result->manifest, result->manifest_len), &error);
    if (rc != 0)
        hm_log(HM_LOG_ERROR, "node", "job %s: what its result is made of is not kept: %s", job->id,
               error.text);
}

/* Readable when the job is cancelled, and when its lease is about to end: what a slow start took of it is not the
 * job's any more. -1: none could be made. */
static int node_job_stop_fd(const struct node_job *job, const Hypermesh__Lease *lease, int *timer)
{
    const uint64_t at_ms = lease->expires_ms - NODE_LEASE_GRACE_MS / 2;
    const struct itimerspec at = {.it_value = {.tv_sec = (time_t)(at_ms / 1000), .tv_nsec = 1}};
    HM_AUTOCLOSE int both = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};

    *timer = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (both < 0 || *timer < 0 || timerfd_settime(*timer, TFD_TIMER_ABSTIME, &at, NULL) != 0 ||
        epoll_ctl(both, EPOLL_CTL_ADD, job->cancel_fd, &event) != 0 ||
        epoll_ctl(both, EPOLL_CTL_ADD, *timer, &event) != 0)
        return -1;
    return HM_TAKE_FD(both);
}

static int node_job_execute(struct node_job *job, struct hm_error *error)
{
    HM_AUTOCLOSE int stop_fd = -1;
    HM_AUTOCLOSE int timer = -1;
    struct node *node = job->node;
    Hypermesh__SandboxLimits limits;
    struct runtime_job_result *result = hm_arena_alloc(&job->arena, sizeof(*result));
    char folder[NODE_PATH_MAX_BYTES];
    Hypermesh__Lease *lease;

    if (result == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a job's result");
    node_job_folder(node, job->id, folder);
    int rc = node_job_find_lease(node, &job->record, &job->arena, &lease, error);
    if (rc == 0)
        rc = node_remember(job, &job->record.provider, lease->provider.data, lease->provider.len);
    if (rc == 0)
        rc = node_lease_limits(node, lease, &job->arena, &limits, error);
    if (rc != 0)
        return rc;
    stop_fd = node_job_stop_fd(job, lease, &timer);
    if (stop_fd < 0)
        return hm_fail_errno(error, HM_EIO, "no descriptors for a job");
    const struct runtime_job_request request = {.id = job->id,
                                                .spec = job->record.spec,
                                                .limits = &limits,
                                                .dir = folder,
                                                .cancel_fd = stop_fd,
                                                .started = node_job_started,
                                                .output = node_job_output,
                                                .ctx = job};
    struct node_gpu_watch *watch = node_gpu_watch_start(node, lease);
    rc = runtime_job_run(node->images, &node->machine, &request, result, error);
    result->usage.gpu_ns = node_gpu_watch_stop(watch);
    if (rc == 0 && result->outcome == HYPERMESH__JOB_OUTCOME__CANCELLED &&
        !node_job_cancelled(job)) {
        result->outcome = HYPERMESH__JOB_OUTCOME__TIMED_OUT;
        snprintf(result->reason, sizeof(result->reason),
                 "its lease ended: the job took too long to start");
    }
    if (rc == 0)
        node_job_report(job, result);
    if (rc == 0 && result->has_result)
        node_job_keep(job, result);
    return rc;
}

/* --- settle --------------------------------------------------------------------------------------------------------- */

int node_job_settle(struct node *node, Hypermesh__JobRecord *record,
                    const Hypermesh__JobUsage *used, struct hm_arena *arena, struct hm_error *error)
{
    Hypermesh__Settle settle = HYPERMESH__SETTLE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Operation *ops[] = {&op};
    struct engine_receipt *receipt = hm_arena_alloc(arena, sizeof(*receipt));
    Hypermesh__Lease *lease;

    if (receipt == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a settlement");
    int rc = node_job_find_lease(node, record, arena, &lease, error);
    if (rc != 0)
        return rc;
    if (lease->state != HYPERMESH__LEASE_STATE__LEASE_ACTIVE)
        return hm_fail(error, HM_ECONFLICT, "the lease has ended already: %s",
                       wire_lease_state_name(lease->state));
    settle.lease = record->lease;
    settle.result = record->result;
    settle.exit_code = record->exit_code;
    settle.outcome = record->outcome;
    rc = node_lease_usage(node, lease, used, arena, &settle.usage, &settle.n_usage, error);
    if (rc != 0)
        return rc;
    op.op_case = HYPERMESH__OPERATION__OP_SETTLE;
    op.settle = &settle;
    rc = node_wallet_submit(node, NODE_OPERATOR, ops, HM_COUNT_OF(ops), receipt, error);
    if (rc == 0) {
        record->settle_tx = wire_bytes(receipt->digest, CRYPTO_HASH_BYTES);
        engine_receipt_release(receipt);
    }
    return rc;
}

/* The four proofs of the allocation, checked again and timed, for the user to see. */
static void node_job_proofs(struct node_job *job)
{
    struct node *node = job->node;
    struct ledger_view *view;
    Hypermesh__ProofReport *reports;

    if (ledger_view_open(node->ledger, &view, NULL) != 0)
        return;
    if (node_proofs_of_tx(node, view, job->record.allocate_tx.data, &job->arena, &reports, NULL) ==
        0) {
        Hypermesh__ProofReport **list = hm_arena_alloc(&job->arena,
                                                       LEDGER_PROOF_COUNT * sizeof(*list));

        for (size_t i = 0; list != NULL && i < LEDGER_PROOF_COUNT; i++) {
            list[i] = &reports[i];
            job->record.n_proofs = i + 1;
        }
        job->record.proofs = list;
    }
    ledger_view_close(view);
}

static void node_job_fail(struct node_job *job, int code, const struct hm_error *error)
{
    job->record.outcome = code == HM_ECANCELLED ? HYPERMESH__JOB_OUTCOME__CANCELLED
                                                : HYPERMESH__JOB_OUTCOME__FAILED;
    job->record.exit_code = -1;
    job->record.reason = hm_arena_strdup(&job->arena, error->text);
    if (job->record.reason == NULL)
        job->record.reason = (char *)(uintptr_t)("");
}

/* Tries again while that may help: a lease that is not settled is paid whole. In a cluster without enough nodes that is until
 * they are back, or until this node stops: its next start settles. */
static int node_job_settle_surely(struct node_job *job, struct hm_error *error)
{
    Hypermesh__JobUsage nothing = HYPERMESH__JOB_USAGE__INIT;
    struct pollfd quit = {.fd = job->node->quit_fd, .events = POLLIN};
    struct engine_status engine;
    int rc;

    for (unsigned attempt = 1;; attempt++) {
        rc = node_job_settle(job->node, &job->record,
                             job->record.usage != NULL ? job->record.usage : &nothing, &job->arena,
                             error);
        engine_get_status(job->node->engine, &engine);
        if (rc == 0 || rc == HM_ECONFLICT || engine.failed)
            return rc;
        if (node_engine_is_late(job->node, rc)) {
            if (node_quitting(job->node))
                return rc;
            attempt = 0;
        } else if (attempt == NODE_SETTLE_TRIES) {
            return rc;
        }
        poll(&quit, 1, NODE_SETTLE_RETRY_MS);
    }
}

/* False: the ledger has stopped, or takes nothing for now, and the next start of the node must settle. */
static bool node_job_close_lease(struct node_job *job)
{
    struct engine_status engine;
    struct hm_error error = {0};

    job->record.state = HYPERMESH__JOB_STATE__JOB_SETTLING;
    node_job_save(job);
    int rc = node_job_settle_surely(job, &error);
    if (rc != 0) {
        hm_log(HM_LOG_WARN, "node", "job %s: its lease is not settled: %s", job->id, error.text);
        if (job->record.reason[0] == '\0')
            job->record.reason = hm_arena_printf(&job->arena, "not settled: %s", error.text);
    }
    node_lease_ended(job->node);
    engine_get_status(job->node->engine, &engine);
    return rc == 0 || rc == HM_ECONFLICT || (!engine.failed && !node_engine_is_late(job->node, rc));
}

void *node_job_main(void *arg)
{
    struct node_job *job = arg;
    struct hm_error error = {0};
    int rc = node_job_lease(job, &error);

    if (rc == 0 && node_job_cancelled(job))
        rc = hm_fail(&error, HM_ECANCELLED, "cancelled before it started");
    if (rc == 0) {
        node_job_proofs(job);
        node_job_save(job);
        rc = node_job_execute(job, &error);
    }
    if (rc != 0)
        node_job_fail(job, rc, &error);
    job->record.ended_ms = hm_wall_ms(job->node->options.clock);
    if (job->record.lease.len != WIRE_ID_BYTES || node_job_close_lease(job)) {
        job->record.state = HYPERMESH__JOB_STATE__JOB_DONE;
        if (job->record.reason == NULL)
            job->record.reason = (char *)(uintptr_t)("");
        node_job_save(job);
    }
    hm_log(HM_LOG_INFO, "node", "job %s ended: %s, exit code %d", job->id,
           wire_outcome_name(job->record.outcome), job->record.exit_code);
    node_job_end(job);
    return NULL;
}
