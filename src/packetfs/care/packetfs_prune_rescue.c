#include <errno.h>
#include <unistd.h>

#include "care/packetfs_prune_inner.h"

#define BURY_TOGETHER 4u /* packs whose items one transaction removes */

/* --- copies of what is needed --- */

struct rescue {
    struct packetfs_prune *prune;
    struct packetfs_writer *writer;
    struct packetfs_hand *hand;
};

static int rescue_one(struct rescue *rescue, const struct packetfs_pack_info *pack,
                      const struct packetfs_file_slot *file, const struct packetfs_pack_row *row,
                      bool *whole, struct hm_error *error)
{
    struct packetfs_store *store = rescue->prune->store;
    struct hm_error why = {0};
    struct hm_slice frame;
    int rc = packetfs_index_has_live(store->index, pack->kind, &row->id);

    if (rc != HM_ENOTFOUND)
        return rc ? hm_fail(error, rc, "the index cannot be read") : 0;
    rc = packetfs_hand_read_file(store, rescue->hand, file, &row->id, row->position, row->length,
                                 &frame, &why);
    if (rc == HM_ECORRUPT) {
        packetfs_report_finding(rescue->prune->report, "%s", why.text);
        *whole = false;
        return 0;
    }
    if (rc) {
        if (error)
            *error = why;
        return rc;
    }
    rescue->prune->result->bytes_rewritten += (uint64_t)row->length * PACKETFS_UNIT_BYTES;
    return packetfs_writer_put_frame(rescue->writer, pack->kind, &row->id, frame, error);
}

static int rescue_pack(struct rescue *rescue, const struct packetfs_pack_info *pack, bool *whole,
                       struct hm_error *error)
{
    struct packetfs_prune *prune = rescue->prune;
    struct packetfs_file_slot *file = NULL;
    HM_AUTOFREE struct packetfs_pack_row *rows = NULL;
    int rc = packetfs_prune_folder(prune->store, pack, &file, &rows, NULL, error);

    if (rc == HM_ECORRUPT || rc == HM_ENOTFOUND) {
        packetfs_report_finding(prune->report, "%s", error ? error->text : "a pack is damaged");
        return 0; /* stays condemned: `repair` */
    }
    if (rc)
        return rc;
    *whole = true;
    for (uint32_t i = 0; i < pack->objects && !rc; i++) {
        if (packetfs_prune_needs(prune, pack->kind, &rows[i].id))
            rc = rescue_one(rescue, pack, file, &rows[i], whole, error);
        else
            prune->result->objects_removed++;
    }
    packetfs_store_file_give(prune->store, file);
    if (!rc && !packetfs_report_tick(prune->report))
        rc = hm_fail(error, HM_ECANCELLED, "prune was stopped; what it did stays");
    return rc;
}

int packetfs_prune_rescue(struct packetfs_prune *prune, const struct packetfs_pack_info *packs,
                          size_t count, bool *whole, struct hm_error *error)
{
    struct rescue rescue = {.prune = prune};
    int rc = packetfs_writer_open(prune->store, &rescue.writer, error);

    /* Once the writer is there: what a killed one left is in the index now. */
    if (!rc)
        rc = packetfs_prune_names_find(prune, packs, count, error);
    if (!rc)
        rc = packetfs_store_hand_take(prune->store, &rescue.hand, error);
    for (size_t i = 0; i < count && !rc; i++)
        rc = rescue_pack(&rescue, &packs[i], &whole[i], error);
    packetfs_store_hand_give(prune->store, rescue.hand);
    if (!rc)
        rc = packetfs_writer_flush(rescue.writer, error);
    packetfs_writer_close(rescue.writer);
    return rc;
}

/* --- packs that go --- */

static int bury_one(struct packetfs_prune *prune, struct packetfs_index_txn *txn,
                    const struct packetfs_pack_info *pack, struct hm_error *error)
{
    struct packetfs_file_slot *file = NULL;
    HM_AUTOFREE struct packetfs_pack_row *rows = NULL;
    int rc = packetfs_prune_folder(prune->store, pack, &file, &rows, NULL, error);

    if (rc)
        return rc;
    packetfs_store_file_give(prune->store, file);
    return packetfs_index_bury(txn, pack->number, rows, pack->objects, error);
}

static int bury_some(struct packetfs_prune *prune, const struct packetfs_pack_info *packs,
                     size_t count, const bool *whole, struct hm_error *error)
{
    struct packetfs_index_txn *txn = NULL;
    int rc = packetfs_index_begin(prune->store->index, &txn, error);

    if (rc)
        return rc;
    for (size_t i = 0; i < count && !rc; i++)
        rc = whole[i] ? bury_one(prune, txn, &packs[i], error) : 0;
    if (rc) {
        packetfs_index_abort(txn);
        return rc;
    }
    rc = packetfs_index_commit(txn, error);
    for (size_t i = 0; i < count && !rc; i++) {
        if (whole[i]) {
            prune->result->packs_removed++;
            prune->result->bytes_freed += packs[i].bytes;
        }
    }
    return rc;
}

int packetfs_prune_bury(struct packetfs_prune *prune, const struct packetfs_pack_info *packs,
                        size_t count, const bool *whole, struct hm_error *error)
{
    int rc = 0;

    for (size_t at = 0; at < count && !rc; at += BURY_TOGETHER) {
        size_t some = count - at < BURY_TOGETHER ? count - at : BURY_TOGETHER;

        rc = bury_some(prune, packs + at, some, whole + at, error);
    }
    return rc ? rc : packetfs_prune_sweep(prune->store, error);
}

/* --- dead packs: the file, then the row --- */

static int unlink_dead(struct packetfs_store *store, const struct packetfs_pack_info *pack,
                       struct hm_error *error)
{
    char path[PACKETFS_PATH_BYTES];
    int rc = packetfs_store_pack_path(store, pack->name, path, error);

    if (rc)
        return rc;
    packetfs_store_file_drop(store, pack->name);
    if (unlink(path) && errno != ENOENT)
        return packetfs_store_fail(error, "remove", path);
    return 0;
}

int packetfs_prune_sweep(struct packetfs_store *store, struct hm_error *error)
{
    HM_AUTOFREE struct packetfs_pack_info *packs = NULL;
    struct packetfs_index_txn *txn = NULL;
    size_t count = 0;
    size_t dead = 0;
    int rc = packetfs_prune_packs(store, &packs, &count, error);

    for (size_t i = 0; i < count && !rc; i++) {
        if (packs[i].state != PACKETFS_PACK_DEAD)
            continue;
        rc = unlink_dead(store, &packs[i], error);
        dead++;
    }
    if (rc || dead == 0)
        return rc;
    rc = packetfs_index_begin(store->index, &txn, error);
    if (rc)
        return rc;
    for (size_t i = 0; i < count && !rc; i++) {
        if (packs[i].state == PACKETFS_PACK_DEAD)
            rc = packetfs_index_forget(txn, packs[i].number, error);
    }
    if (rc) {
        packetfs_index_abort(txn);
        return rc;
    }
    return packetfs_index_commit(txn, error);
}
