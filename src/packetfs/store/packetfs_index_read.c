#include "store/packetfs_index_inner.h"

#define META_GENERATION "generation"
#define TRIES \
    64 /* items of one prefix that are looked at: more than one is a rewrite, more than two chance */

void packetfs_index_reader_free(struct packetfs_index_reader *reader)
{
    if (reader->cursor)
        mdb_cursor_close(reader->cursor);
    if (reader->txn)
        mdb_txn_abort(reader->txn);
    hm_free(reader);
}

static int reader_start(struct packetfs_index *index, struct packetfs_index_reader *reader)
{
    int rc;

    if (reader->txn) {
        rc = mdb_txn_renew(reader->txn);
        return rc ? rc : mdb_cursor_renew(reader->txn, reader->cursor);
    }
    rc = mdb_txn_begin(index->env, NULL, MDB_RDONLY, &reader->txn);
    return rc ? rc : mdb_cursor_open(reader->txn, index->tables[TABLE_OBJECTS], &reader->cursor);
}

int packetfs_index_reader_take(struct packetfs_index *index, struct packetfs_index_reader **out,
                               struct hm_error *error)
{
    struct packetfs_index_reader *reader;
    int rc;

    (void)pthread_mutex_lock(&index->lock);
    reader = index->idle;
    if (reader)
        index->idle = reader->next;
    (void)pthread_mutex_unlock(&index->lock);
    if (!reader)
        reader = hm_calloc(1, sizeof(*reader));
    if (!reader)
        return hm_fail(error, HM_ENOMEM, "no memory to read the index %s", index->dir);
    rc = reader_start(index, reader);
    if (rc) {
        packetfs_index_reader_free(reader);
        return packetfs_index_fail(error, rc, "read", index);
    }
    *out = reader;
    return 0;
}

void packetfs_index_reader_give(struct packetfs_index *index, struct packetfs_index_reader *reader)
{
    mdb_txn_reset(reader->txn);
    (void)pthread_mutex_lock(&index->lock);
    reader->next = index->idle;
    index->idle = reader;
    (void)pthread_mutex_unlock(&index->lock);
}

int packetfs_index_row_get(const struct packetfs_index *index, MDB_txn *txn, uint32_t number,
                           struct packetfs_pack_info *out, struct hm_error *error)
{
    uint8_t bytes[4];
    MDB_val key = {.mv_data = bytes, .mv_size = sizeof(bytes)};
    MDB_val value;
    int rc;

    hm_put_be32(bytes, number);
    rc = mdb_get(txn, index->tables[TABLE_PACKS], &key, &value);
    if (rc == MDB_NOTFOUND)
        return HM_ENOTFOUND;
    if (!rc && !packetfs_index_row_parse(number, value.mv_data, value.mv_size, out))
        rc = MDB_CORRUPTED;
    return rc ? packetfs_index_fail(error, rc, "read", index) : 0;
}

int packetfs_index_meta_get(const struct packetfs_index *index, MDB_txn *txn, const char *name,
                            uint64_t *out, struct hm_error *error)
{
    MDB_val key = {.mv_data = (void *)(uintptr_t)name, .mv_size = strlen(name)};
    MDB_val value;
    int rc = mdb_get(txn, index->tables[TABLE_META], &key, &value);

    if (rc == MDB_NOTFOUND) {
        *out = 0;
        return 0;
    }
    if (!rc && value.mv_size != 8)
        rc = MDB_CORRUPTED;
    if (rc)
        return packetfs_index_fail(error, rc, "read", index);
    *out = hm_get_be64(value.mv_data);
    return 0;
}

/* --- looking up --- */

/* What an item says, if it can be of this id at all. */
static int item_take(const struct packetfs_index *index, MDB_txn *txn, enum packetfs_kind kind,
                     const struct packetfs_id *id, const uint8_t *item, struct packetfs_found *out,
                     bool *fits, struct hm_error *error)
{
    uint32_t pack;
    int rc;

    *fits = false;
    if (!packetfs_index_item_parse(id, item, &pack, &out->position, &out->length))
        return 0;
    rc = packetfs_index_row_get(index, txn, pack, &out->pack, error);
    if (rc == HM_ENOTFOUND)
        return 0;
    *fits = !rc && out->pack.kind == kind && out->pack.state != PACKETFS_PACK_DEAD &&
            ((uint64_t)out->position + out->length) * PACKETFS_UNIT_BYTES <= out->pack.bytes;
    return rc;
}

/* Live ones before condemned ones; what is past max falls off the end. */
static size_t found_insert(struct packetfs_found *list, size_t count, size_t max,
                           const struct packetfs_found *one)
{
    size_t at = count;

    if (one->pack.state == PACKETFS_PACK_LIVE) {
        at = 0;
        while (at < count && list[at].pack.state == PACKETFS_PACK_LIVE)
            at++;
    }
    if (at >= max)
        return count;
    if (count == max)
        count--;
    memmove(list + at + 1, list + at, (count - at) * sizeof(*list));
    list[at] = *one;
    return count + 1;
}

static int find_within(const struct packetfs_index *index, struct packetfs_index_reader *reader,
                       enum packetfs_kind kind, const struct packetfs_id *id,
                       struct packetfs_found *out, size_t max, size_t *count,
                       struct hm_error *error)
{
    uint8_t key_bytes[PACKETFS_INDEX_KEY_BYTES];
    uint8_t item[PACKETFS_INDEX_ENTRY_BYTES] = {0};
    MDB_val key = {.mv_data = key_bytes, .mv_size = sizeof(key_bytes)};
    MDB_val value = {.mv_data = item, .mv_size = sizeof(item)};
    int failed = 0;
    int rc;

    *count = 0;
    packetfs_index_key_make(kind, id, key_bytes);
    memcpy(item, id->bytes + 1, PACKETFS_INDEX_ID_BYTES);
    rc = mdb_cursor_get(reader->cursor, &key, &value, MDB_GET_BOTH_RANGE);
    for (int i = 0; !rc && !failed && i < TRIES; i++) {
        struct packetfs_found one;
        bool fits;

        if (value.mv_size != PACKETFS_INDEX_ENTRY_BYTES ||
            memcmp(value.mv_data, id->bytes + 1, PACKETFS_INDEX_ID_BYTES) != 0)
            break;
        failed = item_take(index, reader->txn, kind, id, value.mv_data, &one, &fits, error);
        if (!failed && fits)
            *count = found_insert(out, *count, max, &one);
        rc = mdb_cursor_get(reader->cursor, &key, &value, MDB_NEXT_DUP);
    }
    if (failed)
        return failed;
    return rc && rc != MDB_NOTFOUND ? packetfs_index_fail(error, rc, "read", index) : 0;
}

int packetfs_index_find(struct packetfs_index *index, enum packetfs_kind kind,
                        const struct packetfs_id *id, struct packetfs_found *out, size_t max,
                        size_t *count, struct hm_error *error)
{
    struct packetfs_index_reader *reader = NULL;
    int rc = packetfs_index_reader_take(index, &reader, error);

    if (rc)
        return rc;
    rc = find_within(index, reader, kind, id, out, max, count, error);
    packetfs_index_reader_give(index, reader);
    return rc;
}

int packetfs_index_has_live(struct packetfs_index *index, enum packetfs_kind kind,
                            const struct packetfs_id *id)
{
    struct packetfs_found found;
    size_t count = 0;
    int rc = packetfs_index_find(index, kind, id, &found, 1, &count, NULL);

    if (rc)
        return rc;
    return count > 0 && found.pack.state == PACKETFS_PACK_LIVE ? 0 : HM_ENOTFOUND;
}

/* --- packs --- */

static int packs_within(const struct packetfs_index *index, MDB_txn *txn,
                        struct packetfs_pack_info **out, size_t *count, struct hm_error *error)
{
    HM_AUTOFREE struct packetfs_pack_info *list = NULL;
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    MDB_stat stat;
    size_t n = 0;
    int rc = mdb_stat(txn, index->tables[TABLE_PACKS], &stat);

    if (!rc) {
        list = hm_malloc((stat.ms_entries + 1) * sizeof(*list));
        if (!list)
            return hm_fail(error, HM_ENOMEM, "no memory for %zu packs", stat.ms_entries);
        rc = mdb_cursor_open(txn, index->tables[TABLE_PACKS], &cursor);
    }
    if (!rc)
        rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    while (!rc && n < stat.ms_entries) {
        if (key.mv_size != 4 || !packetfs_index_row_parse(hm_get_be32(key.mv_data), value.mv_data,
                                                          value.mv_size, &list[n])) {
            rc = MDB_CORRUPTED;
            break;
        }
        n++;
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    if (cursor)
        mdb_cursor_close(cursor);
    if (rc && rc != MDB_NOTFOUND)
        return packetfs_index_fail(error, rc, "read", index);
    *out = HM_TAKE(list);
    *count = n;
    return 0;
}

int packetfs_index_packs(struct packetfs_index *index, struct packetfs_pack_info **out,
                         size_t *count, struct hm_error *error)
{
    struct packetfs_index_reader *reader = NULL;
    int rc = packetfs_index_reader_take(index, &reader, error);

    if (rc)
        return rc;
    rc = packs_within(index, reader->txn, out, count, error);
    packetfs_index_reader_give(index, reader);
    return rc;
}

int packetfs_index_pack(struct packetfs_index *index, const uint8_t name[PACKETFS_PACK_NAME_BYTES],
                        struct packetfs_pack_info *out, struct hm_error *error)
{
    struct packetfs_index_reader *reader = NULL;
    MDB_val key = {.mv_data = (void *)(uintptr_t)name, .mv_size = PACKETFS_PACK_NAME_BYTES};
    MDB_val value;
    int rc = packetfs_index_reader_take(index, &reader, error);

    if (rc)
        return rc;
    rc = mdb_get(reader->txn, index->tables[TABLE_NAMES], &key, &value);
    if (rc == MDB_NOTFOUND)
        rc = HM_ENOTFOUND;
    else if (rc || value.mv_size != 4)
        rc = packetfs_index_fail(error, rc ? rc : MDB_CORRUPTED, "read", index);
    else
        rc = packetfs_index_row_get(index, reader->txn, hm_get_be32(value.mv_data), out, error);
    packetfs_index_reader_give(index, reader);
    return rc;
}

int packetfs_index_generation(struct packetfs_index *index, uint64_t *out, struct hm_error *error)
{
    struct packetfs_index_reader *reader = NULL;
    int rc = packetfs_index_reader_take(index, &reader, error);

    if (rc)
        return rc;
    rc = packetfs_index_meta_get(index, reader->txn, META_GENERATION, out, error);
    packetfs_index_reader_give(index, reader);
    return rc;
}

int packetfs_index_count(struct packetfs_index *index, uint64_t *out, struct hm_error *error)
{
    struct packetfs_index_reader *reader = NULL;
    MDB_stat stat;
    int rc = packetfs_index_reader_take(index, &reader, error);

    if (rc)
        return rc;
    rc = mdb_stat(reader->txn, index->tables[TABLE_OBJECTS], &stat);
    packetfs_index_reader_give(index, reader);
    if (rc)
        return packetfs_index_fail(error, rc, "read", index);
    *out = stat.ms_entries;
    return 0;
}

uint64_t packetfs_index_stamp(struct packetfs_index *index)
{
    MDB_envinfo info;

    return mdb_env_info(index->env, &info) ? 0 : (uint64_t)info.me_last_txnid;
}
