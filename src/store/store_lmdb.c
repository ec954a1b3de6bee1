/* The backend on disk: LMDB (lmdb.h, Symas). Copy-on-write B+ trees in one file, data.mdb; a commit
 * is durable when it returns (fdatasync of the pages, then the synchronous write of a meta page), unless
 * the store is deferred (store_lmdb_defer.h).
 *
 * A write transaction belongs to the thread that began it: LMDB's writer lock is owned by a thread.
 * Read transactions are tied to no thread (MDB_NOTLS). */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>

#include "store_layer.h"
#include "store_lmdb_birth.h"
#include "store_lmdb_check.h"
#include "store_lmdb_defer.h"
#include "store_lmdb_error.h"
#include "store_lmdb_lock.h"
#include "store_lmdb_snapshot.h"

#define LMDB_PATH_MAX_BYTES 3800 /* of the folder, leaving room for the file names */
#define READERS_SPARE       12 /* statistics and checkpoints read too, whatever the callers hold */

struct lmdb_store {
    struct store base;
    MDB_env *env;
    int lock_fd;
    char *path; /* for messages */
    atomic_bool failed; /* a commit could not be written: no more writes */
    struct store_lmdb_slots slots;
    struct store_lmdb_defer defer;
    MDB_dbi tables[STORE_TABLES_MAX];
};

struct lmdb_txn {
    struct store_txn base;
    MDB_txn *mdb;
};

struct lmdb_checkpoint {
    struct store_checkpoint base;
    struct store_lmdb_snapshot_held snapshot; /* of a deferred store */
};

struct lmdb_cursor {
    struct store_cursor base;
    MDB_cursor *mdb;
};

static struct lmdb_store *lmdb_of(struct store *store)
{
    return (struct lmdb_store *)store;
}

static MDB_txn *txn_of(struct store_txn *txn)
{
    return ((struct lmdb_txn *)txn)->mdb;
}

static MDB_val val_of(struct hm_slice slice)
{
    /* LMDB copies mv_size bytes even when there are none: give it an address. */
    static const uint8_t nothing[1];

    return (MDB_val){.mv_size = slice.len,
                     .mv_data = (void *)(uintptr_t)(slice.data ? slice.data : nothing)};
}

static struct hm_slice slice_of(const MDB_val *val)
{
    return hm_slice_of(val->mv_data, val->mv_size);
}

static int fail_in(struct store_txn *txn, struct hm_error *error, int rc, const char *what)
{
    return store_lmdb_fail(error, rc, what, lmdb_of(txn->store)->path);
}

static void lmdb_close(struct store *base)
{
    struct lmdb_store *store = lmdb_of(base);

    if (store->env && !base->read_only)
        store_lmdb_pad(store->env);
    store_lmdb_defer_end(&store->defer, &store->slots, !atomic_load(&store->failed));
    if (store->env)
        mdb_env_close(store->env);
    store_lmdb_slots_release(&store->slots);
    hm_fd_release(&store->lock_fd);
    hm_free(store->path);
    hm_free(store);
}

static int lmdb_begin(struct store *base, bool write, struct store_txn **out,
                      struct hm_error *error)
{
    struct lmdb_store *store = lmdb_of(base);
    struct lmdb_txn *txn = hm_calloc(1, sizeof(*txn));
    int rc;

    if (!txn)
        return hm_fail(error, HM_ENOMEM, "no memory for a store transaction");
    rc = mdb_txn_begin(store->env, NULL, write ? 0 : MDB_RDONLY, &txn->mdb);
    if (rc == 0 && write && atomic_load(&store->failed)) {
        mdb_txn_abort(txn->mdb);
        rc = MDB_PANIC;
    }
    if (rc) {
        hm_free(txn);
        return store_lmdb_fail(error, rc, "begin a transaction", store->path);
    }
    *out = &txn->base;
    return 0;
}

static int lmdb_commit(struct store_txn *txn, struct hm_error *error)
{
    struct lmdb_store *store = lmdb_of(txn->store);
    int rc;

    if (atomic_load(&store->failed)) { /* a checkpoint failed meanwhile */
        mdb_txn_abort(txn_of(txn));
        hm_free(txn);
        return store_lmdb_fail(error, MDB_PANIC, "commit", store->path);
    }
    rc = mdb_txn_commit(txn_of(txn));
    /* A positive rc is an errno. After a failed fdatasync the kernel takes its pages for clean, though
     * the disk has not got them, and the next fdatasync succeeds: nothing may be built on them. */
    if (rc > 0)
        atomic_store(&store->failed, true);
    hm_free(txn);
    return rc ? store_lmdb_fail(error, rc, "commit", store->path) : 0;
}

static void lmdb_abort(struct store_txn *txn)
{
    mdb_txn_abort(txn_of(txn));
    hm_free(txn);
}

static int lmdb_get(struct store_txn *txn, unsigned table, struct hm_slice key,
                    struct hm_slice *value)
{
    MDB_val k = val_of(key);
    MDB_val v;
    int rc = mdb_get(txn_of(txn), lmdb_of(txn->store)->tables[table], &k, &v);

    if (rc)
        return store_lmdb_code(rc);
    *value = slice_of(&v);
    return 0;
}

static int lmdb_put(struct store_txn *txn, unsigned table, struct hm_slice key,
                    struct hm_slice value, bool append, struct hm_error *error)
{
    MDB_val k = val_of(key);
    MDB_val v = val_of(value);
    int rc = mdb_put(txn_of(txn), lmdb_of(txn->store)->tables[table], &k, &v,
                     append ? MDB_APPEND : 0);

    if (rc == MDB_KEYEXIST)
        return hm_fail(error, HM_EINVAL, "a key appended to table %u must sort after its last key",
                       table);
    return rc ? fail_in(txn, error, rc, "put") : 0;
}

static int lmdb_remove(struct store_txn *txn, unsigned table, struct hm_slice key,
                       struct hm_error *error)
{
    MDB_val k = val_of(key);
    int rc = mdb_del(txn_of(txn), lmdb_of(txn->store)->tables[table], &k, NULL);

    return rc && rc != MDB_NOTFOUND ? fail_in(txn, error, rc, "delete") : 0;
}

static int lmdb_cursor_open(struct store_txn *txn, unsigned table, struct store_cursor **out,
                            struct hm_error *error)
{
    struct lmdb_cursor *cursor = hm_calloc(1, sizeof(*cursor));
    int rc;

    if (!cursor)
        return hm_fail(error, HM_ENOMEM, "no memory for a store cursor");
    rc = mdb_cursor_open(txn_of(txn), lmdb_of(txn->store)->tables[table], &cursor->mdb);
    if (rc) {
        hm_free(cursor);
        return fail_in(txn, error, rc, "open a cursor");
    }
    *out = &cursor->base;
    return 0;
}

static void lmdb_cursor_close(struct store_cursor *cursor)
{
    mdb_cursor_close(((struct lmdb_cursor *)cursor)->mdb);
    hm_free(cursor);
}

static int lmdb_cursor_move(struct store_cursor *cursor, enum store_move move, struct hm_slice key,
                            struct hm_slice *found, struct hm_slice *value)
{
    static const MDB_cursor_op ops[] = {
        [STORE_MOVE_AT_LEAST] = MDB_SET_RANGE, [STORE_MOVE_FIRST] = MDB_FIRST,
        [STORE_MOVE_LAST] = MDB_LAST,          [STORE_MOVE_NEXT] = MDB_NEXT,
        [STORE_MOVE_PREV] = MDB_PREV,
    };
    MDB_val k = val_of(key);
    MDB_val v;
    int rc = mdb_cursor_get(((struct lmdb_cursor *)cursor)->mdb, &k, &v, ops[move]);

    if (rc)
        return store_lmdb_code(rc);
    *found = slice_of(&k);
    *value = slice_of(&v);
    return 0;
}

static uint64_t lmdb_count(struct store_txn *txn, unsigned table)
{
    MDB_stat stat;

    return mdb_stat(txn_of(txn), lmdb_of(txn->store)->tables[table], &stat) ? 0 : stat.ms_entries;
}

static int lmdb_stats(struct store *base, struct store_stats *out, struct hm_error *error)
{
    struct lmdb_store *store = lmdb_of(base);
    MDB_envinfo info;
    MDB_stat stat;
    MDB_txn *txn;
    int rc = mdb_env_info(store->env, &info);

    if (!rc)
        rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (rc)
        return store_lmdb_fail(error, rc, "read statistics", store->path);
    for (size_t i = 0; !rc && i < base->table_count; i++) {
        rc = mdb_stat(txn, store->tables[i], &stat);
        if (!rc)
            out->entries[i] = stat.ms_entries;
    }
    if (!rc)
        out->bytes_used = ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
    out->bytes_map = info.me_mapsize;
    mdb_txn_abort(txn);
    return rc ? store_lmdb_fail(error, rc, "read statistics", store->path) : 0;
}

static int lmdb_snapshot(struct store *base,
                         int (*write)(void *ctx, struct hm_slice bytes, struct hm_error *error),
                         void *ctx, struct hm_error *error)
{
    struct lmdb_store *store = lmdb_of(base);

    return store_lmdb_snapshot(store->env, store->path, write, ctx, error);
}

static int lmdb_checkpoint_begin(struct store *base, const uint8_t note[STORE_NOTE_BYTES],
                                 struct store_checkpoint **out, struct hm_error *error)
{
    struct lmdb_store *store = lmdb_of(base);
    struct lmdb_checkpoint *checkpoint = hm_calloc(1, sizeof(*checkpoint));
    int rc = 0;

    if (!checkpoint)
        return hm_fail(error, HM_ENOMEM, "no memory for a checkpoint");
    checkpoint->base.store = base;
    if (atomic_load(&store->failed))
        rc = store_lmdb_fail(error, MDB_PANIC, "begin a checkpoint", store->path);
    else if (store->defer.env)
        rc = store_lmdb_defer_begin(&store->defer, note, &checkpoint->snapshot, error);
    if (rc) {
        hm_free(checkpoint);
        return rc;
    }
    *out = &checkpoint->base;
    return 0;
}

static int lmdb_checkpoint_piece(struct store_checkpoint *base, bool *more, struct hm_error *error)
{
    struct lmdb_store *store = lmdb_of(base->store);
    struct lmdb_checkpoint *checkpoint = (struct lmdb_checkpoint *)base;

    *more = false;
    return store->defer.env
               ? store_lmdb_defer_piece(&store->defer, &checkpoint->snapshot, more, error)
               : 0;
}

static int lmdb_checkpoint_finish(struct store_checkpoint *base, struct hm_error *error)
{
    struct lmdb_store *store = lmdb_of(base->store);
    struct lmdb_checkpoint *checkpoint = (struct lmdb_checkpoint *)base;
    int rc = 0;

    if (store->defer.env)
        rc = store_lmdb_defer_finish(&store->defer, &store->slots, &checkpoint->snapshot, error);
    if (rc) /* as after a commit that failed */
        atomic_store(&store->failed, true);
    hm_free(checkpoint);
    return rc;
}

static const uint8_t *lmdb_checkpoint_note(struct store *base)
{
    return lmdb_of(base)->slots.state.note;
}

static void lmdb_give_up(struct store *base)
{
    atomic_store(&lmdb_of(base)->failed, true);
}

static const struct store_backend lmdb_backend = {
    .close = lmdb_close,
    .begin = lmdb_begin,
    .commit = lmdb_commit,
    .abort = lmdb_abort,
    .get = lmdb_get,
    .put = lmdb_put,
    .remove = lmdb_remove,
    .cursor_open = lmdb_cursor_open,
    .cursor_close = lmdb_cursor_close,
    .cursor_move = lmdb_cursor_move,
    .count = lmdb_count,
    .stats = lmdb_stats,
    .snapshot = lmdb_snapshot,
    .checkpoint_begin = lmdb_checkpoint_begin,
    .checkpoint_piece = lmdb_checkpoint_piece,
    .checkpoint_finish = lmdb_checkpoint_finish,
    .checkpoint_note = lmdb_checkpoint_note,
    .give_up = lmdb_give_up,
};

static int env_open_sized(struct lmdb_store *store, uint64_t map_bytes, bool scratch)
{
    /* Read only, our own lock keeps writers out, so LMDB needs no lock file: a store on a
     * read-only file system can be read. */
    unsigned flags = MDB_NOTLS | (store->base.read_only ? MDB_RDONLY | MDB_NOLOCK : 0u) |
                     (scratch ? MDB_NOSYNC : 0u);
    int rc = mdb_env_create(&store->env);

    if (rc)
        return rc;
    rc = mdb_env_set_mapsize(store->env, map_bytes);
    if (!rc)
        rc = mdb_env_set_maxdbs(store->env, (MDB_dbi)store->base.table_count);
    if (!rc)
        rc = mdb_env_set_maxreaders(store->env, STORE_READERS_MAX + READERS_SPARE);
    if (!rc)
        rc = mdb_env_open(store->env, store->path, flags, 0600);
    if (rc) {
        mdb_env_close(store->env);
        store->env = NULL;
    }
    return rc;
}

/* Address space is free where nothing limits it; under a limit (RLIMIT_AS, a sanitizer) take less. */
static int env_open(struct lmdb_store *store, const struct store_options *options,
                    struct hm_error *error)
{
    static const uint64_t sizes[] = {(uint64_t)1 << 40, (uint64_t)64 << 30, (uint64_t)4 << 30};
    int rc;

    if (options->map_bytes) {
        rc = env_open_sized(store, options->map_bytes, options->scratch);
    } else {
        rc = ENOMEM;
        for (size_t i = 0; i < HM_COUNT_OF(sizes) && rc == ENOMEM; i++)
            rc = env_open_sized(store, sizes[i], options->scratch);
    }
    return rc ? store_lmdb_fail(error, rc, "open", store->path) : 0;
}

/* LMDB opens its other files so, but not this one. */
static int close_data_on_exec(struct lmdb_store *store, struct hm_error *error)
{
    int fd = -1;
    int rc = mdb_env_get_fd(store->env, &fd);

    if (rc || fcntl(fd, F_SETFD, FD_CLOEXEC))
        return hm_fail_errno(error, HM_EIO, "the store %s: data.mdb", store->path);
    return 0;
}

static int tables_open(struct lmdb_store *store, const struct store_options *options,
                       struct hm_error *error)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(store->env, NULL, options->read_only ? MDB_RDONLY : 0, &txn);

    if (rc)
        return store_lmdb_fail(error, rc, "open its tables", store->path);
    for (size_t i = 0; i < options->table_count; i++) {
        rc = mdb_dbi_open(txn, options->tables[i], options->read_only ? 0 : MDB_CREATE,
                          &store->tables[i]);
        if (rc) {
            mdb_txn_abort(txn);
            if (rc == MDB_NOTFOUND)
                return hm_fail(error, HM_ENOTFOUND, "the store %s has no table %s", store->path,
                               options->tables[i]);
            return store_lmdb_fail(error, rc, options->tables[i], store->path);
        }
    }
    rc = mdb_txn_commit(txn);
    return rc ? store_lmdb_fail(error, rc, "create its tables", store->path) : 0;
}

/* A program killed inside a commit may have left a meta page in the kernel's cache only. What this one
 * reads from it, it may tell the world: it has to be durable first. */
static int sync_what_was_found(struct lmdb_store *store, bool scratch, struct hm_error *error)
{
    int rc = scratch ? 0 : mdb_env_sync(store->env, 1);

    return rc ? store_lmdb_fail(error, rc, "write to disk what was found", store->path) : 0;
}

static int open_into(struct lmdb_store *store, const struct store_options *options,
                     struct hm_error *error)
{
    int dead = 0;
    int rc = store_lmdb_lock(store->path, options->read_only, &store->lock_fd, error);

    if (!rc)
        rc = store_lmdb_slots_restore(store->path, options->read_only, &store->slots, error);
    if (!rc && !options->read_only)
        rc = store_lmdb_birth(store->path, options->scratch, error);
    if (!rc)
        rc = env_open(store, options, error);
    if (!rc)
        rc = close_data_on_exec(store, error);
    if (!rc)
        rc = store_lmdb_check_length(store->env, options->read_only, store->path, error);
    if (!rc && !options->read_only)
        mdb_reader_check(store->env, &dead); /* slots of killed processes; harmless if it fails */
    if (!rc)
        rc = tables_open(store, options, error);
    if (!rc && !options->read_only)
        rc = sync_what_was_found(store, options->scratch, error);
    if (!rc && !options->read_only)
        rc = store_lmdb_sync_folder(store->path, error);
    if (!rc && options->deferred && !options->read_only && !options->scratch)
        rc = store_lmdb_defer_start(&store->defer, store->env, store->path, &store->slots, error);
    return rc;
}

int store_open_lmdb(const char *path, const struct store_options *options, struct store **out,
                    struct hm_error *error)
{
    struct lmdb_store *store;
    int rc = store_options_check(options, error);

    if (rc)
        return rc;
    if (strlen(path) > LMDB_PATH_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "the path of a store has at most %d bytes",
                       LMDB_PATH_MAX_BYTES);
    store = hm_calloc(1, sizeof(*store));
    if (!store)
        return hm_fail(error, HM_ENOMEM, "no memory to open the store %s", path);
    store->base.backend = &lmdb_backend;
    store->base.table_count = options->table_count;
    store->base.read_only = options->read_only;
    atomic_init(&store->base.readers, 0);
    atomic_init(&store->failed, false);
    store->lock_fd = -1;
    store->slots.fd = -1;
    store->path = hm_strdup(path);
    rc = store->path ? open_into(store, options, error)
                     : hm_fail(error, HM_ENOMEM, "no memory to open the store %s", path);
    if (rc) {
        lmdb_close(&store->base);
        return rc;
    }
    if (store->defer.env)
        return store_layer_open(&store->base, out, error);
    *out = &store->base;
    return 0;
}
