/* The side that has: answers until it is told that the other has it, too. */
#include "sync/packetfs_sync.h"

#define SOURCE_LEVEL \
    3 /* of zstd: what travels is packed anew, against the sink's base where there is one */

struct answering {
    struct packetfs_source *source;
    struct packetfs_talk *talk;
    struct packetfs_wire_packer *packer;
    struct hm_buf ids; /* what is offered, sorted */
    bool listed;
    struct hm_buf plain, base, body; /* kept for the next one */
};

static void answering_release(struct answering *answering)
{
    packetfs_wire_packer_free(answering->packer);
    hm_buf_release(&answering->ids);
    hm_buf_release(&answering->plain);
    hm_buf_release(&answering->base);
    hm_buf_release(&answering->body);
}

/* --- snapshots ---------------------------------------------------------------------------------------------------------- */

static int source_list(struct answering *answering, struct hm_error *error)
{
    const struct packetfs_side *side = answering->source->side;
    HM_AUTOFREE struct packetfs_snapshot *snapshots = NULL;
    size_t count = 0;
    int rc;

    if (answering->listed)
        return 0;
    rc = side->snapshots(side->ctx, &snapshots, &count, error);
    if (rc == 0 &&
        packetfs_sync_choose(snapshots, count, &answering->source->choice, &answering->ids) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for a list of snapshots");
    answering->listed = rc == 0;
    return rc;
}

static int answer_ask(struct answering *answering, struct hm_slice body, struct hm_error *error)
{
    struct packetfs_wire_ask ask;
    int rc = packetfs_wire_ask_read(body, &ask, error);

    if (rc == 0)
        rc = source_list(answering, error);
    hm_buf_clear(&answering->body);
    if (rc == 0)
        rc = packetfs_sync_answer(answering->ids.data,
                                  answering->ids.len / PACKETFS_SNAPSHOT_ID_BYTES, &ask,
                                  &answering->body, error);
    if (rc == 0)
        rc = packetfs_talk_send(answering->talk, PACKETFS_WIRE_IDS, hm_buf_slice(&answering->body),
                                error);
    return rc;
}

static int answer_fetch(struct answering *answering, struct hm_slice body, struct hm_error *error)
{
    const struct packetfs_side *side = answering->source->side;
    struct packetfs_wire_fetch fetch;
    int rc = packetfs_wire_fetch_read(body, &fetch, error);

    for (size_t i = 0; rc == 0 && i < fetch.count; i++) {
        hm_buf_clear(&answering->body);
        rc = side->snapshot_read(side->ctx, fetch.ids[i], &answering->body, error);
        if (rc == HM_ENOTFOUND) {
            hm_buf_clear(&answering->body);
            rc = 0;
        }
        if (rc == 0)
            rc = packetfs_talk_send(answering->talk, PACKETFS_WIRE_SNAPSHOT,
                                    hm_buf_slice(&answering->body), error);
    }
    return rc;
}

/* --- objects ------------------------------------------------------------------------------------------------------------ */

static int answer_want(struct answering *answering, const struct packetfs_wire_want *want,
                       struct hm_error *error)
{
    const struct packetfs_objects *objects = &answering->source->side->objects;
    enum packetfs_kind kind = answering->source->kind;
    int rc;

    hm_buf_clear(&answering->plain);
    hm_buf_clear(&answering->base);
    hm_buf_clear(&answering->body);
    rc = objects->get(objects->ctx, kind, &want->id, &answering->plain, error);
    if (rc == HM_ENOTFOUND) /* packed as missing: the sink names it */
        hm_buf_clear(&answering->plain);
    else if (rc != 0)
        return rc;
    /* A base that is not here, or damaged, is one that cannot be used. */
    if (want->has_base && answering->plain.len > 0 &&
        objects->get(objects->ctx, kind, &want->base, &answering->base, NULL) != 0)
        hm_buf_clear(&answering->base);
    rc = packetfs_wire_pack(answering->packer, hm_buf_slice(&answering->plain),
                            hm_buf_slice(&answering->base), &answering->body, error);
    if (rc == 0)
        rc = packetfs_talk_send(answering->talk, PACKETFS_WIRE_OBJECT,
                                hm_buf_slice(&answering->body), error);
    answering->source->objects++;
    answering->source->bytes += answering->plain.len;
    return rc;
}

static int answer_get(struct answering *answering, struct hm_slice body, struct hm_error *error)
{
    const struct packetfs_watch *watch = answering->source->watch;
    struct packetfs_wire_get get;
    int rc = packetfs_wire_get_read(body, &get, error);

    for (size_t i = 0; rc == 0 && i < get.count; i++)
        rc = answer_want(answering, &get.wants[i], error);
    if (rc == 0 && watch != NULL && watch->progress != NULL) {
        const struct packetfs_progress progress = {.stage = "send",
                                                   .files_done = answering->source->objects,
                                                   .bytes_done = answering->source->bytes};

        if (!watch->progress(watch->ctx, &progress))
            rc = hm_fail(error, HM_ECANCELLED, "stopped");
    }
    return rc;
}

/* --- the loop ----------------------------------------------------------------------------------------------------------- */

static int answer_patterns(struct packetfs_source *source, struct hm_slice body,
                           struct hm_error *error)
{
    if (body.len != 1 || body.data[0] > 1)
        return hm_fail(error, HM_EPARSE, "the peer's request follows no format");
    if (source->patterns == NULL || source->kind != PACKETFS_REFERENCE)
        return hm_fail(error, HM_EPARSE, "the peer asks for a connection that it makes itself");
    return source->patterns(source->patterns_ctx, body.data[0] == 1, error);
}

static int answer(struct answering *answering, enum packetfs_wire_type type, struct hm_slice body,
                  struct hm_error *error)
{
    bool references = answering->source->kind == PACKETFS_REFERENCE;

    if (type == PACKETFS_WIRE_GET)
        return answer_get(answering, body, error);
    if (references && type == PACKETFS_WIRE_ASK)
        return answer_ask(answering, body, error);
    if (references && type == PACKETFS_WIRE_FETCH)
        return answer_fetch(answering, body, error);
    if (references && type == PACKETFS_WIRE_PATTERNS)
        return answer_patterns(answering->source, body, error);
    return hm_fail(error, HM_EPARSE, "the peer sent message %d, which does not belong here",
                   (int)type);
}

int packetfs_sync_source(struct packetfs_source *source, struct packetfs_talk *talk,
                         struct hm_error *error)
{
    struct answering answering = {.source = source, .talk = talk};
    enum packetfs_wire_type type;
    struct hm_slice body;
    int rc = packetfs_wire_packer_new(SOURCE_LEVEL, &answering.packer, error);

    while (rc == 0) {
        rc = packetfs_talk_receive(talk, &type, &body, error);
        if (rc == 0 && type == PACKETFS_WIRE_DONE) {
            rc = packetfs_wire_done_read(body, &source->done, error);
            break;
        }
        if (rc == 0)
            rc = answer(&answering, type, body, error);
    }
    answering_release(&answering);
    return rc;
}
