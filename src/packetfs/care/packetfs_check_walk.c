#include <stdarg.h>
#include <stdio.h>

#include "care/packetfs_check_inner.h"

void packetfs_check_finding(struct packetfs_check *check, const char *format, ...)
{
    char text[HM_ERROR_TEXT_BYTES];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    check->result->findings++;
    packetfs_report_finding(check->report, "%s", text);
}

/* --- walking from the snapshots --- */

static int lost(struct packetfs_check *check, const struct packetfs_id *id, const char *what,
                const char *why)
{
    char hex[17];
    char name[9];

    hm_hex_encode(id->bytes, 8, hex);
    hm_hex_encode(check->snapshot->id, 4, name);
    check->lost++;
    packetfs_check_finding(check, "snapshot %s \"%s\" needs %s %s…, and that is lost%s%s", name,
                           check->snapshot->label, what, hex, why[0] ? ": " : "", why);
    return 0;
}

static int see_pattern(void *ctx, const struct packetfs_id *id)
{
    struct packetfs_check *check = ctx;
    int rc = packetfs_store_has(check->store, PACKETFS_PATTERN, id);

    if (rc == HM_ENOTFOUND)
        return lost(check, id, "pattern", "");
    return rc ? hm_fail(check->error, rc, "the index cannot be read") : 0;
}

static int see_bad(void *ctx, const struct packetfs_id *id, int rc, const struct hm_error *error)
{
    return lost(ctx, id, "reference", rc == HM_ENOTFOUND ? "" : error->text);
}

static int see_tick(void *ctx, uint64_t references)
{
    struct packetfs_check *check = ctx;

    check->report->files_done = references;
    if (packetfs_report_tick(check->report))
        return 0;
    return hm_fail(check->error, HM_ECANCELLED, "stopped");
}

struct snapshots_job {
    struct packetfs_check *check;
    struct packetfs_objects objects;
    int (*bad)(struct packetfs_check *check, const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES]);
};

static int see_snapshot(void *ctx, const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES],
                        const struct packetfs_snapshot *snapshot, int rc,
                        const struct hm_error *why)
{
    struct snapshots_job *job = ctx;
    struct packetfs_check *check = job->check;
    const struct packetfs_mark_visit visit = {
        .pattern = see_pattern, .bad = see_bad, .tick = see_tick, .ctx = check};

    if (rc == HM_ECORRUPT || rc == HM_EUNSUPPORTED) {
        packetfs_check_finding(check, "%s", why->text);
        return job->bad ? job->bad(check, id) : 0;
    }
    if (rc) {
        if (check->error)
            *check->error = *why;
        return rc;
    }
    check->result->snapshots++;
    check->snapshot = snapshot;
    rc = packetfs_mark_walk(check->mark, &job->objects, &snapshot->root, &visit, check->error);
    check->snapshot = NULL;
    return rc;
}

/* --- which snapshots are not whole ---
 *
 * The walk above looks at what several snapshots share once only, and names the first. When something was lost, each is
 * walked by itself. */

static int count_pattern(void *ctx, const struct packetfs_id *id)
{
    struct packetfs_check *check = ctx;
    int rc = packetfs_store_has(check->store, PACKETFS_PATTERN, id);

    check->lost += rc == HM_ENOTFOUND;
    return rc == 0 || rc == HM_ENOTFOUND ? 0
                                         : hm_fail(check->error, rc, "the index cannot be read");
}

static int count_bad(void *ctx, const struct packetfs_id *id, int rc, const struct hm_error *error)
{
    struct packetfs_check *check = ctx;

    (void)id;
    (void)rc;
    (void)error;
    check->lost++;
    return 0;
}

static int see_whole(void *ctx, const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES],
                     const struct packetfs_snapshot *snapshot, int rc, const struct hm_error *why)
{
    struct snapshots_job *job = ctx;
    struct packetfs_check *check = job->check;
    const struct packetfs_mark_visit visit = {
        .pattern = count_pattern, .bad = count_bad, .tick = see_tick, .ctx = check};
    char name[9];

    (void)why;
    if (rc)
        return 0; /* told before */
    check->lost = 0;
    if (packetfs_mark_new(0, &check->mark))
        return hm_fail(check->error, HM_ENOMEM, "no memory to check");
    rc = packetfs_mark_walk(check->mark, &job->objects, &snapshot->root, &visit, check->error);
    packetfs_mark_free(HM_TAKE(check->mark));
    hm_hex_encode(id, 4, name);
    if (!rc && check->lost > 0)
        packetfs_check_finding(check, "snapshot %s \"%s\" is not whole: %llu places in it are lost",
                               name, snapshot->label, (unsigned long long)check->lost);
    return rc;
}

int packetfs_check_snapshots(struct packetfs_check *check,
                             int (*bad)(struct packetfs_check *check,
                                        const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES]),
                             struct hm_error *error)
{
    struct snapshots_job job = {
        .check = check, .objects = packetfs_store_objects(check->store), .bad = bad};
    int rc = 0;

    check->error = error;
    check->lost = 0;
    if (packetfs_mark_new(0, &check->mark))
        return hm_fail(error, HM_ENOMEM, "no memory to check");
    rc = packetfs_snapshot_each(check->store, see_snapshot, &job, error);
    packetfs_mark_free(HM_TAKE(check->mark));
    if (!rc && check->lost > 0)
        rc = packetfs_snapshot_each(check->store, see_whole, &job, error);
    check->error = NULL;
    return rc;
}

/* --- the objects of one pack --- */

static int check_one(struct packetfs_check *check, const struct packetfs_file_slot *file,
                     const struct packetfs_pack_row *row, struct hm_error *error)
{
    struct hm_slice frame;
    int rc = packetfs_hand_read_file(check->store, check->hand, file, &row->id, row->position,
                                     row->length, &frame, error);

    struct packetfs_dict *dict = NULL;

    hm_buf_clear(&check->bytes);
    check->hand->missed = 0;
    if (!rc)
        rc = packetfs_hand_unpack(check->store, check->hand, file->header.kind, &row->id, frame,
                                  &check->bytes, error);
    if (!rc && file->header.kind == PACKETFS_DICTIONARY)
        rc = packetfs_dict_new(&row->id, hm_buf_slice(&check->bytes), 0, &dict, error);
    packetfs_dict_free(dict);
    return rc;
}

/* One finding for all that lack the same dictionary. */
struct missed {
    uint64_t ref;
    uint64_t objects;
    struct hm_error why;
};

static void missed_tell(struct packetfs_check *check, const char *hex, struct missed *missed)
{
    if (missed->objects > 0)
        packetfs_check_finding(check, "pack %s: %llu of its objects are lost: %s", hex,
                               (unsigned long long)missed->objects, missed->why.text);
    missed->objects = 0;
}

static void missed_add(struct packetfs_check *check, const char *hex, struct missed *missed,
                       const struct hm_error *why)
{
    if (missed->ref != check->hand->missed)
        missed_tell(check, hex, missed);
    missed->ref = check->hand->missed;
    missed->why = *why;
    missed->objects++;
}

static bool is_damage(int rc)
{
    return rc == HM_ECORRUPT || rc == HM_EUNSUPPORTED;
}

int packetfs_check_objects(struct packetfs_check *check, const struct packetfs_file_slot *file,
                           const struct packetfs_pack_row *rows,
                           const struct packetfs_pack_footer *footer, bool *good, uint64_t *bad,
                           struct hm_error *error)
{
    char hex[2 * PACKETFS_PACK_NAME_BYTES + 1];
    struct missed missed = {0};
    struct hm_error why = {0};
    int rc = 0;

    hm_hex_encode(file->name, PACKETFS_PACK_NAME_BYTES, hex);
    *bad = 0;
    for (uint32_t i = 0; i < footer->objects && !rc; i++) {
        rc = check_one(check, file, &rows[i], &why);
        if (good)
            good[i] = rc == 0;
        if (rc == HM_ECORRUPT || (rc == HM_EUNSUPPORTED && !good)) {
            ++*bad;
            if (check->hand->missed)
                missed_add(check, hex, &missed, &why);
            else
                packetfs_check_finding(check, "pack %s: %s", hex, why.text);
            rc = 0;
        }
        check->report->bytes_done += (uint64_t)rows[i].length * PACKETFS_UNIT_BYTES;
        if (!packetfs_report_tick(check->report))
            rc = hm_fail(&why, HM_ECANCELLED, "stopped");
    }
    missed_tell(check, hex, &missed);
    /* The hand's key is this pack's, unless there was no object. */
    if (!rc && footer->objects > 0) {
        rc = packetfs_pack_check_filler(file->fd, &check->hand->key, footer, &why);
        if (is_damage(rc)) {
            ++*bad;
            packetfs_check_finding(check, "pack %s: %s", hex, why.text);
            rc = 0;
        }
    }
    check->result->bytes_read += (uint64_t)footer->file_length * PACKETFS_UNIT_BYTES;
    if (rc && error)
        *error = why;
    return rc;
}
