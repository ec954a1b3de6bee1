#include <stdlib.h>

#include "store/packetfs_index_inner.h"

#define META_GENERATION "generation"

int packetfs_index_begin(struct packetfs_index *index, struct packetfs_index_txn **out,
                         struct hm_error *error)
{
    struct packetfs_index_txn *txn = hm_calloc(1, sizeof(*txn));
    int rc;

    if (!txn)
        return hm_fail(error, HM_ENOMEM, "no memory to change the index %s", index->dir);
    txn->index = index;
    rc = mdb_txn_begin(index->env, NULL, 0, &txn->txn);
    if (rc) {
        hm_free(txn);
        return packetfs_index_fail(error, rc, "change", index);
    }
    *out = txn;
    return 0;
}

static int pair_compare(const void *a, const void *b)
{
    return memcmp(a, b, PACKETFS_INDEX_PAIR_BYTES);
}

static int pairs_put(struct packetfs_index_txn *txn, struct hm_error *error)
{
    MDB_cursor *cursor = NULL;
    int rc;

    if (txn->pair_count == 0)
        return 0;
    qsort(txn->pairs, txn->pair_count, sizeof(*txn->pairs), pair_compare);
    rc = mdb_cursor_open(txn->txn, txn->index->tables[TABLE_OBJECTS], &cursor);
    for (size_t i = 0; i < txn->pair_count && !rc; i++) {
        MDB_val key = {.mv_data = txn->pairs[i], .mv_size = PACKETFS_INDEX_KEY_BYTES};
        MDB_val value = {.mv_data = txn->pairs[i] + PACKETFS_INDEX_KEY_BYTES,
                         .mv_size = PACKETFS_INDEX_ENTRY_BYTES};

        rc = mdb_cursor_put(cursor, &key, &value, MDB_NODUPDATA);
        if (rc == MDB_KEYEXIST)
            rc = 0;
    }
    if (cursor)
        mdb_cursor_close(cursor);
    txn->pair_count = 0;
    return rc ? packetfs_index_fail(error, rc, "change", txn->index) : 0;
}

int packetfs_index_commit(struct packetfs_index_txn *txn, struct hm_error *error)
{
    struct packetfs_index *index = txn->index;
    int rc = pairs_put(txn, error);

    if (rc) {
        packetfs_index_abort(txn);
        return rc;
    }
    rc = mdb_txn_commit(txn->txn);
    hm_free(txn->pairs);
    hm_free(txn);
    return rc ? packetfs_index_fail(error, rc, "change", index) : 0;
}

void packetfs_index_abort(struct packetfs_index_txn *txn)
{
    if (!txn)
        return;
    mdb_txn_abort(txn->txn);
    hm_free(txn->pairs);
    hm_free(txn);
}

static int row_put(struct packetfs_index_txn *txn, const struct packetfs_pack_info *info,
                   struct hm_error *error)
{
    uint8_t number[4];
    uint8_t row[PACKETFS_INDEX_ROW_BYTES];
    MDB_val key = {.mv_data = number, .mv_size = sizeof(number)};
    MDB_val value = {.mv_data = row, .mv_size = sizeof(row)};
    int rc;

    hm_put_be32(number, info->number);
    packetfs_index_row_make(info, row);
    rc = mdb_put(txn->txn, txn->index->tables[TABLE_PACKS], &key, &value, 0);
    return rc ? packetfs_index_fail(error, rc, "change", txn->index) : 0;
}

/* --- numbers of packs --- */

static int last_number(struct packetfs_index_txn *txn, uint32_t *out)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn->txn, txn->index->tables[TABLE_PACKS], &cursor);

    if (rc)
        return rc;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    if (!rc && key.mv_size == 4)
        *out = hm_get_be32(key.mv_data);
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Numbers go up; when all were used, those of packs that are gone come again. Number 0 is never used. */
static int free_number(struct packetfs_index_txn *txn, uint32_t *out, struct hm_error *error)
{
    uint32_t last = 0;
    int rc = txn->next_number ? 0 : last_number(txn, &last);

    if (rc)
        return packetfs_index_fail(error, rc, "change", txn->index);
    if (!txn->next_number)
        txn->next_number = last + 1;
    if (txn->next_number < PACKETFS_PACKS_MAX) {
        *out = txn->next_number++;
        return 0;
    }
    for (uint32_t number = 1; number < PACKETFS_PACKS_MAX; number++) {
        struct packetfs_pack_info info;

        rc = packetfs_index_row_get(txn->index, txn->txn, number, &info, error);
        if (rc == HM_ENOTFOUND) {
            *out = number;
            return 0;
        }
        if (rc)
            return rc;
    }
    return hm_fail(error, HM_ELIMIT, "a volume has at most %u packs", PACKETFS_PACKS_MAX - 1);
}

int packetfs_index_has_name(struct packetfs_index_txn *txn,
                            const uint8_t name[PACKETFS_PACK_NAME_BYTES], bool *out,
                            struct hm_error *error)
{
    MDB_val key = {.mv_data = (void *)(uintptr_t)name, .mv_size = PACKETFS_PACK_NAME_BYTES};
    MDB_val value;
    int rc = mdb_get(txn->txn, txn->index->tables[TABLE_NAMES], &key, &value);

    if (rc && rc != MDB_NOTFOUND)
        return packetfs_index_fail(error, rc, "read", txn->index);
    *out = rc == 0;
    return 0;
}

static int name_put(struct packetfs_index_txn *txn, const struct packetfs_pack_info *info,
                    struct hm_error *error)
{
    uint8_t number[4];
    MDB_val key = {.mv_data = (void *)(uintptr_t)info->name, .mv_size = sizeof(info->name)};
    MDB_val value = {.mv_data = number, .mv_size = sizeof(number)};
    int rc;

    hm_put_be32(number, info->number);
    rc = mdb_put(txn->txn, txn->index->tables[TABLE_NAMES], &key, &value, 0);
    return rc ? packetfs_index_fail(error, rc, "change", txn->index) : 0;
}

/* --- items --- */

static int pairs_add(struct packetfs_index_txn *txn, const struct packetfs_pack_info *info,
                     const struct packetfs_pack_row *rows, struct hm_error *error)
{
    size_t need = txn->pair_count + info->objects;

    if (need > txn->pair_room) {
        void *pairs = hm_realloc(txn->pairs, need * 2 * sizeof(*txn->pairs));

        if (!pairs)
            return hm_fail(error, HM_ENOMEM, "no memory to enter a pack in the index");
        txn->pairs = pairs;
        txn->pair_room = need * 2;
    }
    for (uint32_t i = 0; i < info->objects; i++) {
        uint8_t *pair = txn->pairs[txn->pair_count++];

        packetfs_index_key_make(info->kind, &rows[i].id, pair);
        packetfs_index_item_make(&rows[i].id, info->number, rows[i].position, rows[i].length,
                                 pair + PACKETFS_INDEX_KEY_BYTES);
    }
    return 0;
}

int packetfs_index_add(struct packetfs_index_txn *txn, struct packetfs_pack_info *info,
                       const struct packetfs_pack_row *rows, bool *added, struct hm_error *error)
{
    bool there = false;
    int rc = packetfs_index_has_name(txn, info->name, &there, error);

    if (rc)
        return rc;
    *added = !there;
    if (there)
        return 0;
    info->state = PACKETFS_PACK_LIVE;
    info->condemned = 0;
    rc = packetfs_index_meta_get(txn->index, txn->txn, META_GENERATION, &info->born, error);
    if (!rc)
        rc = free_number(txn, &info->number, error);
    if (!rc)
        rc = row_put(txn, info, error);
    if (!rc)
        rc = name_put(txn, info, error);
    return rc ? rc : pairs_add(txn, info, rows, error);
}

int packetfs_index_get(struct packetfs_index_txn *txn, uint32_t number,
                       struct packetfs_pack_info *out, struct hm_error *error)
{
    return packetfs_index_row_get(txn->index, txn->txn, number, out, error);
}

int packetfs_index_condemn(struct packetfs_index_txn *txn, uint32_t number, uint64_t generation,
                           struct hm_error *error)
{
    struct packetfs_pack_info info;
    int rc = packetfs_index_get(txn, number, &info, error);

    if (rc == HM_ENOTFOUND || (!rc && info.state != PACKETFS_PACK_LIVE))
        return 0;
    if (rc)
        return rc;
    info.state = PACKETFS_PACK_CONDEMNED;
    info.condemned = generation;
    return row_put(txn, &info, error);
}

static int items_delete(struct packetfs_index_txn *txn, const struct packetfs_pack_info *info,
                        const struct packetfs_pack_row *rows, size_t count, struct hm_error *error)
{
    uint8_t key_bytes[PACKETFS_INDEX_KEY_BYTES];
    uint8_t item[PACKETFS_INDEX_ENTRY_BYTES];

    for (size_t i = 0; i < count; i++) {
        MDB_val key = {.mv_data = key_bytes, .mv_size = sizeof(key_bytes)};
        MDB_val value = {.mv_data = item, .mv_size = sizeof(item)};
        int rc;

        packetfs_index_key_make(info->kind, &rows[i].id, key_bytes);
        packetfs_index_item_make(&rows[i].id, info->number, rows[i].position, rows[i].length, item);
        rc = mdb_del(txn->txn, txn->index->tables[TABLE_OBJECTS], &key, &value);
        if (rc && rc != MDB_NOTFOUND)
            return packetfs_index_fail(error, rc, "change", txn->index);
    }
    return 0;
}

int packetfs_index_bury(struct packetfs_index_txn *txn, uint32_t number,
                        const struct packetfs_pack_row *rows, size_t count, struct hm_error *error)
{
    struct packetfs_pack_info info;
    int rc = packetfs_index_get(txn, number, &info, error);

    if (rc)
        return rc;
    rc = pairs_put(txn, error); /* they may be among them */
    if (!rc)
        rc = items_delete(txn, &info, rows, count, error);
    if (rc)
        return rc;
    info.state = PACKETFS_PACK_DEAD;
    return row_put(txn, &info, error);
}

int packetfs_index_forget(struct packetfs_index_txn *txn, uint32_t number, struct hm_error *error)
{
    uint8_t bytes[4];
    struct packetfs_pack_info info;
    MDB_val key = {.mv_data = info.name, .mv_size = sizeof(info.name)};
    int rc = packetfs_index_get(txn, number, &info, error);

    if (rc)
        return rc == HM_ENOTFOUND ? 0 : rc;
    rc = mdb_del(txn->txn, txn->index->tables[TABLE_NAMES], &key, NULL);
    if (rc && rc != MDB_NOTFOUND)
        return packetfs_index_fail(error, rc, "change", txn->index);
    hm_put_be32(bytes, number);
    key = (MDB_val){.mv_data = bytes, .mv_size = sizeof(bytes)};
    rc = mdb_del(txn->txn, txn->index->tables[TABLE_PACKS], &key, NULL);
    return rc && rc != MDB_NOTFOUND ? packetfs_index_fail(error, rc, "change", txn->index) : 0;
}

int packetfs_index_next_generation(struct packetfs_index_txn *txn, uint64_t *out,
                                   struct hm_error *error)
{
    uint8_t bytes[8];
    uint64_t now = 0;
    MDB_val key = {.mv_data = (void *)(uintptr_t)META_GENERATION,
                   .mv_size = strlen(META_GENERATION)};
    MDB_val value = {.mv_data = bytes, .mv_size = sizeof(bytes)};
    int rc = packetfs_index_meta_get(txn->index, txn->txn, META_GENERATION, &now, error);

    if (rc)
        return rc;
    hm_put_be64(bytes, now + 1);
    rc = mdb_put(txn->txn, txn->index->tables[TABLE_META], &key, &value, 0);
    if (rc)
        return packetfs_index_fail(error, rc, "change", txn->index);
    *out = now + 1;
    return 0;
}
