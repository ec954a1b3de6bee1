/* One connection without I/O: bytes to frames, frames to calls, answers to bytes. */
#include "abci_private.h"

#define CORE_FLUSH_BYTES ((size_t)64 << 10) /* as much waits: send it, asked to or not */
#define CORE_KEEP_BYTES  ((size_t)1 << 20) /* memory that is kept from one message to the next */
#define CORE_STALLED_MAX_BYTES \
    ((size_t)1 << 20) /* requests that wait because answers are not taken */

struct abci_core {
    const struct abci_handlers *handlers;
    struct abci_core_hooks hooks;
    struct hm_arena arena; /* one request and its answer */
    struct hm_buf in; /* the start of a frame that is not whole yet */
    struct hm_buf out;
    size_t sent; /* of out */
    unsigned used; /* groups called so far, a bit each */
    bool flush;
    bool stalled;
    struct hm_error broken; /* code 0: none */
};

int abci_core_new(const struct abci_handlers *handlers, const struct abci_core_hooks *hooks,
                  struct abci_core **out, struct hm_error *error)
{
    int rc = abci_handlers_check(handlers, error);
    struct abci_core *core;

    if (rc)
        return rc;
    core = hm_calloc(1, sizeof(*core));
    if (core == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a connection of the engine");
    core->handlers = handlers;
    if (hooks != NULL)
        core->hooks = *hooks;
    hm_arena_init(&core->arena, ABCI_ARENA_MAX_BYTES);
    *out = core;
    return 0;
}

void abci_core_free(struct abci_core *core)
{
    if (core == NULL)
        return;
    if ((core->used & 1U << ABCI_CONSENSUS) && core->handlers->gone != NULL)
        core->handlers->gone(core->handlers->ctx);
    hm_arena_release(&core->arena);
    hm_buf_release(&core->in);
    hm_buf_release(&core->out);
    hm_free(core);
}

static size_t waiting(const struct abci_core *core)
{
    return core->out.len - core->sent;
}

static void buf_empty(struct hm_buf *buf)
{
    if (buf->cap > CORE_KEEP_BYTES)
        hm_buf_release(buf);
    else
        hm_buf_clear(buf);
}

static void tell_failed(const struct abci_core *core, const struct hm_error *error)
{
    if (core->hooks.failed != NULL)
        core->hooks.failed(core->hooks.ctx, error);
    else if (core->handlers->failed != NULL)
        core->handlers->failed(core->handlers->ctx, error);
}

static int append_answer(struct abci_core *core, const Hypermesh__Abci__Response *answer)
{
    uint8_t header[ABCI_FRAME_HEADER_MAX_BYTES];
    size_t size = hypermesh__abci__response__get_packed_size(answer);
    size_t header_len = abci_frame_header(size, header);

    if (hm_buf_reserve(&core->out, header_len + size) != 0)
        return HM_ENOMEM;
    (void)hm_buf_append(&core->out, header, header_len);
    core->out.len += hypermesh__abci__response__pack(answer, core->out.data + core->out.len);
    return 0;
}

static int answer_request(struct abci_core *core, const Hypermesh__Abci__Request *request,
                          bool *fatal, struct hm_error *error)
{
    struct abci_call_result result;
    int rc = abci_call(core->handlers, &core->hooks, request, &core->arena, &result, error);

    core->used |= result.used;
    *fatal = result.fatal;
    if (rc)
        return rc;
    if (result.note.code != 0 && core->hooks.log != NULL)
        core->hooks.log(core->hooks.ctx, &result.note);
    if (append_answer(core, &result.answer) != 0) {
        *fatal = true;
        return hm_fail(error, HM_ENOMEM, "no memory for an answer to the engine");
    }
    if (request->value_case == HYPERMESH__ABCI__REQUEST__VALUE_FLUSH)
        core->flush = true;
    return 0;
}

static int answer_message(struct abci_core *core, struct hm_slice message, bool *fatal,
                          struct hm_error *error)
{
    ProtobufCMessage *request = NULL;
    int rc = abci_read(&hypermesh__abci__request__descriptor, message, &core->arena, &request,
                       error);

    *fatal = rc == HM_ENOMEM;
    if (rc == 0)
        rc = answer_request(core, (const Hypermesh__Abci__Request *)request, fatal, error);
    if (core->arena.used > CORE_KEEP_BYTES)
        hm_arena_release(&core->arena);
    else
        hm_arena_clear(&core->arena);
    return rc;
}

/* Answers whole frames off the start of *rest. */
static int answer_all(struct abci_core *core, struct hm_slice *rest, bool *fatal,
                      struct hm_error *error)
{
    while (rest->len > 0) {
        struct hm_slice message = {0};
        int rc;

        core->stalled = waiting(core) >= ABCI_OUT_WAIT_BYTES;
        if (core->stalled)
            return 0;
        rc = abci_frame_parse(*rest, &message, error);
        if (rc <= 0)
            return rc;
        rc = answer_message(core, message, fatal, error);
        if (rc)
            return rc;
        rest->len = (size_t)(rest->data + rest->len - (message.data + message.len));
        rest->data = message.data + message.len;
    }
    return 0;
}

static int keep_rest(struct abci_core *core, struct hm_slice rest)
{
    if (core->in.len == 0)
        return rest.len > 0 ? hm_buf_append(&core->in, rest.data, rest.len) : 0;
    if (rest.len == 0) {
        buf_empty(&core->in);
    } else if (rest.data != core->in.data) {
        memmove(core->in.data, rest.data, rest.len);
        core->in.len = rest.len;
    }
    return 0;
}

/* Whole frames are answered from where they lie; only what is cut off at the end is copied. */
static int feed(struct abci_core *core, struct hm_slice bytes, bool *fatal, struct hm_error *error)
{
    struct hm_slice rest = bytes;
    int rc;

    if (waiting(core) >= ABCI_OUT_WAIT_BYTES && core->in.len > CORE_STALLED_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "requests come and their answers are not taken");
    if (core->in.len > 0) {
        if (bytes.len > 0 && hm_buf_append(&core->in, bytes.data, bytes.len) != 0) {
            *fatal = true;
            return hm_fail(error, HM_ENOMEM, "no memory for a request of the engine");
        }
        rest = hm_buf_slice(&core->in);
    }
    core->stalled = false;
    rc = answer_all(core, &rest, fatal, error);
    if (rc == 0 && keep_rest(core, rest) != 0) {
        *fatal = true;
        rc = hm_fail(error, HM_ENOMEM, "no memory for a request of the engine");
    }
    return rc;
}

int abci_core_feed(struct abci_core *core, struct hm_slice bytes, struct hm_error *error)
{
    struct hm_error what = {0};
    bool fatal = false;
    int rc;

    if (core->broken.code == 0) {
        rc = feed(core, bytes, &fatal, &what);
        if (rc == 0)
            return 0;
        what.code = rc;
        core->broken = what;
        if (fatal)
            tell_failed(core, &what);
    }
    if (error != NULL)
        *error = core->broken;
    return core->broken.code;
}

struct hm_slice abci_core_out(const struct abci_core *core, bool *flush)
{
    size_t len = waiting(core);

    *flush = len > 0 && (core->flush || len > CORE_FLUSH_BYTES);
    return hm_slice_of(len > 0 ? core->out.data + core->sent : NULL, len);
}

void abci_core_take(struct abci_core *core, size_t count)
{
    size_t len = waiting(core);

    core->sent += count < len ? count : len;
    len = waiting(core);
    if (len == 0) {
        buf_empty(&core->out);
        core->sent = 0;
        core->flush = false;
    } else if (core->sent > core->out.len / 2) {
        memmove(core->out.data, core->out.data + core->sent, len);
        core->out.len = len;
        core->sent = 0;
    }
}

bool abci_core_stalled(const struct abci_core *core)
{
    return core->stalled && waiting(core) < ABCI_OUT_WAIT_BYTES;
}
