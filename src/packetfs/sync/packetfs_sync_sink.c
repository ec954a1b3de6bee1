/* The side that lacks: asks for snapshots, one after the other, oldest first, and walks each tree from the top. */
#include <stdio.h>
#include <stdlib.h>

#include "sync/packetfs_sync_walk.h"

/* --- what the source did before --------------------------------------------------------------------------------------- */

static bool is_somebody(const uint8_t who[PACKETFS_WIRE_REPLICA_BYTES])
{
    static const uint8_t nobody[PACKETFS_WIRE_REPLICA_BYTES];

    return memcmp(who, nobody, sizeof(nobody)) != 0;
}

/* The highest that was seen of this replica, or at this place. */
static int seen_before(const struct packetfs_sink *sink, uint64_t *out, struct hm_error *error)
{
    const uint8_t *const names[] = {sink->peer->replica, sink->place};
    const struct packetfs_side *side = sink->side;
    int rc = 0;

    *out = 0;
    for (size_t i = 0; rc == 0 && i < HM_COUNT_OF(names); i++) {
        uint64_t seen = 0;

        if (is_somebody(names[i]))
            rc = side->seen_read(side->ctx, names[i], &seen, error);
        if (seen > *out)
            *out = seen;
    }
    return rc;
}

static int check_rollback(const struct packetfs_sink *sink, struct hm_error *error)
{
    uint64_t seen = 0;
    int rc = sink->side->seen_read != NULL ? seen_before(sink, &seen, error) : 0;

    if (rc == 0 && sink->peer->sequence < seen && !sink->accept_rollback)
        rc = hm_fail(error, HM_ECORRUPT,
                     "the peer's list of snapshots was rolled back: it ends with number %llu and "
                     "ended with %llu before; if its newest were removed on purpose, or another "
                     "folder is served there now, accept it",
                     (unsigned long long)sink->peer->sequence, (unsigned long long)seen);
    return rc;
}

static int remember(const struct packetfs_sink *sink, struct hm_error *error)
{
    const uint8_t *const names[] = {sink->peer->replica, sink->place};
    const struct packetfs_side *side = sink->side;
    int rc = 0;

    for (size_t i = 0; rc == 0 && side->seen_write != NULL && i < HM_COUNT_OF(names); i++)
        if (is_somebody(names[i]))
            rc = side->seen_write(side->ctx, names[i], sink->peer->sequence, error);
    return rc;
}

/* --- snapshots ------------------------------------------------------------------------------------------------------------ */

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, PACKETFS_SNAPSHOT_ID_BYTES);
}

/* A snapshot on its way in. */
struct arrival {
    struct packetfs_snapshot snapshot;
    size_t at, len; /* of its sealed file among all of them */
};

static int compare_arrivals(const void *a, const void *b)
{
    const struct arrival *left = a;
    const struct arrival *right = b;

    if (left->snapshot.sequence != right->snapshot.sequence)
        return left->snapshot.sequence < right->snapshot.sequence ? -1 : 1;
    if (left->snapshot.time_ns != right->snapshot.time_ns)
        return left->snapshot.time_ns < right->snapshot.time_ns ? -1 : 1;
    return memcmp(left->snapshot.id, right->snapshot.id, sizeof(left->snapshot.id));
}

/* Removed there since it was listed: no fault, but worth a word. */
static void say_gone(const struct packetfs_sink *sink, const char *hex)
{
    char sentence[128];

    (void)snprintf(sentence, sizeof(sentence), "the peer listed snapshot %s and has it no more",
                   hex);
    if (sink->watch != NULL && sink->watch->finding != NULL)
        sink->watch->finding(sink->watch->ctx, sentence);
}

static int take_arrival(struct packetfs_sink *sink, const uint8_t *id, struct hm_buf *files,
                        struct hm_buf *arrivals, struct hm_error *error)
{
    const struct packetfs_side *side = sink->side;
    struct arrival arrival = {.at = files->len};
    char hex[2 * PACKETFS_SNAPSHOT_ID_BYTES + 1];
    struct hm_slice sealed;
    int rc = packetfs_talk_expect(sink->references, PACKETFS_WIRE_SNAPSHOT, &sealed, error);

    if (rc != 0)
        return rc;
    hm_hex_encode(id, PACKETFS_SNAPSHOT_ID_BYTES, hex);
    if (sealed.len == 0) {
        say_gone(sink, hex);
        return 0;
    }
    if (sealed.len > PACKETFS_WIRE_SEALED_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "snapshot %s from the peer has %zu bytes", hex,
                       sealed.len);
    rc = side->snapshot_open(side->ctx, sealed, &arrival.snapshot, error);
    if (rc == 0 && memcmp(arrival.snapshot.id, id, PACKETFS_SNAPSHOT_ID_BYTES) != 0)
        rc = hm_fail(error, HM_ECORRUPT, "the peer gave another snapshot");
    if (rc != 0)
        return hm_error_prefix(error, rc == HM_ENOMEM || rc == HM_EIO ? rc : HM_ECORRUPT,
                               "snapshot %s from the peer is damaged or exchanged", hex);
    arrival.len = sealed.len;
    if (hm_buf_append(files, sealed.data, sealed.len) != 0 ||
        hm_buf_append(arrivals, &arrival, sizeof(arrival)) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for the peer's snapshots");
    return 0;
}

static int fetch_some(struct packetfs_sink *sink, const uint8_t *ids, size_t count,
                      struct hm_buf *files, struct hm_buf *arrivals, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    struct packetfs_wire_fetch fetch = {.count = count};
    int rc;

    memcpy(fetch.ids, ids, count * PACKETFS_SNAPSHOT_ID_BYTES);
    if (packetfs_wire_fetch_write(&fetch, &body) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to ask for snapshots");
    rc = packetfs_talk_send(sink->references, PACKETFS_WIRE_FETCH, hm_buf_slice(&body), error);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = take_arrival(sink, fetch.ids[i], files, arrivals, error);
    return rc;
}

/* --- one snapshot ----------------------------------------------------------------------------------------------------------- */

/* The sink's snapshot that this one most likely grew out of: its parent, else the newest of its label, else the newest. */
static const struct packetfs_snapshot *find_base(const struct hm_buf *mine,
                                                 const struct packetfs_snapshot *snapshot)
{
    const struct packetfs_snapshot *all = (const void *)mine->data;
    size_t count = mine->len / sizeof(*all);
    const struct packetfs_snapshot *best = count > 0 ? &all[count - 1] : NULL;
    bool labelled = false;

    for (size_t i = count; i > 0; i--) {
        if (memcmp(all[i - 1].id, snapshot->parent, PACKETFS_SNAPSHOT_ID_BYTES) == 0)
            return &all[i - 1];
        if (!labelled && strcmp(all[i - 1].label, snapshot->label) == 0) {
            best = &all[i - 1];
            labelled = true;
        }
    }
    return best;
}

static int take_snapshot(struct packetfs_walk *walk, const struct arrival *arrival,
                         struct hm_slice sealed, struct hm_buf *mine, struct hm_error *error)
{
    const struct packetfs_side *side = walk->sink->side;
    const struct packetfs_snapshot *base = find_base(mine, &arrival->snapshot);
    int rc = packetfs_walk_progress(walk, error);

    if (rc == 0)
        rc = packetfs_walk_tree(walk, &arrival->snapshot.root, base != NULL ? &base->root : NULL,
                                error);
    if (rc == 0)
        rc = side->flush(side->ctx, error);
    if (rc == 0)
        rc = side->snapshot_add(side->ctx, sealed, error);
    if (rc == 0 && hm_buf_append(mine, &arrival->snapshot, sizeof(arrival->snapshot)) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for a list of snapshots");
    if (rc != 0)
        return hm_error_prefix(error, rc, "snapshot \"%s\" of the peer", arrival->snapshot.label);
    walk->sink->done.snapshots++;
    return 0;
}

/* The last word of a connection. */
static int say_done(const struct packetfs_wire_done *done, struct packetfs_talk *talk,
                    struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    int rc;

    if (packetfs_wire_done_write(done, &body) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for the last word");
    rc = packetfs_talk_send(talk, PACKETFS_WIRE_DONE, hm_buf_slice(&body), error);
    return rc == 0 ? packetfs_talk_flush(talk, error) : rc;
}

/* --- all of them ------------------------------------------------------------------------------------------------------------- */

/* Those of ids, which are few enough for memory. */
static int take_group(struct packetfs_walk *walk, const uint8_t *ids, size_t count,
                      struct hm_buf *mine, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf files = {0};
    HM_CLEANUP(hm_buf) struct hm_buf arrivals = {0};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i += PACKETFS_WIRE_IDS_MAX)
        rc = fetch_some(walk->sink, ids + i * PACKETFS_SNAPSHOT_ID_BYTES,
                        count - i < PACKETFS_WIRE_IDS_MAX ? count - i : PACKETFS_WIRE_IDS_MAX,
                        &files, &arrivals, error);
    if (rc == 0 && arrivals.len > 0) {
        struct arrival *list = (void *)arrivals.data;

        qsort(list, arrivals.len / sizeof(*list), sizeof(*list), compare_arrivals);
        for (size_t i = 0; rc == 0 && i < arrivals.len / sizeof(*list); i++)
            rc = take_snapshot(walk, &list[i], hm_slice_of(files.data + list[i].at, list[i].len),
                               mine, error);
    }
    return rc;
}

static int take_snapshots(struct packetfs_sink *sink, const struct hm_buf *lacking,
                          struct hm_buf *mine, struct hm_error *error)
{
    struct packetfs_walk *walk = NULL;
    size_t count = lacking->len / PACKETFS_SNAPSHOT_ID_BYTES;
    int rc = count > 0 ? packetfs_walk_new(sink, &walk, error) : 0;

    for (size_t i = 0; rc == 0 && i < count; i += PACKETFS_SYNC_GROUP)
        rc = take_group(walk, lacking->data + i * PACKETFS_SNAPSHOT_ID_BYTES,
                        count - i < PACKETFS_SYNC_GROUP ? count - i : PACKETFS_SYNC_GROUP, mine,
                        error);
    if (walk != NULL && walk->patterns != NULL) {
        sink->done.round_trips += walk->patterns->round_trips;
        if (rc == 0)
            rc = say_done(&(struct packetfs_wire_done){0}, walk->patterns, error);
    }
    packetfs_walk_free(walk);
    return rc;
}

/* The sink's own, oldest first, and their ids sorted. */
static int own_snapshots(const struct packetfs_side *side, struct hm_buf *mine, struct hm_buf *ids,
                         struct hm_error *error)
{
    HM_AUTOFREE struct packetfs_snapshot *list = NULL;
    size_t count = 0;
    int rc = side->snapshots(side->ctx, &list, &count, error);

    for (size_t i = 0; rc == 0 && i < count; i++)
        if (hm_buf_append(mine, &list[i], sizeof(list[i])) != 0 ||
            hm_buf_append(ids, list[i].id, PACKETFS_SNAPSHOT_ID_BYTES) != 0)
            rc = hm_fail(error, HM_ENOMEM, "no memory for a list of snapshots");
    if (rc == 0 && count > 0)
        qsort(ids->data, count, PACKETFS_SNAPSHOT_ID_BYTES, compare_ids);
    return rc;
}

/* Which to ask for, into lacking. Who wants one does not hear of the others. */
static int choose(const struct packetfs_sink *sink, const struct hm_buf *ids,
                  struct hm_buf *lacking, struct hm_error *error)
{
    size_t count = ids->len / PACKETFS_SNAPSHOT_ID_BYTES;

    if (sink->only == NULL)
        return packetfs_sync_reconcile(sink->references, ids->data, count, lacking, error);
    if (count > 0 &&
        bsearch(sink->only, ids->data, count, PACKETFS_SNAPSHOT_ID_BYTES, compare_ids) != NULL)
        return 0;
    return hm_buf_append(lacking, sink->only, PACKETFS_SNAPSHOT_ID_BYTES) == 0
               ? 0
               : hm_fail(error, HM_ENOMEM, "no memory to ask for a snapshot");
}

int packetfs_sync_sink(struct packetfs_sink *sink, struct hm_error *error)
{
    const struct packetfs_side *side = sink->side;
    HM_CLEANUP(hm_buf) struct hm_buf mine = {0};
    HM_CLEANUP(hm_buf) struct hm_buf ids = {0};
    HM_CLEANUP(hm_buf) struct hm_buf lacking = {0};
    int rc = check_rollback(sink, error);

    sink->done = (struct packetfs_wire_done){0};
    if (rc == 0)
        rc = own_snapshots(side, &mine, &ids, error);
    if (rc == 0)
        rc = choose(sink, &ids, &lacking, error);
    if (rc == 0)
        rc = take_snapshots(sink, &lacking, &mine, error);
    if (rc == 0)
        rc = remember(sink, error);
    sink->done.round_trips += sink->references->round_trips;
    if (rc == 0)
        rc = say_done(&sink->done, sink->references, error);
    if (rc != 0 && sink->done.plain_bytes > 0) /* the next try finds what arrived */
        (void)side->flush(side->ctx, NULL);
    return rc;
}
