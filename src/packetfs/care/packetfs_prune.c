#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "care/packetfs_prune_inner.h"

/* One prune (or repair) at a time; it holds nobody else up. */
int packetfs_care_lock(const struct packetfs_store *store, int *fd, struct hm_error *error)
{
    char path[PACKETFS_PATH_BYTES];
    HM_AUTOCLOSE int made = -1;
    int rc = packetfs_store_path(store, path, error, "care.lock");

    if (rc)
        return rc;
    if (store->options.read_only)
        return hm_fail(error, HM_EPERM, "the volume %s was opened to read only", store->dir);
    made = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, PACKETFS_FILE_MODE);
    if (made < 0)
        return packetfs_store_fail(error, "open", path);
    if (flock(made, LOCK_EX | LOCK_NB))
        return hm_fail(error, HM_EBUSY, "another prune or repair of %s is running", store->dir);
    *fd = HM_TAKE_FD(made);
    return 0;
}

/* --- which packs there are --- */

static int dictionaries_last(const void *a, const void *b)
{
    const struct packetfs_pack_info *one = a;
    const struct packetfs_pack_info *other = b;
    bool last = one->kind == PACKETFS_DICTIONARY;

    if (last != (other->kind == PACKETFS_DICTIONARY))
        return last ? 1 : -1;
    return (one->number > other->number) - (one->number < other->number);
}

int packetfs_prune_packs(struct packetfs_store *store, struct packetfs_pack_info **out,
                         size_t *count, struct hm_error *error)
{
    int rc = packetfs_index_packs(store->index, out, count, error);

    if (!rc && *count > 0)
        qsort(*out, *count, sizeof(**out), dictionaries_last);
    return rc;
}

/* --- marking --- */

static int mark_bad(void *ctx, const struct packetfs_id *id, int rc, const struct hm_error *error)
{
    struct packetfs_prune *prune = ctx;
    char hex[17];

    hm_hex_encode(id->bytes, 8, hex);
    packetfs_report_finding(prune->report, "reference %s… cannot be read: %s", hex, error->text);
    return rc;
}

static int mark_tick(void *ctx, uint64_t references)
{
    struct packetfs_prune *prune = ctx;

    prune->report->files_done = references;
    return packetfs_report_tick(prune->report) ? 0 : HM_ECANCELLED;
}

/* A snapshot that cannot be read may need anything. */
static int only_sound(void *ctx, const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES],
                      const struct packetfs_snapshot *snapshot, int rc, const struct hm_error *why)
{
    (void)id;
    (void)snapshot;
    return rc ? hm_fail(ctx, rc,
                        "nothing is removed while a snapshot cannot be read (`repair` sets it "
                        "aside): %s",
                        why->text)
              : 0;
}

int packetfs_prune_mark(struct packetfs_prune *prune, struct hm_error *error)
{
    const struct packetfs_mark_visit visit = {.bad = mark_bad, .tick = mark_tick, .ctx = prune};
    HM_AUTOFREE struct packetfs_snapshot *list = NULL;
    size_t count = 0;
    int rc = packetfs_snapshot_each(prune->store, only_sound, error, error);

    if (!rc)
        rc = packetfs_snapshot_list(prune->store, &list, &count, error);
    for (size_t i = 0; i < count && !rc; i++) {
        rc = packetfs_mark_walk(prune->mark, &prune->objects, &list[i].root, &visit, error);
        if (rc == HM_ENOTFOUND || rc == HM_ECORRUPT || rc == HM_EUNSUPPORTED)
            return hm_fail(error, HM_ECORRUPT,
                           "what the snapshot \"%s\" needs cannot be read, so nothing is removed: "
                           "run `check`, "
                           "then `repair`",
                           list[i].label);
        if (rc == HM_ECANCELLED)
            return hm_fail(error, HM_ECANCELLED, "prune was stopped; what it did stays");
    }
    return rc;
}

/* --- condemning --- */

static int next_generation(struct packetfs_store *store, struct hm_error *error)
{
    struct packetfs_index_txn *txn = NULL;
    uint64_t generation;
    int rc = packetfs_index_begin(store->index, &txn, error);

    if (rc)
        return rc;
    rc = packetfs_index_next_generation(txn, &generation, error);
    if (rc) {
        packetfs_index_abort(txn);
        return rc;
    }
    return packetfs_index_commit(txn, error);
}

static int condemn(struct packetfs_prune *prune, const size_t *chosen, size_t count,
                   struct hm_error *error)
{
    struct packetfs_index_txn *txn = NULL;
    uint64_t generation = 0;
    int rc;

    if (count == 0)
        return 0;
    rc = packetfs_index_begin(prune->store->index, &txn, error);
    if (rc)
        return rc;
    rc = packetfs_index_next_generation(txn, &generation, error);
    for (size_t i = 0; i < count && !rc; i++)
        rc = packetfs_index_condemn(txn, prune->packs[chosen[i]].number, generation, error);
    if (rc) {
        packetfs_index_abort(txn);
        return rc;
    }
    return packetfs_index_commit(txn, error);
}

/* --- removing what is condemned --- */

/* Condemned packs that no living writer began before, moved to the front in their order. */
static size_t ready_packs(struct packetfs_pack_info *packs, size_t count, uint64_t lowest,
                          uint64_t *waiting)
{
    size_t ready = 0;

    for (size_t i = 0; i < count; i++) {
        if (packs[i].state != PACKETFS_PACK_CONDEMNED)
            continue;
        if (packs[i].condemned > lowest)
            ++*waiting;
        else
            packs[ready++] = packs[i];
    }
    return ready;
}

static int remove_condemned(struct packetfs_prune *prune, struct hm_error *error)
{
    HM_AUTOFREE struct packetfs_pack_info *packs = NULL;
    HM_AUTOFREE bool *whole = NULL;
    uint64_t writers = 0;
    uint64_t lowest = UINT64_MAX;
    size_t count = 0;
    int rc = packetfs_prune_packs(prune->store, &packs, &count, error);

    if (!rc)
        rc = packetfs_alive_count(prune->store, NULL, &writers, &lowest, error);
    if (rc)
        return rc;
    count = ready_packs(packs, count, lowest, &prune->result->packs_waiting);
    if (count == 0)
        return 0;
    whole = hm_calloc(count, sizeof(*whole));
    if (!whole)
        return hm_fail(error, HM_ENOMEM, "no memory to prune");
    /* Those writers' snapshots are there now, if they made any. */
    rc = packetfs_prune_mark(prune, error);
    if (!rc)
        rc = packetfs_prune_rescue(prune, packs, count, whole, error);
    return rc ? rc : packetfs_prune_bury(prune, packs, count, whole, error);
}

/* --- all of it --- */

static int marks_make(struct packetfs_prune *prune, struct hm_error *error)
{
    uint64_t patterns = 0;
    uint64_t objects = 0;

    for (size_t i = 0; i < prune->pack_count; i++) {
        objects += prune->packs[i].objects;
        patterns += prune->packs[i].kind == PACKETFS_PATTERN ? prune->packs[i].objects : 0;
    }
    if (packetfs_mark_new(patterns, &prune->mark) ||
        packetfs_bloom_init(&prune->seen, objects, PACKETFS_MARK_BITS / 2))
        return hm_fail(error, HM_ENOMEM, "no memory to mark %llu objects",
                       (unsigned long long)objects);
    return 0;
}

/* The order matters: packs first, then who lives, then the snapshots. Whose pack is among those and who is not alive any
 * more has made his snapshot before. */
static int prune_run(struct packetfs_prune *prune, struct hm_error *error)
{
    HM_AUTOFREE size_t *chosen = NULL;
    uint64_t writers = 0;
    size_t count = 0;
    bool dry = prune->options->dry_run;
    int rc = dry ? 0 : packetfs_prune_sweep(prune->store, error);

    if (!rc)
        rc = packetfs_prune_packs(prune->store, &prune->packs, &prune->pack_count, error);
    if (!rc && !dry)
        rc = next_generation(prune->store, error);
    if (!rc)
        rc = packetfs_alive_count(prune->store, NULL, &writers, &prune->lowest, error);
    if (!rc)
        rc = marks_make(prune, error);
    if (!rc)
        rc = packetfs_prune_mark(prune, error);
    if (!rc)
        rc = packetfs_prune_choose(prune, &chosen, &count, error);
    if (rc || dry)
        return rc;
    rc = condemn(prune, chosen, count, error);
    return rc ? rc : remove_condemned(prune, error);
}

int packetfs_store_prune(struct packetfs_store *store, const struct packetfs_prune_options *options,
                         const struct packetfs_watch *watch, struct packetfs_prune_result *out,
                         struct hm_error *error)
{
    struct packetfs_prune_result result = {0};
    struct packetfs_report report;
    struct packetfs_prune prune = {.store = store,
                                   .objects = packetfs_store_objects(store),
                                   .options = options,
                                   .report = &report,
                                   .result = &result};
    HM_AUTOCLOSE int lock = -1;
    int rc;

    if (options->unused_percent > 100)
        return hm_fail(error, HM_EINVAL, "unused_percent is 0 to 100, not %u",
                       options->unused_percent);
    rc = packetfs_care_lock(store, &lock, error);
    if (!rc)
        rc = packetfs_store_refresh(store, error);
    if (rc)
        return rc;
    packetfs_report_init(&report, watch, "prune");
    rc = prune_run(&prune, error);
    packetfs_report_end(&report);
    packetfs_report_release(&report);
    packetfs_mark_free(prune.mark);
    packetfs_bloom_release(&prune.seen);
    hm_free(prune.packs);
    hm_free(prune.names.refs);
    if (!rc)
        *out = result;
    return rc;
}
