/* Objects from the source: asked for, unpacked, compared with their ids, stored. */
#include "sync/packetfs_sync_walk.h"

#define ASKED_AGAIN 1 /* not an error: the object comes later */

int packetfs_walk_base(struct packetfs_walk *walk, enum packetfs_kind kind,
                       const struct packetfs_wire_want *want)
{
    const struct packetfs_objects *objects = &walk->sink->side->objects;
    int rc = 0;

    hm_buf_clear(&walk->base);
    if (want->has_base)
        rc = objects->get(objects->ctx, kind, &want->base, &walk->base, NULL);
    if (rc != 0)
        hm_buf_clear(&walk->base);
    return rc;
}

/* A base that is damaged here: the object is asked for once more, whole. */
static int ask_again(struct packetfs_walk *walk, enum packetfs_kind kind,
                     const struct packetfs_wire_want *want, struct hm_error *error)
{
    const struct packetfs_wire_want whole = {.id = want->id};
    struct hm_buf *list = kind == PACKETFS_REFERENCE ? &walk->stack : &walk->again;

    if (hm_buf_append(list, &whole, sizeof(whole)) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to ask for an object again");
    return ASKED_AGAIN;
}

static int send_get(struct packetfs_walk *walk, enum packetfs_kind kind, struct packetfs_talk *talk,
                    struct hm_error *error)
{
    struct packetfs_wire_get *get = &walk->get[kind];
    int rc;

    hm_buf_clear(&walk->body);
    if (packetfs_wire_get_write(get, &walk->body) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to ask for objects");
    rc = packetfs_talk_send(talk, PACKETFS_WIRE_GET, hm_buf_slice(&walk->body), error);
    if (rc == 0)
        rc = packetfs_talk_flush(talk, error);
    return rc;
}

static const char *kind_name(enum packetfs_kind kind)
{
    return kind == PACKETFS_PATTERN ? "pattern" : "reference";
}

/* What came, against what was asked for. */
static int check_object(struct packetfs_walk *walk, enum packetfs_kind kind,
                        const struct packetfs_wire_want *want, struct hm_slice body,
                        struct hm_error *error)
{
    char hex[17];
    struct packetfs_wire_object object;
    struct packetfs_id id;
    int rc = packetfs_wire_object_read(body, &object, error);

    hm_hex_encode(want->id.bytes, 8, hex);
    hm_buf_clear(&walk->plain);
    if (rc == 0 && object.form == PACKETFS_WIRE_MISSING)
        return hm_fail(error, HM_ECORRUPT, "%s %s is missing at the peer", kind_name(kind), hex);
    if (rc == 0 && object.form == PACKETFS_WIRE_DELTA) {
        rc = packetfs_walk_base(walk, kind, want);
        if (rc == HM_ENOMEM)
            return hm_fail(error, rc, "no memory for an object");
        if (rc != 0)
            return ask_again(walk, kind, want, error);
        walk->sink->done.deltas++;
    }
    if (rc == 0)
        rc = packetfs_wire_unpack(walk->packer, &object, hm_buf_slice(&walk->base), &walk->plain,
                                  error);
    if (rc != 0)
        return hm_error_prefix(error, rc == HM_EPARSE ? HM_ECORRUPT : rc,
                               "%s %s from the peer is damaged", kind_name(kind), hex);
    packetfs_keys_object_id(walk->sink->side->keys, kind, hm_buf_slice(&walk->plain), &id);
    if (!packetfs_id_equal(&id, &want->id))
        return hm_fail(error, HM_ECORRUPT,
                       "%s %s from the peer is damaged or exchanged: its content has another id",
                       kind_name(kind), hex);
    return 0;
}

static int store_object(struct packetfs_walk *walk, enum packetfs_kind kind, struct hm_error *error)
{
    const struct packetfs_side *side = walk->sink->side;
    struct packetfs_wire_done *done = &walk->sink->done;
    struct packetfs_id id;
    int rc = side->objects.put(side->objects.ctx, kind, hm_buf_slice(&walk->plain), &id, error);

    if (rc != 0)
        return rc;
    done->plain_bytes += walk->plain.len;
    if (kind == PACKETFS_PATTERN)
        done->patterns++;
    else
        done->references++;
    walk->unflushed += walk->plain.len;
    if (walk->unflushed >= PACKETFS_SYNC_FLUSH_BYTES) {
        walk->unflushed = 0;
        rc = side->flush(side->ctx, error);
    }
    return rc;
}

int packetfs_walk_progress(const struct packetfs_walk *walk, struct hm_error *error)
{
    const struct packetfs_watch *watch = walk->sink->watch;
    const struct packetfs_wire_done *done = &walk->sink->done;
    const struct packetfs_progress now = {.stage = "receive",
                                          .files_done = done->patterns + done->references,
                                          .bytes_done = done->plain_bytes,
                                          .bytes_new = done->plain_bytes};

    if (watch != NULL && watch->progress != NULL && !watch->progress(watch->ctx, &now))
        return hm_fail(error, HM_ECANCELLED, "stopped; what arrived is kept");
    return 0;
}

static int take_object(struct packetfs_walk *walk, enum packetfs_kind kind,
                       struct packetfs_talk *talk, const struct packetfs_wire_want *want,
                       struct hm_error *error)
{
    struct hm_slice body;
    int rc = packetfs_talk_expect(talk, PACKETFS_WIRE_OBJECT, &body, error);

    if (rc == 0)
        rc = check_object(walk, kind, want, body, error);
    if (rc == 0)
        rc = store_object(walk, kind, error);
    if (rc == 0)
        rc = packetfs_walk_progress(walk, error);
    return rc;
}

/* --- references ----------------------------------------------------------------------------------------------------------- */

int packetfs_walk_fetch(struct packetfs_walk *walk,
                        int (*took)(struct packetfs_walk *walk,
                                    const struct packetfs_wire_want *want, struct hm_slice plain,
                                    struct hm_error *error),
                        struct hm_error *error)
{
    struct packetfs_wire_get *get = &walk->get[PACKETFS_REFERENCE];
    struct packetfs_talk *talk = walk->sink->references;
    int rc = 0;

    if (get->count == 0)
        return 0;
    rc = send_get(walk, PACKETFS_REFERENCE, talk, error);
    for (size_t i = 0; rc == 0 && i < get->count; i++) {
        rc = take_object(walk, PACKETFS_REFERENCE, talk, &get->wants[i], error);
        if (rc == ASKED_AGAIN) {
            rc = 0;
        } else if (rc == 0) {
            /* took may fetch patterns, for which plain is needed, too */
            HM_CLEANUP(hm_buf) struct hm_buf plain = walk->plain;

            walk->plain = (struct hm_buf){0};
            rc = took(walk, &get->wants[i], hm_buf_slice(&plain), error);
        }
    }
    get->count = 0;
    return rc;
}

/* --- patterns -------------------------------------------------------------------------------------------------------------- */

static int take_oldest_pattern(struct packetfs_walk *walk, struct hm_error *error)
{
    struct packetfs_wire_want want;
    uint64_t len;
    int rc;

    memcpy(&want, walk->asked.data + walk->asked_at * sizeof(want), sizeof(want));
    memcpy(&len, walk->lens.data + walk->asked_at * sizeof(len), sizeof(len));
    rc = take_object(walk, PACKETFS_PATTERN, walk->patterns, &want, error);
    walk->window -= len;
    walk->asked_at++;
    if (walk->asked_at * sizeof(want) == walk->asked.len) {
        hm_buf_clear(&walk->asked);
        hm_buf_clear(&walk->lens);
        walk->asked_at = 0;
    }
    return rc == ASKED_AGAIN ? 0 : rc;
}

/* What was taken of the lists goes, now and then. */
static void compact(struct packetfs_walk *walk)
{
    const size_t want = sizeof(struct packetfs_wire_want);

    if (walk->asked_at < 4 * (size_t)PACKETFS_WIRE_GET_MAX)
        return;
    memmove(walk->asked.data, walk->asked.data + walk->asked_at * want,
            walk->asked.len - walk->asked_at * want);
    walk->asked.len -= walk->asked_at * want;
    memmove(walk->lens.data, walk->lens.data + walk->asked_at * sizeof(uint64_t),
            walk->lens.len - walk->asked_at * sizeof(uint64_t));
    walk->lens.len -= walk->asked_at * sizeof(uint64_t);
    walk->asked_at = 0;
}

/* Sends what is queued, once there is room in the window for it. */
static int ask_patterns(struct packetfs_walk *walk, struct hm_error *error)
{
    struct packetfs_wire_get *get = &walk->get[PACKETFS_PATTERN];
    int rc = 0;

    if (get->count == 0)
        return 0;
    if (walk->patterns == NULL)
        rc = walk->sink->patterns(walk->sink->patterns_ctx,
                                  walk->queued >= PACKETFS_SYNC_MANY_BYTES, &walk->patterns, error);
    while (rc == 0 && walk->asked.len > 0 &&
           (walk->window + walk->queued > PACKETFS_SYNC_WINDOW_BYTES ||
            walk->asked.len / sizeof(get->wants[0]) - walk->asked_at >= PACKETFS_SYNC_WINDOW_COUNT))
        rc = take_oldest_pattern(walk, error);
    compact(walk);
    if (rc == 0)
        rc = send_get(walk, PACKETFS_PATTERN, walk->patterns, error);
    if (rc != 0)
        return rc;
    if (hm_buf_append(&walk->asked, get->wants, get->count * sizeof(get->wants[0])) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to ask for patterns");
    walk->window += walk->queued;
    walk->queued = 0;
    get->count = 0;
    return 0;
}

int packetfs_walk_want_pattern(struct packetfs_walk *walk, const struct packetfs_wire_want *want,
                               uint64_t len, struct hm_error *error)
{
    struct packetfs_wire_get *get = &walk->get[PACKETFS_PATTERN];

    if (hm_buf_append(&walk->lens, &len, sizeof(len)) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to ask for patterns");
    get->wants[get->count++] = *want;
    walk->queued += len;
    if (get->count == PACKETFS_WIRE_GET_MAX || walk->queued >= PACKETFS_SYNC_WINDOW_BYTES / 4)
        return ask_patterns(walk, error);
    return 0;
}

int packetfs_walk_drain(struct packetfs_walk *walk, struct hm_error *error)
{
    int rc;

    do {
        struct packetfs_wire_want want;

        rc = ask_patterns(walk, error);
        while (rc == 0 && walk->asked.len > 0)
            rc = take_oldest_pattern(walk, error);
        while (rc == 0 && walk->again.len > 0) {
            walk->again.len -= sizeof(want);
            memcpy(&want, walk->again.data + walk->again.len, sizeof(want));
            rc = packetfs_walk_want_pattern(walk, &want, PACKETFS_OBJECT_MAX_BYTES / 4, error);
        }
    } while (rc == 0 && (walk->get[PACKETFS_PATTERN].count > 0 || walk->asked.len > 0));
    return rc;
}
