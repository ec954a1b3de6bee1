/* The chain as lines that prove that nothing was left out (docs/formats-audit.md). */
#include "audit.h"

#include "api_feed.h"
#include "api_handlers.h"

#define BLOCK_ARENA_MAX ((size_t)256 << 20)

struct audit_state {
    struct audit_writer writer;
    struct audit_block block; /* being written */
    struct hm_arena arena; /* its */
    bool block_open;
    uint64_t next, to; /* heights */
};

static void audit_state_free(void *ctx)
{
    struct audit_state *state = ctx;

    hm_arena_release(&state->arena);
    hm_free(state);
}

static int audit_begin(const struct api_backend *backend, struct audit_state *state,
                       struct hm_buf *out, struct hm_error *error)
{
    Hypermesh__BlockRecord *record = NULL;
    struct hm_slice bytes = {0};
    int rc;

    hm_arena_clear(&state->arena);
    if (state->next == 1) {
        rc = backend->genesis_bytes(backend->ctx, &state->arena, &bytes, error);
        return rc ? rc : audit_write_genesis(&state->writer, bytes, out, error);
    }
    rc = backend->block_bytes(backend->ctx, state->next - 1, &state->arena, &bytes, &record, error);
    if (rc == 0 && record->hash.len != CRYPTO_HASH_BYTES)
        rc = hm_fail(error, HM_ECORRUPT, "a block's record has no hash");
    return rc ? rc
              : audit_write_from(&state->writer, state->next - 1, record->hash.data, out, error);
}

/* The next line. 1: there is one; 0: the export is whole. */
static int audit_line(const struct api_backend *backend, struct audit_state *state,
                      struct hm_buf *out, struct hm_error *error)
{
    Hypermesh__BlockRecord *record = NULL;
    struct hm_slice bytes = {0};
    int rc = state->block_open ? audit_block_next(&state->block, &state->writer, out, error) : 0;

    if (rc)
        return rc;
    if (state->next > state->to)
        return audit_write_end(&state->writer, out, error);
    hm_arena_clear(&state->arena);
    rc = backend->block_bytes(backend->ctx, state->next, &state->arena, &bytes, &record, error);
    if (rc == 0)
        rc = audit_block_open(&state->block, bytes, record, &state->arena, error);
    if (rc)
        return rc;
    state->block_open = true;
    state->next++;
    return audit_block_next(&state->block, &state->writer, out, error);
}

static int audit_turn(struct api_feed *feed)
{
    struct audit_state *state = feed->state;
    int rc = 1;

    while (rc == 1 && feed->out.len < API_FEED_TURN_BYTES)
        rc = audit_line(feed->core->backend, state, &feed->out, NULL);
    if (rc < 0)
        return rc;
    return rc == 0 ? API_STREAM_END : 0;
}

static int audit_range(struct api_call *call, struct audit_state *out, struct hm_error *error)
{
    uint64_t from = api_number_or(&call->query, "from", 1);
    uint64_t to = api_number_or(&call->query, "to", UINT64_MAX);
    struct api_status status = {0};
    int rc = call->backend->status(call->backend->ctx, &call->arena, &status, error);

    if (rc)
        return rc;
    to = to < status.height ? to : status.height;
    if (from < 1 || from > status.height + 1)
        return hm_fail(error, HM_ERANGE, "from must be from 1 to %llu, the next block",
                       (unsigned long long)status.height + 1);
    if (to + 1 < from)
        return hm_fail(error, HM_ERANGE, "to must not be below from");
    out->next = from;
    out->to = to;
    return 0;
}

int api_handle_audit(struct api_call *call, struct hm_error *error)
{
    struct audit_state *state = hm_calloc(1, sizeof(*state));
    struct hm_buf *out;
    int rc;

    if (!state)
        return api_no_memory(error);
    hm_arena_init(&state->arena, BLOCK_ARENA_MAX);
    audit_writer_init(&state->writer);
    rc = audit_range(call, state, error);
    if (rc == 0)
        rc = api_feed_open(call, NULL, audit_turn, state, audit_state_free, NULL, error);
    if (rc) {
        audit_state_free(state);
        return rc;
    }
    /* A chain whose beginning can't be read is refused and not cut off. */
    out = &((struct api_feed *)(void *)call->response->stream)->out;
    return audit_begin(call->backend, state, out, error);
}
