#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "care/packetfs_check_inner.h"

/* A damaged pack whose sound objects are to be saved. */
struct wreck {
    uint8_t name[PACKETFS_PACK_NAME_BYTES];
    struct packetfs_pack_row *rows; /* sound ones; NULL: nothing in it can be told */
    uint32_t count;
};

struct repair {
    struct packetfs_check check;
    struct packetfs_index *index; /* the new one */
    struct wreck *wrecks;
    size_t wreck_count, wreck_room;
};

static void repair_release(struct repair *repair)
{
    for (size_t i = 0; i < repair->wreck_count; i++)
        hm_free(repair->wrecks[i].rows);
    hm_free(repair->wrecks);
    packetfs_index_close(repair->index);
}

static int wreck_add(struct repair *repair, const uint8_t name[PACKETFS_PACK_NAME_BYTES],
                     struct packetfs_pack_row *rows, uint32_t count, struct hm_error *error)
{
    struct wreck *wreck;

    if (repair->wreck_count == repair->wreck_room) {
        size_t room = repair->wreck_room ? repair->wreck_room * 2 : 16;
        void *wrecks = hm_realloc(repair->wrecks, room * sizeof(*repair->wrecks));

        if (!wrecks)
            return hm_fail(error, HM_ENOMEM, "no memory to repair");
        repair->wrecks = wrecks;
        repair->wreck_room = room;
    }
    wreck = &repair->wrecks[repair->wreck_count++];
    memcpy(wreck->name, name, sizeof(wreck->name));
    wreck->rows = rows;
    wreck->count = count;
    return 0;
}

/* --- aside --- */

static int aside(struct packetfs_store *store, const char *path, const char *name,
                 struct hm_error *error)
{
    char folder[PACKETFS_PATH_BYTES];
    char target[PACKETFS_PATH_BYTES];
    int rc = packetfs_store_path(store, folder, error, "damaged");

    if (!rc)
        rc = packetfs_store_path(store, target, error, "damaged/%s", name);
    if (rc)
        return rc;
    if (mkdir(folder, PACKETFS_FOLDER_MODE) && errno != EEXIST)
        return packetfs_store_fail(error, "make the folder", folder);
    if (rename(path, target) && errno != ENOENT)
        return packetfs_store_fail(error, "set aside", path);
    return packetfs_store_sync_folder(folder, error);
}

static int bad_snapshot(struct packetfs_check *check, const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES])
{
    char hex[2 * PACKETFS_SNAPSHOT_ID_BYTES + 1];
    char path[PACKETFS_PATH_BYTES];
    int rc;

    hm_hex_encode(id, PACKETFS_SNAPSHOT_ID_BYTES, hex);
    rc = packetfs_store_path(check->store, path, check->error, "snapshots/%s", hex);
    return rc ? rc : aside(check->store, path, hex, check->error);
}

/* --- packs into the new index --- */

static int enter(struct repair *repair, const struct packetfs_file_slot *file,
                 const struct packetfs_pack_footer *footer, const struct packetfs_pack_row *rows,
                 struct hm_error *error)
{
    struct packetfs_pack_info info = {.kind = file->header.kind,
                                      .objects = footer->objects,
                                      .bytes = (uint64_t)footer->file_length * PACKETFS_UNIT_BYTES};
    struct packetfs_index_txn *txn = NULL;
    bool added;
    int rc = packetfs_index_begin(repair->index, &txn, error);

    if (rc)
        return rc;
    memcpy(info.name, file->name, sizeof(info.name));
    rc = packetfs_index_add(txn, &info, rows, &added, error);
    if (rc) {
        packetfs_index_abort(txn);
        return rc;
    }
    return packetfs_index_commit(txn, error);
}

static uint32_t keep_good(struct packetfs_pack_row *rows, uint32_t count, const bool *good)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (good[i])
            rows[kept++] = rows[i];
    }
    return kept;
}

static int take_pack(struct repair *repair, const struct packetfs_file_slot *file,
                     struct hm_error *error)
{
    HM_AUTOFREE struct packetfs_pack_row *rows = NULL;
    HM_AUTOFREE bool *good = NULL;
    struct packetfs_pack_footer footer;
    uint64_t bad = 0;
    int rc = packetfs_pack_read_folder(file->fd, &repair->check.store->keys, NULL, &footer, &rows,
                                       NULL, error);

    if (rc)
        return rc;
    good = hm_calloc(footer.objects + 1, sizeof(*good));
    if (!good)
        return hm_fail(error, HM_ENOMEM, "no memory to repair");
    rc = packetfs_check_objects(&repair->check, file, rows, &footer, good, &bad, error);
    if (rc)
        return rc;
    repair->check.result->packs++;
    repair->check.result->objects += footer.objects;
    if (bad == 0)
        return enter(repair, file, &footer, rows, error);
    footer.objects = keep_good(rows, footer.objects, good);
    rc = wreck_add(repair, file->name, rows, footer.objects, error);
    if (!rc)
        rows = NULL; /* the wreck's now */
    return rc;
}

static int take_packs(struct repair *repair, struct hm_error *error)
{
    struct packetfs_store *store = repair->check.store;
    HM_AUTOFREE uint8_t(*names)[PACKETFS_PACK_NAME_BYTES] = NULL;
    size_t count = 0;
    int rc = packetfs_store_pack_names(store, &names, &count, error);

    repair->check.report->files_total = count;
    for (size_t i = 0; i < count && !rc; i++) {
        struct packetfs_file_slot *file = NULL;
        struct hm_error why = {0};
        char hex[2 * PACKETFS_PACK_NAME_BYTES + 1];

        packetfs_store_file_drop(store, names[i]);
        rc = packetfs_store_file_take(store, names[i], &file, &why);
        if (!rc)
            rc = take_pack(repair, file, &why);
        packetfs_store_file_give(store, file);
        repair->check.report->files_done++;
        if (rc == HM_ECORRUPT) {
            hm_hex_encode(names[i], PACKETFS_PACK_NAME_BYTES, hex);
            packetfs_check_finding(&repair->check, "pack %s: %s", hex, why.text);
            rc = wreck_add(repair, names[i], NULL, 0, error);
        } else if (rc && error) {
            *error = why;
        }
    }
    return rc;
}

/* --- the new index in the place of the old --- */

/* A moment without an index is found by the next one who opens the volume: then it is lost, and repaired again. */
static int exchange(struct packetfs_store *store, const char *made, struct hm_error *error)
{
    char path[PACKETFS_PATH_BYTES];
    char old[PACKETFS_PATH_BYTES];
    int rc = packetfs_store_path(store, path, error, "index");

    if (!rc)
        rc = packetfs_store_path(store, old, error, "index.old");
    if (!rc)
        rc = hm_remove_tree(old, error);
    if (rc)
        return rc;
    if (rename(path, old) && errno != ENOENT)
        return packetfs_store_fail(error, "set aside", path);
    if (rename(made, path)) {
        rc = packetfs_store_fail(error, "put in place", path);
        (void)rename(old, path);
        return rc;
    }
    rc = packetfs_store_sync_folder(store->dir, error);
    return rc ? rc : hm_remove_tree(old, error);
}

static int index_make(struct repair *repair, char made[PACKETFS_PATH_BYTES], struct hm_error *error)
{
    struct packetfs_store *store = repair->check.store;
    char work[PACKETFS_PATH_BYTES];
    int rc = packetfs_store_path(store, work, error, "tmp");

    if (!rc)
        rc = packetfs_store_path(store, made, error, "index.new");
    if (!rc)
        rc = hm_remove_tree(made, error);
    if (!rc)
        rc = packetfs_index_create(work, made, store->keys.volume_id, error);
    return rc ? rc : packetfs_index_open(made, store->keys.volume_id, false, &repair->index, error);
}

/* Whoever has the old one open takes the new one when he next looks (packetfs_store_refresh). */
static int index_replace(struct repair *repair, const char *made, struct hm_error *error)
{
    int rc = exchange(repair->check.store, made, error);

    return rc ? rc : packetfs_store_refresh(repair->check.store, error);
}

/* --- what can be saved of damaged packs --- */

static int salvage_one(struct repair *repair, struct packetfs_writer *writer,
                       const struct wreck *wreck, struct hm_error *error)
{
    struct packetfs_store *store = repair->check.store;
    struct packetfs_file_slot *file = NULL;
    int rc = packetfs_store_file_take(store, wreck->name, &file, error);

    for (uint32_t i = 0; i < wreck->count && !rc; i++) {
        const struct packetfs_pack_row *row = &wreck->rows[i];
        struct hm_slice frame;

        rc = packetfs_hand_read_file(store, repair->check.hand, file, &row->id, row->position,
                                     row->length, &frame, error);
        if (!rc)
            rc = packetfs_writer_put_frame(writer, file->header.kind, &row->id, frame, error);
    }
    packetfs_store_file_give(store, file);
    return rc;
}

/* Damaged packs go aside when their sound objects are durable elsewhere. */
static int salvage(struct repair *repair, struct hm_error *error)
{
    struct packetfs_store *store = repair->check.store;
    struct packetfs_writer *writer = NULL;
    int rc = packetfs_writer_open_bare(store, &writer, error);

    for (size_t i = 0; i < repair->wreck_count && !rc; i++) {
        if (repair->wrecks[i].rows)
            rc = salvage_one(repair, writer, &repair->wrecks[i], error);
    }
    if (!rc)
        rc = packetfs_writer_flush(writer, error);
    packetfs_writer_close(writer);
    for (size_t i = 0; i < repair->wreck_count && !rc; i++) {
        char path[PACKETFS_PATH_BYTES];
        char hex[2 * PACKETFS_PACK_NAME_BYTES + 1];

        hm_hex_encode(repair->wrecks[i].name, PACKETFS_PACK_NAME_BYTES, hex);
        packetfs_store_file_drop(store, repair->wrecks[i].name);
        rc = packetfs_store_pack_path(store, repair->wrecks[i].name, path, error);
        if (!rc)
            rc = aside(store, path, hex, error);
    }
    return rc;
}

static int nobody_writes(struct packetfs_store *store, struct hm_error *error)
{
    uint64_t writers = 0;
    uint64_t lowest;
    int rc = packetfs_alive_count(store, NULL, &writers, &lowest, error);

    if (!rc && writers > 0)
        return hm_fail(error, HM_EBUSY, "%llu writers are at the volume %s: wait until they end",
                       (unsigned long long)writers, store->dir);
    return rc;
}

/* What a later program wrote is no damage, and nothing may be moved for it. */
static int later_format(void *ctx, const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES],
                        const struct packetfs_snapshot *snapshot, int rc,
                        const struct hm_error *why)
{
    (void)id;
    (void)snapshot;
    return rc == HM_EUNSUPPORTED ? hm_fail(ctx, rc, "%s", why->text) : 0;
}

static int repair_run(struct repair *repair, struct hm_error *error)
{
    struct packetfs_store *store = repair->check.store;
    char made[PACKETFS_PATH_BYTES];
    HM_AUTOCLOSE int bar = -1;
    int rc = packetfs_alive_bar(store, &bar, error);

    if (!rc)
        rc = nobody_writes(store, error);
    if (!rc)
        rc = packetfs_snapshot_each(store, later_format, error, error);
    if (!rc)
        rc = index_make(repair, made, error);
    if (!rc)
        rc = packetfs_dict_table_hold(store, error);
    if (!rc)
        rc = take_packs(repair, error);
    packetfs_dict_table_let(store);
    if (!rc)
        rc = index_replace(repair, made, error);
    if (!rc && repair->wreck_count > 0)
        rc = salvage(repair, error);
    return rc ? rc : packetfs_check_snapshots(&repair->check, bad_snapshot, error);
}

int packetfs_store_repair(struct packetfs_store *store, const struct packetfs_watch *watch,
                          struct packetfs_check_result *out, struct hm_error *error)
{
    struct packetfs_check_result result = {0};
    struct packetfs_report report;
    struct repair repair = {.check = {.store = store, .report = &report, .result = &result}};
    HM_AUTOCLOSE int lock = -1;
    int rc = packetfs_care_lock(store, &lock, error);

    if (!rc)
        rc = packetfs_store_hand_take(store, &repair.check.hand, error);
    if (rc)
        return rc;
    packetfs_report_init(&report, watch, "repair");
    rc = repair_run(&repair, error);
    packetfs_report_end(&report);
    packetfs_report_release(&report);
    packetfs_store_hand_give(store, repair.check.hand);
    hm_buf_release(&repair.check.bytes);
    repair_release(&repair);
    if (!rc)
        *out = result;
    return rc;
}
