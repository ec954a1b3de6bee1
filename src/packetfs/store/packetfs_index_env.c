#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/packetfs_index_inner.h"

#define READERS_MAX     1022 /* over all processes */
#define META_FORMAT     "format"
#define META_VOLUME     "volume"
#define META_GENERATION "generation"

/* LMDB must not have one file open twice in a process (closing one loses the other's locks), so all handles of a
 * folder share one environment. */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct packetfs_index *open_list;

static const char *const table_names[PACKETFS_INDEX_TABLES] = {"objects", "packs", "names", "meta"};

static unsigned table_flags(int table)
{
    return table == TABLE_OBJECTS ? MDB_DUPSORT | MDB_DUPFIXED : 0;
}

int packetfs_index_fail(struct hm_error *error, int rc, const char *what,
                        const struct packetfs_index *index)
{
    const char *dir = index->dir;

    switch (rc) {
    case ENOMEM:
        return hm_fail(error, HM_ENOMEM, "no memory to %s the index %s", what, dir);
    case ENOENT:
        return hm_fail(error, HM_ENOTFOUND, "there is no index %s", dir);
    case EACCES:
    case EPERM:
    case EROFS:
        return hm_fail(error, HM_EPERM, "the index %s may not be opened by this user", dir);
    case ENOSPC:
    case EDQUOT:
        return hm_fail(error, HM_EIO, "no space left on the disk of the index %s: free some", dir);
    case MDB_CORRUPTED:
    case MDB_INVALID:
    case MDB_PAGE_NOTFOUND:
    case MDB_PANIC:
    case MDB_BAD_TXN:
    case MDB_VERSION_MISMATCH:
        return hm_fail(error, HM_ECORRUPT, "the index %s is damaged: `repair` makes it again (%s)",
                       dir, mdb_strerror(rc));
    case MDB_READERS_FULL:
        return hm_fail(error, HM_EBUSY, "more than %d threads read the index %s at once",
                       READERS_MAX, dir);
    case MDB_MAP_FULL:
    case MDB_MAP_RESIZED:
        return hm_fail(error, HM_ELIMIT,
                       "the index %s does not fit into this process: raise its limit of address "
                       "space (ulimit -v)",
                       dir);
    default:
        return hm_fail(error, HM_EIO, "cannot %s the index %s: %s", what, dir, mdb_strerror(rc));
    }
}

/* --- opening --- */

static int env_open_sized(struct packetfs_index *index, size_t map_bytes, unsigned flags)
{
    int rc = mdb_env_create(&index->env);

    if (rc)
        return rc;
    rc = mdb_env_set_mapsize(index->env, map_bytes);
    if (!rc)
        rc = mdb_env_set_maxdbs(index->env, PACKETFS_INDEX_TABLES);
    if (!rc)
        rc = mdb_env_set_maxreaders(index->env, READERS_MAX);
    if (!rc)
        rc = mdb_env_open(index->env, index->dir, flags | MDB_NOTLS | MDB_NORDAHEAD, 0600);
    if (rc) {
        mdb_env_close(index->env);
        index->env = NULL;
    }
    return rc;
}

/* Address space is free where nothing limits it; under a limit (RLIMIT_AS, a sanitizer) take less. */
static int env_open(struct packetfs_index *index, unsigned flags)
{
    static const uint64_t sizes[] = {(uint64_t)1 << 40, (uint64_t)64 << 30, (uint64_t)4 << 30,
                                     (uint64_t)256 << 20};
    int rc = ENOMEM;

    for (size_t i = 0; i < HM_COUNT_OF(sizes) && rc == ENOMEM; i++)
        rc = env_open_sized(index, (size_t)sizes[i], flags);
    return rc;
}

/* Always to write where that is allowed: a process must not have it open a second time. */
static int env_open_any(struct packetfs_index *index, bool read_only)
{
    int rc = env_open(index, 0);

    if (!read_only || (rc != EROFS && rc != EACCES && rc != EPERM))
        return rc;
    index->read_only = true;
    rc = env_open(index, MDB_RDONLY);
    /* On a read-only file system there is no lock file, and nobody who writes. */
    return rc == EROFS || rc == EACCES || rc == ENOENT ? env_open(index, MDB_RDONLY | MDB_NOLOCK)
                                                       : rc;
}

static int tables_open(struct packetfs_index *index, bool create)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(index->env, NULL, create ? 0 : MDB_RDONLY, &txn);

    for (int i = 0; i < PACKETFS_INDEX_TABLES && !rc; i++)
        rc = mdb_dbi_open(txn, table_names[i], table_flags(i) | (create ? MDB_CREATE : 0u),
                          &index->tables[i]);
    if (!rc)
        return mdb_txn_commit(txn); /* the handles are then the environment's */
    if (txn)
        mdb_txn_abort(txn);
    return rc;
}

static int check_meta(struct packetfs_index *index,
                      const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES], struct hm_error *error)
{
    MDB_txn *txn = NULL;
    MDB_val key = {.mv_data = (void *)(uintptr_t)META_VOLUME, .mv_size = strlen(META_VOLUME)};
    MDB_val value = {0};
    uint64_t format = 0;
    int rc = mdb_txn_begin(index->env, NULL, MDB_RDONLY, &txn);

    if (rc)
        return packetfs_index_fail(error, rc, "read", index);
    rc = packetfs_index_meta_get(index, txn, META_FORMAT, &format, error);
    if (!rc && format != PACKETFS_INDEX_FORMAT)
        rc = hm_fail(error, HM_EUNSUPPORTED, "the index %s has format %llu: take a later program",
                     index->dir, (unsigned long long)format);
    if (!rc && (mdb_get(txn, index->tables[TABLE_META], &key, &value) ||
                value.mv_size != PACKETFS_VOLUME_ID_BYTES ||
                memcmp(value.mv_data, volume_id, PACKETFS_VOLUME_ID_BYTES) != 0))
        rc = hm_fail(error, HM_ECORRUPT,
                     "the index %s is another volume's: `repair` makes it again", index->dir);
    mdb_txn_abort(txn);
    return rc;
}

static void index_free(struct packetfs_index *index)
{
    if (!index)
        return;
    while (index->idle) {
        struct packetfs_index_reader *reader = index->idle;

        index->idle = reader->next;
        packetfs_index_reader_free(reader);
    }
    if (index->env)
        mdb_env_close(index->env);
    (void)pthread_mutex_destroy(&index->lock);
    hm_free(index->dir);
    hm_free(index);
}

static int index_make(const char *dir, struct packetfs_index **out, struct hm_error *error)
{
    struct packetfs_index *index = hm_calloc(1, sizeof(*index));

    if (!index)
        return hm_fail(error, HM_ENOMEM, "no memory to open the index %s", dir);
    (void)pthread_mutex_init(&index->lock, NULL);
    index->dir = hm_strdup(dir);
    if (!index->dir) {
        index_free(index);
        return hm_fail(error, HM_ENOMEM, "no memory to open the index %s", dir);
    }
    *out = index;
    return 0;
}

static int index_open_new(const char *dir, const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                          bool read_only, struct packetfs_index **out, struct hm_error *error)
{
    struct packetfs_index *index = NULL;
    int dead = 0;
    int fd = -1;
    int rc = index_make(dir, &index, error);

    if (rc)
        return rc;
    rc = env_open_any(index, read_only);
    if (!rc)
        rc = tables_open(index, false);
    if (!rc && !index->read_only)
        (void)mdb_reader_check(index->env, &dead); /* slots of processes that were killed */
    if (!rc && mdb_env_get_fd(index->env, &fd) == 0)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* LMDB does so with its other file only */
    if (rc == MDB_NOTFOUND)
        rc = MDB_CORRUPTED; /* a table is missing */
    rc = rc ? packetfs_index_fail(error, rc, "open", index) : check_meta(index, volume_id, error);
    if (rc)
        index_free(index);
    else
        *out = index;
    return rc;
}

static struct packetfs_index *open_find(const struct stat *info)
{
    for (struct packetfs_index *i = open_list; i; i = i->next) {
        if (i->device == info->st_dev && i->inode == info->st_ino)
            return i;
    }
    return NULL;
}

int packetfs_index_open(const char *dir, const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                        bool read_only, struct packetfs_index **out, struct hm_error *error)
{
    HM_AUTOFREE char *data = hm_asprintf("%s/data.mdb", dir);
    struct packetfs_index *index;
    struct stat info;
    int rc = 0;

    if (!data)
        return hm_fail(error, HM_ENOMEM, "no memory to open the index %s", dir);
    if (stat(data, &info))
        return hm_fail(error, errno == ENOENT ? HM_ENOTFOUND : HM_EIO, "there is no index %s", dir);
    (void)pthread_mutex_lock(&open_lock);
    index = open_find(&info);
    if (index && index->read_only && !read_only) {
        rc = packetfs_index_fail(error, EACCES, "open", index);
    } else if (index) {
        rc = check_meta(index, volume_id, error);
    } else {
        rc = index_open_new(dir, volume_id, read_only, &index, error);
        if (!rc) {
            index->device = info.st_dev;
            index->inode = info.st_ino;
            index->next = open_list;
            open_list = index;
        }
    }
    if (!rc) {
        index->users++;
        *out = index;
    }
    (void)pthread_mutex_unlock(&open_lock);
    return rc;
}

void packetfs_index_close(struct packetfs_index *index)
{
    struct packetfs_index **at = &open_list;

    if (!index)
        return;
    (void)pthread_mutex_lock(&open_lock);
    if (--index->users == 0) {
        while (*at != index)
            at = &(*at)->next;
        *at = index->next;
        index_free(index);
    }
    (void)pthread_mutex_unlock(&open_lock);
}

/* --- making one --- */

static int birth_fill(struct packetfs_index *index,
                      const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES])
{
    uint8_t number[8];
    MDB_txn *txn = NULL;
    MDB_val key = {.mv_data = (void *)(uintptr_t)META_FORMAT, .mv_size = strlen(META_FORMAT)};
    MDB_val value = {.mv_data = number, .mv_size = sizeof(number)};
    int rc = mdb_txn_begin(index->env, NULL, 0, &txn);

    if (rc)
        return rc;
    hm_put_be64(number, PACKETFS_INDEX_FORMAT);
    rc = mdb_put(txn, index->tables[TABLE_META], &key, &value, 0);
    key = (MDB_val){.mv_data = (void *)(uintptr_t)META_VOLUME, .mv_size = strlen(META_VOLUME)};
    value = (MDB_val){.mv_data = (void *)(uintptr_t)volume_id, .mv_size = PACKETFS_VOLUME_ID_BYTES};
    if (!rc)
        rc = mdb_put(txn, index->tables[TABLE_META], &key, &value, 0);
    /* Higher than in any index this volume had before: writers of that time may still be there. */
    hm_put_be64(number, hm_wall_ms(hm_clock_system()));
    key = (MDB_val){.mv_data = (void *)(uintptr_t)META_GENERATION,
                    .mv_size = strlen(META_GENERATION)};
    value = (MDB_val){.mv_data = number, .mv_size = sizeof(number)};
    if (!rc)
        rc = mdb_put(txn, index->tables[TABLE_META], &key, &value, 0);
    if (rc) {
        mdb_txn_abort(txn);
        return rc;
    }
    rc = mdb_txn_commit(txn);
    return rc ? rc : mdb_env_sync(index->env, 1);
}

static int sync_folder(const char *path, struct hm_error *error)
{
    HM_AUTOCLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd))
        return hm_fail_errno(error, HM_EIO, "cannot sync the folder %s", path);
    return 0;
}

static int birth(const char *nursery, const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                 struct hm_error *error)
{
    struct packetfs_index *index = NULL;
    int rc = index_make(nursery, &index, error);

    if (rc)
        return rc;
    rc = env_open(index, 0);
    if (!rc)
        rc = tables_open(index, true);
    if (!rc)
        rc = birth_fill(index, volume_id);
    if (rc)
        rc = packetfs_index_fail(error, rc, "make", index);
    index_free(index);
    return rc ? rc : sync_folder(nursery, error);
}

int packetfs_index_create(const char *work, const char *dir,
                          const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES], struct hm_error *error)
{
    HM_AUTOFREE char *nursery = hm_asprintf("%s/index-%ld-XXXXXX", work, (long)getpid());
    HM_AUTOFREE char *above = hm_asprintf("%s/..", dir);
    HM_AUTOCLOSE int lock = -1;
    int rc;

    if (!nursery || !above)
        return hm_fail(error, HM_ENOMEM, "no memory to make the index %s", dir);
    if (!mkdtemp(nursery))
        return hm_fail_errno(error, HM_EIO, "cannot make a folder in %s", work);
    /* So that nobody takes it for left over. */
    lock = open(nursery, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB))
        return hm_fail_errno(error, HM_EBUSY, "cannot lock the new index %s: try again", nursery);
    rc = birth(nursery, volume_id, error);
    if (!rc && rename(nursery, dir))
        rc = errno == EEXIST || errno == ENOTEMPTY
                 ? hm_fail(error, HM_EEXIST, "there is an index %s already", dir)
                 : hm_fail_errno(error, HM_EIO, "cannot move the new index to %s", dir);
    if (rc)
        (void)hm_remove_tree(nursery, NULL);
    return rc ? rc : sync_folder(above, error);
}

bool packetfs_index_is(const struct packetfs_index *index, const struct stat *data)
{
    return index->device == data->st_dev && index->inode == data->st_ino;
}

uint64_t packetfs_index_bytes(const struct packetfs_index *index)
{
    MDB_envinfo info;
    MDB_stat stat;

    if (mdb_env_info(index->env, &info) || mdb_env_stat(index->env, &stat))
        return 0;
    return ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}
