/* Replay of the chain as a stream of JSON lines. The node's replay runs in a thread of its own
 * and leaves its latest progress in one place, so that a slow reader costs no memory. */
#include <errno.h>
#include <pthread.h>

#include "api_handlers.h"

#define VERIFY_LINE_EVERY_NS UINT64_C(100000000)

struct verify_stream {
    struct api_stream base; /* first: the interface */
    struct api_core *core;
    pthread_t thread;
    struct hm_buf line; /* being read */
    size_t line_at;
    bool last_line;

    pthread_mutex_t lock;
    /* under lock */
    void (*wake)(void *ctx);
    void *wake_ctx;
    uint64_t line_ns; /* when the last line was made */
    uint64_t done, total;
    bool news;
    bool abandoned; /* the reader is gone */
    bool finished;
    int rc;
    struct hm_error error;
    uint64_t blocks, txs;
    uint8_t state_root[32];
};

/* Under lock: after release has taken it, nobody is woken. */
static void verify_wake(const struct verify_stream *verify)
{
    if (verify->wake && !verify->abandoned)
        verify->wake(verify->wake_ctx);
}

static int verify_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct verify_stream *verify = ctx;
    uint64_t now_ns = hm_mono_ns(verify->core->clock);
    int rc;

    (void)pthread_mutex_lock(&verify->lock);
    verify->done = done;
    verify->total = total;
    verify->news = true;
    rc = verify->abandoned || atomic_load(&verify->core->closing) ? HM_ECANCELLED : 0;
    if (now_ns - verify->line_ns >= VERIFY_LINE_EVERY_NS)
        verify_wake(verify);
    (void)pthread_mutex_unlock(&verify->lock);
    return rc;
}

static void *verify_run(void *ctx)
{
    struct verify_stream *verify = ctx;
    const struct api_backend *backend = verify->core->backend;
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    struct api_status status = {0};
    struct hm_error error = {0};
    uint64_t blocks = 0;
    uint64_t txs = 0;
    int rc;

    hm_arena_init(&arena, API_ARENA_MAX_BYTES);
    rc = backend->verify_chain(backend->ctx, verify_progress, verify, &blocks, &txs, &error);
    if (rc == 0)
        rc = backend->status(backend->ctx, &arena, &status, &error);
    (void)pthread_mutex_lock(&verify->lock);
    verify->finished = true;
    verify->rc = rc;
    verify->error = error;
    verify->blocks = blocks;
    verify->txs = txs;
    memcpy(verify->state_root, status.state_root, sizeof(status.state_root));
    verify_wake(verify);
    (void)pthread_mutex_unlock(&verify->lock);
    return NULL;
}

/* Under lock. */
static void verify_last_line(struct verify_stream *verify, struct json_out *json)
{
    if (verify->rc) {
        api_problem_json(json, (unsigned)hm_error_http(verify->rc), verify->rc, verify->error.text,
                         "/chain/verify");
        return;
    }
    json_out_open(json, '{');
    json_out_put_bool(json, "ok", true);
    json_out_put_u64(json, "blocks", verify->blocks);
    json_out_put_u64(json, "txs", verify->txs);
    json_out_put_hash(json, "state_root", verify->state_root);
    json_out_close(json, '}');
}

/* Makes the next line, when there is something to say. Under lock. */
static int verify_next_line(struct verify_stream *verify)
{
    struct json_out json = {.out = &verify->line};
    uint64_t now_ns = hm_mono_ns(verify->core->clock);

    if (!verify->finished && (!verify->news || now_ns - verify->line_ns < VERIFY_LINE_EVERY_NS))
        return 0;
    hm_buf_clear(&verify->line);
    verify->line_at = 0;
    verify->line_ns = now_ns;
    verify->last_line = verify->finished;
    if (verify->finished) {
        verify_last_line(verify, &json);
    } else {
        json_out_open(&json, '{');
        json_out_put_u64(&json, "done", verify->done);
        json_out_put_u64(&json, "total", verify->total);
        json_out_close(&json, '}');
    }
    verify->news = false;
    return json.error ? json.error : hm_buf_append(&verify->line, "\n", 1);
}

static int verify_read(struct api_stream *stream, uint8_t *out, size_t size)
{
    struct verify_stream *verify = (struct verify_stream *)(void *)stream;
    size_t part;

    if (verify->line_at == verify->line.len) {
        int rc;

        if (verify->last_line)
            return API_STREAM_END;
        (void)pthread_mutex_lock(&verify->lock);
        rc = verify_next_line(verify);
        (void)pthread_mutex_unlock(&verify->lock);
        if (rc)
            return rc;
    }
    part = verify->line.len - verify->line_at;
    if (part == 0)
        return API_STREAM_WAIT;
    part = part < size ? part : size;
    memcpy(out, verify->line.data + verify->line_at, part);
    verify->line_at += part;
    return (int)part;
}

static void verify_attach(struct api_stream *stream, void (*wake)(void *wake_ctx), void *wake_ctx)
{
    struct verify_stream *verify = (struct verify_stream *)(void *)stream;

    (void)pthread_mutex_lock(&verify->lock);
    verify->wake = wake;
    verify->wake_ctx = wake_ctx;
    (void)pthread_mutex_unlock(&verify->lock);
}

static void verify_free(struct verify_stream *verify)
{
    (void)pthread_mutex_destroy(&verify->lock);
    hm_buf_release(&verify->line);
    api_wait_end(verify->core);
    hm_free(verify);
}

static void verify_release(struct api_stream *stream)
{
    struct verify_stream *verify = (struct verify_stream *)(void *)stream;

    (void)pthread_mutex_lock(&verify->lock);
    verify->abandoned = true;
    (void)pthread_mutex_unlock(&verify->lock);
    (void)pthread_join(verify->thread, NULL);
    verify_free(verify);
}

static struct verify_stream *verify_new(struct api_core *core)
{
    struct verify_stream *verify = hm_calloc(1, sizeof(*verify));

    if (!verify)
        return NULL;
    verify->base = (struct api_stream){
        .read = verify_read, .attach = verify_attach, .release = verify_release};
    verify->core = core;
    (void)pthread_mutex_init(&verify->lock, NULL);
    return verify;
}

int api_handle_verify(struct api_call *call, struct hm_error *error)
{
    struct verify_stream *verify;
    int rc = api_wait_begin(call->core, error);

    if (rc)
        return rc;
    verify = verify_new(call->core);
    if (!verify) {
        api_wait_end(call->core);
        return api_no_memory(error);
    }
    rc = pthread_create(&verify->thread, NULL, verify_run, verify);
    if (rc != 0) {
        verify_free(verify);
        errno = rc;
        return hm_fail_errno(error, HM_EBUSY, "no thread for the replay");
    }
    call->response->stream = &verify->base;
    return 0;
}
