/* Which snapshots one side has and the other lacks, in round trips that grow with the logarithm of their number. */
#include <stdlib.h>

#include "sync/packetfs_sync.h"

#define ID_BYTES  PACKETFS_SNAPSHOT_ID_BYTES
#define PARTS_MAX ((size_t)1 << 18) /* asked for in all: four times what a million snapshots take */

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, ID_BYTES);
}

/* Is there a later one of the same label? */
static bool is_newest(const struct packetfs_snapshot *snapshots, size_t count, size_t at)
{
    for (size_t i = at + 1; i < count; i++)
        if (strcmp(snapshots[i].label, snapshots[at].label) == 0)
            return false;
    return true;
}

int packetfs_sync_choose(const struct packetfs_snapshot *snapshots, size_t count,
                         const struct packetfs_choice *choice, struct hm_buf *out)
{
    size_t before = out->len;

    for (size_t i = 0; i < count; i++) {
        if (choice->label.len > 0 &&
            !hm_slice_equal(choice->label, hm_slice_str(snapshots[i].label)))
            continue;
        if (choice->newest_only && !is_newest(snapshots, count, i))
            continue;
        if (hm_buf_append(out, snapshots[i].id, ID_BYTES) != 0)
            return HM_ENOMEM;
    }
    if (out->len > before)
        qsort(out->data + before, (out->len - before) / ID_BYTES, ID_BYTES, compare_ids);
    return 0;
}

/* The ids of a part lie together: from *first on, how many. */
static size_t part_range(const uint8_t *ids, size_t count, const struct packetfs_wire_part *part,
                         size_t *first)
{
    size_t low = 0;
    size_t high = count;
    size_t end;

    while (low < high) { /* the first that is not before the prefix, whose rest is zeros */
        size_t middle = low + (high - low) / 2;

        if (memcmp(ids + middle * ID_BYTES, part->prefix, ID_BYTES) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    end = low;
    while (end < count && packetfs_wire_part_holds(part, ids + end * ID_BYTES))
        end++;
    *first = low;
    return end - low;
}

static void part_child(const struct packetfs_wire_part *part, size_t bucket,
                       struct packetfs_wire_part *out)
{
    uint8_t *at = &out->prefix[part->depth / 2];

    *out = *part;
    *at = (uint8_t)(part->depth % 2 == 0 ? bucket << 4 : *at | bucket);
    out->depth = (uint8_t)(part->depth + 1);
}

/* --- the source ----------------------------------------------------------------------------------------------------------- */

static void answer_part(const uint8_t *ids, size_t count, const struct packetfs_wire_part *part,
                        struct packetfs_wire_ids *out)
{
    uint8_t mark[PACKETFS_WIRE_MARK_BYTES];
    size_t first;
    size_t len = part_range(ids, count, part, &first);

    memset(out, 0, sizeof(*out));
    packetfs_wire_mark(ids + first * ID_BYTES, len, mark);
    if (memcmp(mark, part->mark, sizeof(mark)) == 0) {
        out->form = PACKETFS_WIRE_SAME;
    } else if (len <= PACKETFS_WIRE_IDS_MAX) {
        out->form = PACKETFS_WIRE_LIST;
        out->count = len;
        if (len > 0)
            memcpy(out->ids, ids + first * ID_BYTES, len * ID_BYTES);
    } else {
        out->form = PACKETFS_WIRE_SPLIT;
        for (size_t i = 0; i < PACKETFS_WIRE_BUCKETS; i++) {
            struct packetfs_wire_part child;
            size_t at;

            part_child(part, i, &child);
            out->bucket_count[i] = part_range(ids, count, &child, &at);
            packetfs_wire_mark(ids + at * ID_BYTES, (size_t)out->bucket_count[i],
                               out->bucket_mark[i]);
        }
    }
}

int packetfs_sync_answer(const uint8_t *ids, size_t count, const struct packetfs_wire_ask *ask,
                         struct hm_buf *out, struct hm_error *error)
{
    static const uint8_t none[1];

    if (ids == NULL)
        ids = none;
    for (size_t i = 0; i < ask->count; i++) {
        struct packetfs_wire_ids answer;

        answer_part(ids, count, &ask->parts[i], &answer);
        if (packetfs_wire_ids_write(&answer, out) != 0)
            return hm_fail(error, HM_ENOMEM, "no memory for a list of snapshots");
    }
    return 0;
}

/* --- the sink ------------------------------------------------------------------------------------------------------------- */

/* Parts still to be asked for. */
struct parts {
    struct hm_buf list; /* of struct packetfs_wire_part */
    const uint8_t *mine;
    size_t count;
    size_t asked;
};

static int parts_add(struct parts *parts, struct packetfs_wire_part part)
{
    size_t first;
    size_t len = part_range(parts->mine, parts->count, &part, &first);

    packetfs_wire_mark(parts->mine + first * ID_BYTES, len, part.mark);
    return hm_buf_append(&parts->list, &part, sizeof(part));
}

static int take_list(const struct parts *parts, const struct packetfs_wire_ids *ids,
                     struct hm_buf *out)
{
    for (size_t i = 0; i < ids->count; i++) {
        if (bsearch(ids->ids[i], parts->mine, parts->count, ID_BYTES, compare_ids) != NULL)
            continue;
        if (hm_buf_append(out, ids->ids[i], ID_BYTES) != 0)
            return HM_ENOMEM;
    }
    return 0;
}

static int take_split(struct parts *parts, const struct packetfs_wire_part *part,
                      const struct packetfs_wire_ids *ids)
{
    for (size_t i = 0; i < PACKETFS_WIRE_BUCKETS; i++) {
        struct packetfs_wire_part child;
        uint8_t mark[PACKETFS_WIRE_MARK_BYTES];
        size_t first;
        size_t len;

        if (ids->bucket_count[i] == 0)
            continue;
        part_child(part, i, &child);
        len = part_range(parts->mine, parts->count, &child, &first);
        packetfs_wire_mark(parts->mine + first * ID_BYTES, len, mark);
        if (memcmp(mark, ids->bucket_mark[i], sizeof(mark)) != 0 && parts_add(parts, child) != 0)
            return HM_ENOMEM;
    }
    return 0;
}

/* One round trip: up to PACKETFS_WIRE_ASKS_MAX parts. */
static int ask_once(struct packetfs_talk *talk, struct parts *parts, struct hm_buf *out,
                    struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    struct packetfs_wire_ask ask = {0};
    struct packetfs_wire_ids ids;
    struct hm_slice answer;
    int rc;

    while (ask.count < PACKETFS_WIRE_ASKS_MAX && parts->list.len > 0) {
        parts->list.len -= sizeof(ask.parts[0]);
        memcpy(&ask.parts[ask.count++], parts->list.data + parts->list.len, sizeof(ask.parts[0]));
    }
    parts->asked += ask.count;
    if (parts->asked > PARTS_MAX)
        return hm_fail(error, HM_ELIMIT, "the peer's list of snapshots has no end");
    if (packetfs_wire_ask_write(&ask, &body) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to ask for snapshots");
    rc = packetfs_talk_send(talk, PACKETFS_WIRE_ASK, hm_buf_slice(&body), error);
    if (rc == 0)
        rc = packetfs_talk_expect(talk, PACKETFS_WIRE_IDS, &answer, error);
    for (size_t i = 0; rc == 0 && i < ask.count; i++) {
        rc = packetfs_wire_ids_take(&answer, &ask.parts[i], &ids, error);
        if (rc != 0)
            break;
        if ((ids.form == PACKETFS_WIRE_LIST && take_list(parts, &ids, out) != 0) ||
            (ids.form == PACKETFS_WIRE_SPLIT && take_split(parts, &ask.parts[i], &ids) != 0))
            rc = hm_fail(error, HM_ENOMEM, "no memory for a list of snapshots");
    }
    if (rc == 0 && answer.len != 0)
        rc = hm_fail(error, HM_EPARSE, "the peer's list of snapshots is longer than was asked for");
    return rc;
}

int packetfs_sync_reconcile(struct packetfs_talk *talk, const uint8_t *mine, size_t count,
                            struct hm_buf *out, struct hm_error *error)
{
    static const uint8_t none[1];
    struct parts parts = {.mine = mine != NULL ? mine : none, .count = count};
    size_t before = out->len;
    int rc = parts_add(&parts, (struct packetfs_wire_part){0});

    if (rc != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory to ask for snapshots");
    while (rc == 0 && parts.list.len > 0) {
        rc = ask_once(talk, &parts, out, error);
        if (rc == 0 && (out->len - before) / ID_BYTES > PACKETFS_SNAPSHOTS_MAX)
            rc = hm_fail(error, HM_ELIMIT, "the peer has more than %d snapshots to give",
                         PACKETFS_SNAPSHOTS_MAX);
    }
    hm_buf_release(&parts.list);
    if (rc == 0 && out->len > before)
        qsort(out->data + before, (out->len - before) / ID_BYTES, ID_BYTES, compare_ids);
    return rc;
}
