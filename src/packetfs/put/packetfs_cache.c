#include "put/packetfs_cache.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>

#include "crypto.h"

#define MAP_BYTES     ((size_t)2 << 30) /* some 12 million files; when it is full it begins anew */
#define PENDING_MAX   8192 /* records held back before they are written together */
#define READERS_MAX   126
#define VALUE_BYTES   90
#define FORMAT        1
#define PLACE_MAX_LEN 4096

/* A record: format 1, size 8, mtime 8 + 4, ctime 8 + 4, inode 8, device 8, kind 1, id 32, bytes 8. */
struct record {
    uint8_t key[PACKETFS_CACHE_KEY_BYTES];
    uint8_t value[VALUE_BYTES];
};

/* LMDB wants one environment a file and process. */
struct shared {
    struct shared *next;
    uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES];
    char *path;
    unsigned refs;
    MDB_env *env;
    MDB_dbi files;
};

struct packetfs_cache {
    struct shared *shared;
    MDB_txn *read;
    struct record *pending;
    size_t pending_count;
    bool broken;
};

static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static struct shared *shared_first;

/* --- the environment --------------------------------------------------------------------------------------------------- */
static int env_tables(struct shared *shared)
{
    MDB_txn *txn = NULL;
    int failed = mdb_txn_begin(shared->env, NULL, 0, &txn);

    if (failed == 0)
        failed = mdb_dbi_open(txn, "files", MDB_CREATE, &shared->files);
    if (failed == 0)
        return mdb_txn_commit(txn);
    if (txn != NULL)
        mdb_txn_abort(txn);
    return failed;
}

static int env_open(struct shared *shared)
{
    int failed = mdb_env_create(&shared->env);

    if (failed != 0)
        return failed;
    (void)mdb_env_set_maxdbs(shared->env, 1);
    (void)mdb_env_set_maxreaders(shared->env, READERS_MAX);
    (void)mdb_env_set_mapsize(shared->env, MAP_BYTES);
    failed = mdb_env_open(shared->env, shared->path, MDB_NOTLS | MDB_NOMETASYNC, 0600);
    if (failed == 0)
        failed = env_tables(shared);
    if (failed != 0) {
        mdb_env_close(shared->env);
        shared->env = NULL;
    }
    return failed;
}

static void env_files_remove(const struct shared *shared)
{
    HM_AUTOFREE char *data = hm_asprintf("%s/data.mdb", shared->path);

    if (data != NULL)
        (void)unlink(data);
}

static void shared_free(struct shared *shared)
{
    if (shared->env != NULL)
        mdb_env_close(shared->env);
    hm_free(shared->path);
    hm_free(shared);
}

static int shared_new(const struct packetfs_keys *keys, struct shared **out, struct hm_error *error)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char hex[2 * PACKETFS_VOLUME_ID_BYTES + 1];

    hm_hex_encode(keys->volume_id, PACKETFS_VOLUME_ID_BYTES, hex);
    if ((cache == NULL || cache[0] != '/') && (home == NULL || home[0] != '/'))
        return hm_fail(error, HM_ENOTFOUND, "neither XDG_CACHE_HOME nor HOME names a folder");
    struct shared *shared = hm_calloc(1, sizeof(*shared));
    if (shared == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the cache of files");
    shared->refs = 1;
    memcpy(shared->volume_id, keys->volume_id, sizeof(shared->volume_id));
    shared->path = cache != NULL && cache[0] == '/'
                       ? hm_asprintf("%s/packetfs/%s", cache, hex)
                       : hm_asprintf("%s/.cache/packetfs/%s", home, hex);
    int result = shared->path != NULL ? hm_mkdir_all(shared->path, 0700, error)
                                      : hm_fail(error, HM_ENOMEM, "no memory for a path");
    if (result == 0) {
        int failed = env_open(shared);
        if (failed == MDB_CORRUPTED || failed == MDB_INVALID || failed == MDB_VERSION_MISMATCH) {
            env_files_remove(shared);
            failed = env_open(shared);
        }
        if (failed != 0)
            result = hm_fail(error, HM_EIO, "cannot open the cache of files in %s: %s",
                             shared->path, mdb_strerror(failed));
    }
    if (result != 0)
        shared_free(shared);
    else
        *out = shared;
    return result;
}

static int shared_get(const struct packetfs_keys *keys, struct shared **out, struct hm_error *error)
{
    int result = 0;

    (void)pthread_mutex_lock(&shared_lock);
    struct shared *shared = shared_first;
    while (shared != NULL &&
           memcmp(shared->volume_id, keys->volume_id, PACKETFS_VOLUME_ID_BYTES) != 0)
        shared = shared->next;
    if (shared != NULL) {
        shared->refs++;
    } else {
        result = shared_new(keys, &shared, error);
        if (result == 0) {
            shared->next = shared_first;
            shared_first = shared;
        }
    }
    (void)pthread_mutex_unlock(&shared_lock);
    if (result == 0)
        *out = shared;
    return result;
}

static void shared_put(struct shared *shared)
{
    (void)pthread_mutex_lock(&shared_lock);
    if (--shared->refs == 0) {
        struct shared **at = &shared_first;
        while (*at != shared)
            at = &(*at)->next;
        *at = shared->next;
        shared_free(shared);
    }
    (void)pthread_mutex_unlock(&shared_lock);
}

/* --- a handle ------------------------------------------------------------------------------------------------------------ */
int packetfs_cache_open(const struct packetfs_keys *keys, struct packetfs_cache **out,
                        struct hm_error *error)
{
    struct packetfs_cache *cache = hm_calloc(1, sizeof(*cache));
    int result = 0;

    if (cache != NULL)
        cache->pending = hm_malloc(PENDING_MAX * sizeof(*cache->pending));
    if (cache == NULL || cache->pending == NULL)
        result = hm_fail(error, HM_ENOMEM, "no memory for the cache of files");
    else
        result = shared_get(keys, &cache->shared, error);
    if (result != 0) {
        if (cache != NULL)
            hm_free(cache->pending);
        hm_free(cache);
        return result;
    }
    *out = cache;
    return 0;
}

void packetfs_cache_key(const struct packetfs_keys *keys, const char *folder, const char *name,
                        uint8_t key[PACKETFS_CACHE_KEY_BYTES])
{
    uint8_t hash[CRYPTO_HASH_BYTES];
    char place[PLACE_MAX_LEN + 256 + 2];
    size_t folder_len = strlen(folder), name_len = strlen(name);

    if (folder_len <= PLACE_MAX_LEN && name_len <= 256) {
        memcpy(place, folder, folder_len);
        place[folder_len] = '\0'; /* no name holds one */
        memcpy(place + folder_len + 1, name, name_len);
        crypto_hash_keyed(keys->path, place, folder_len + 1 + name_len, hash);
    } else {
        uint8_t first[CRYPTO_HASH_BYTES];
        crypto_hash_keyed(keys->path, folder, folder_len, first);
        memcpy(place, first, sizeof(first));
        name_len = name_len > 256 ? 256 : name_len;
        memcpy(place + sizeof(first), name, name_len);
        crypto_hash_keyed(keys->path, place, sizeof(first) + name_len, hash);
    }
    memcpy(key, hash, PACKETFS_CACHE_KEY_BYTES);
}

/* The part of a record that stat decides. */
#define AT_STAT    1
#define STAT_BYTES 48
#define AT_CONTENT (AT_STAT + STAT_BYTES)

static void stat_pack(const struct stat *st, uint8_t out[STAT_BYTES])
{
    hm_put_be64(out, (uint64_t)st->st_size);
    hm_put_be64(out + 8, (uint64_t)st->st_mtim.tv_sec);
    hm_put_be32(out + 16, (uint32_t)st->st_mtim.tv_nsec);
    hm_put_be64(out + 20, (uint64_t)st->st_ctim.tv_sec);
    hm_put_be32(out + 28, (uint32_t)st->st_ctim.tv_nsec);
    hm_put_be64(out + 32, (uint64_t)st->st_ino);
    hm_put_be64(out + 40, (uint64_t)st->st_dev);
}

bool packetfs_cache_find(struct packetfs_cache *cache, const uint8_t key[PACKETFS_CACHE_KEY_BYTES],
                         const struct stat *st, struct packetfs_cache_seen *out)
{
    MDB_val name = {.mv_data = (void *)(uintptr_t)key, .mv_size = PACKETFS_CACHE_KEY_BYTES}, value;
    uint8_t now[STAT_BYTES];

    if (cache->broken)
        return false;
    if (cache->read == NULL &&
        mdb_txn_begin(cache->shared->env, NULL, MDB_RDONLY, &cache->read) != 0) {
        cache->broken = true;
        return false;
    }
    if (mdb_get(cache->read, cache->shared->files, &name, &value) != 0 ||
        value.mv_size != VALUE_BYTES)
        return false;
    const uint8_t *record = value.mv_data;
    stat_pack(st, now);
    if (record[0] != FORMAT || record[AT_CONTENT] > PACKETFS_CONTENT_LIST)
        return false;
    out->content.kind = (enum packetfs_content_kind)record[AT_CONTENT];
    memcpy(out->content.id.bytes, record + AT_CONTENT + 1, PACKETFS_ID_BYTES);
    out->content.bytes = hm_get_be64(record + AT_CONTENT + 1 + PACKETFS_ID_BYTES);
    out->same = memcmp(record + AT_STAT, now, STAT_BYTES) == 0 &&
                out->content.bytes == (uint64_t)st->st_size;
    return true;
}

static int pending_write(struct packetfs_cache *cache)
{
    MDB_txn *txn = NULL;
    int failed = mdb_txn_begin(cache->shared->env, NULL, 0, &txn);

    for (size_t i = 0; failed == 0 && i < cache->pending_count; i++) {
        MDB_val key = {.mv_data = cache->pending[i].key, .mv_size = PACKETFS_CACHE_KEY_BYTES};
        MDB_val value = {.mv_data = cache->pending[i].value, .mv_size = VALUE_BYTES};
        failed = mdb_put(txn, cache->shared->files, &key, &value, 0);
    }
    if (failed == 0)
        return mdb_txn_commit(txn);
    if (txn != NULL)
        mdb_txn_abort(txn);
    return failed;
}

static int everything_forget(struct packetfs_cache *cache)
{
    MDB_txn *txn = NULL;
    int failed = mdb_txn_begin(cache->shared->env, NULL, 0, &txn);

    if (failed == 0)
        failed = mdb_drop(txn, cache->shared->files, 0);
    if (failed == 0)
        return mdb_txn_commit(txn);
    if (txn != NULL)
        mdb_txn_abort(txn);
    return failed;
}

static void pending_flush(struct packetfs_cache *cache)
{
    if (cache->broken)
        return;
    if (cache->read != NULL) { /* pages that it holds could not be used again */
        mdb_txn_abort(cache->read);
        cache->read = NULL;
    }
    int failed = pending_write(cache);
    if (failed == MDB_MAP_FULL && everything_forget(cache) == 0)
        failed = pending_write(cache);
    cache->broken = failed != 0;
    cache->pending_count = 0;
}

void packetfs_cache_add(struct packetfs_cache *cache, const uint8_t key[PACKETFS_CACHE_KEY_BYTES],
                        const struct stat *st, const struct packetfs_content *content)
{
    if (cache->pending_count == PENDING_MAX)
        pending_flush(cache);
    struct record *record = &cache->pending[cache->pending_count++];
    memset(record, 0, sizeof(*record));
    memcpy(record->key, key, sizeof(record->key));
    record->value[0] = FORMAT;
    stat_pack(st, record->value + AT_STAT);
    record->value[AT_CONTENT] = (uint8_t)content->kind;
    memcpy(record->value + AT_CONTENT + 1, content->id.bytes, PACKETFS_ID_BYTES);
    hm_put_be64(record->value + AT_CONTENT + 1 + PACKETFS_ID_BYTES, content->bytes);
}

void packetfs_cache_finish(struct packetfs_cache *cache)
{
    if (cache->pending_count > 0)
        pending_flush(cache);
}

void packetfs_cache_close(struct packetfs_cache *cache)
{
    if (cache == NULL)
        return;
    if (cache->read != NULL)
        mdb_txn_abort(cache->read);
    shared_put(cache->shared);
    hm_free(cache->pending);
    hm_free(cache);
}
