/* The in-memory twin: the same transactions, snapshots and refusals as LMDB, and failures on demand. */
#include <pthread.h>

#include "store_backend.h"
#include "store_memory_map.h"

struct memory_store {
    struct store base;
    pthread_mutex_t writing; /* held for the length of a write transaction */
    pthread_mutex_t publish; /* guards committed and the two countdowns, held for moments */
    struct store_map committed[STORE_TABLES_MAX];
    unsigned long fail_write; /* 0: never; 1: the next one and all after it; n: n-1 more succeed */
    unsigned long fail_commit;
    uint64_t priority_seed; /* used by the writer only */
};

struct memory_txn {
    struct store_txn base;
    struct store_map tables[STORE_TABLES_MAX];
};

struct memory_cursor {
    struct store_cursor base;
    size_t key_len;
    uint8_t key[STORE_KEY_MAX_BYTES]; /* where it stands: found again whatever was written since */
};

static struct memory_store *memory_of(struct store *store)
{
    return (struct memory_store *)store;
}

static struct memory_txn *txn_of(struct store_txn *txn)
{
    return (struct memory_txn *)txn;
}

static void memory_close(struct store *store)
{
    struct memory_store *memory = memory_of(store);

    for (size_t i = 0; i < STORE_TABLES_MAX; i++)
        store_map_release(&memory->committed[i]);
    pthread_mutex_destroy(&memory->writing);
    pthread_mutex_destroy(&memory->publish);
    hm_free(memory);
}

static void take_snapshot(struct memory_store *memory, struct memory_txn *txn)
{
    pthread_mutex_lock(&memory->publish);
    for (size_t i = 0; i < memory->base.table_count; i++) {
        txn->tables[i] = memory->committed[i];
        store_map_retain(&txn->tables[i]);
    }
    pthread_mutex_unlock(&memory->publish);
}

static void drop_snapshot(struct memory_txn *txn)
{
    for (size_t i = 0; i < STORE_TABLES_MAX; i++)
        store_map_release(&txn->tables[i]);
}

static int memory_begin(struct store *store, bool write, struct store_txn **out,
                        struct hm_error *error)
{
    struct memory_store *memory = memory_of(store);
    struct memory_txn *txn = hm_calloc(1, sizeof(*txn));

    if (!txn)
        return hm_fail(error, HM_ENOMEM, "no memory for a store transaction");
    if (write)
        pthread_mutex_lock(&memory->writing);
    take_snapshot(memory, txn);
    *out = &txn->base;
    return 0;
}

static void memory_abort(struct store_txn *base)
{
    struct memory_txn *txn = txn_of(base);
    struct memory_store *memory = memory_of(base->store);

    drop_snapshot(txn);
    if (base->write)
        pthread_mutex_unlock(&memory->writing);
    hm_free(txn);
}

/* Counts one call down; true when it has to fail, which it then does until set anew. */
static bool must_fail(struct memory_store *memory, unsigned long *countdown)
{
    bool fail;

    pthread_mutex_lock(&memory->publish);
    fail = *countdown == 1;
    if (*countdown > 1)
        (*countdown)--;
    pthread_mutex_unlock(&memory->publish);
    return fail;
}

static int memory_commit(struct store_txn *base, struct hm_error *error)
{
    struct memory_txn *txn = txn_of(base);
    struct memory_store *memory = memory_of(base->store);

    if (must_fail(memory, &memory->fail_commit)) {
        memory_abort(base);
        return hm_fail(error, HM_EIO, "store in memory: this commit was told to fail");
    }
    pthread_mutex_lock(&memory->publish);
    for (size_t i = 0; i < memory->base.table_count; i++) {
        struct store_map old = memory->committed[i];

        memory->committed[i] = txn->tables[i];
        txn->tables[i] = old;
    }
    pthread_mutex_unlock(&memory->publish);
    memory_abort(base);
    return 0;
}

static int memory_get(struct store_txn *txn, unsigned table, struct hm_slice key,
                      struct hm_slice *value)
{
    const struct store_map_node *node = store_map_find(&txn_of(txn)->tables[table], key,
                                                       STORE_MAP_EQUAL);

    if (!node)
        return HM_ENOTFOUND;
    *value = store_map_value(node);
    return 0;
}

static int write_failed(struct memory_store *memory, struct hm_error *error)
{
    if (must_fail(memory, &memory->fail_write))
        return hm_fail(error, HM_EIO, "store in memory: this write was told to fail");
    return 0;
}

/* splitmix64 (Steele, Lea, Flood 2014): spreads the treap's priorities, nothing more. */
static uint64_t next_priority(struct memory_store *memory)
{
    uint64_t z = memory->priority_seed += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int memory_put(struct store_txn *base, unsigned table, struct hm_slice key,
                      struct hm_slice value, bool append, struct hm_error *error)
{
    struct memory_store *memory = memory_of(base->store);
    struct store_map *map = &txn_of(base)->tables[table];
    int rc = write_failed(memory, error);

    if (rc)
        return rc;
    if (append && map->root && hm_slice_compare(store_map_key(store_map_last(map)), key) >= 0)
        return hm_fail(error, HM_EINVAL, "a key appended to table %u must sort after its last key",
                       table);
    if (store_map_put(map, key, value, next_priority(memory)))
        return hm_fail(error, HM_ENOMEM, "no memory to put %zu bytes into the store",
                       key.len + value.len);
    return 0;
}

static int memory_remove(struct store_txn *base, unsigned table, struct hm_slice key,
                         struct hm_error *error)
{
    int rc = write_failed(memory_of(base->store), error);

    if (rc)
        return rc;
    if (store_map_remove(&txn_of(base)->tables[table], key))
        return hm_fail(error, HM_ENOMEM, "no memory to delete from the store");
    return 0;
}

static int memory_cursor_open(struct store_txn *txn, unsigned table, struct store_cursor **out,
                              struct hm_error *error)
{
    struct memory_cursor *cursor = hm_calloc(1, sizeof(*cursor));

    (void)txn;
    (void)table;
    if (!cursor)
        return hm_fail(error, HM_ENOMEM, "no memory for a store cursor");
    *out = &cursor->base;
    return 0;
}

static void memory_cursor_close(struct store_cursor *cursor)
{
    hm_free(cursor);
}

static const struct store_map_node *moved(const struct memory_cursor *cursor,
                                          const struct store_map *map, enum store_move move,
                                          struct hm_slice key)
{
    struct hm_slice here = hm_slice_of(cursor->key, cursor->key_len);

    switch (move) {
    case STORE_MOVE_AT_LEAST:
        return store_map_find(map, key, STORE_MAP_AT_LEAST);
    case STORE_MOVE_FIRST:
        return store_map_first(map);
    case STORE_MOVE_LAST:
        return store_map_last(map);
    case STORE_MOVE_NEXT:
        return store_map_find(map, here, STORE_MAP_AFTER);
    case STORE_MOVE_PREV:
        return store_map_find(map, here, STORE_MAP_BEFORE);
    }
    return NULL;
}

static int memory_cursor_move(struct store_cursor *base, enum store_move move, struct hm_slice key,
                              struct hm_slice *found, struct hm_slice *value)
{
    struct memory_cursor *cursor = (struct memory_cursor *)base;
    const struct store_map_node *node = moved(cursor, &txn_of(base->txn)->tables[base->table], move,
                                              key);

    if (!node)
        return HM_ENOTFOUND;
    *found = store_map_key(node);
    *value = store_map_value(node);
    cursor->key_len = found->len;
    memcpy(cursor->key, found->data, found->len);
    return 0;
}

static uint64_t memory_count(struct store_txn *txn, unsigned table)
{
    return txn_of(txn)->tables[table].entries;
}

static int memory_stats(struct store *store, struct store_stats *out, struct hm_error *error)
{
    struct memory_store *memory = memory_of(store);

    (void)error;
    pthread_mutex_lock(&memory->publish);
    for (size_t i = 0; i < store->table_count; i++) {
        out->entries[i] = memory->committed[i].entries;
        out->bytes_used += memory->committed[i].bytes;
    }
    pthread_mutex_unlock(&memory->publish);
    out->bytes_map = out->bytes_used;
    return 0;
}

static const struct store_backend memory_backend = {
    .close = memory_close,
    .begin = memory_begin,
    .commit = memory_commit,
    .abort = memory_abort,
    .get = memory_get,
    .put = memory_put,
    .remove = memory_remove,
    .cursor_open = memory_cursor_open,
    .cursor_close = memory_cursor_close,
    .cursor_move = memory_cursor_move,
    .count = memory_count,
    .stats = memory_stats,
};

int store_open_memory(const struct store_options *options, struct store **out,
                      struct hm_error *error)
{
    struct memory_store *memory;
    int rc = store_options_check(options, error);

    if (rc)
        return rc;
    memory = hm_calloc(1, sizeof(*memory));
    if (!memory)
        return hm_fail(error, HM_ENOMEM, "no memory for a store");
    pthread_mutex_init(&memory->writing, NULL);
    pthread_mutex_init(&memory->publish, NULL);
    memory->base.backend = &memory_backend;
    memory->base.table_count = options->table_count;
    memory->base.read_only = options->read_only;
    atomic_init(&memory->base.readers, 0);
    *out = &memory->base;
    return 0;
}

void store_memory_fail_at(struct store *store, unsigned long nth_write, unsigned long nth_commit)
{
    struct memory_store *memory = memory_of(store);

    if (store->backend != &memory_backend)
        return;
    pthread_mutex_lock(&memory->publish);
    memory->fail_write = nth_write;
    memory->fail_commit = nth_commit;
    pthread_mutex_unlock(&memory->publish);
}
