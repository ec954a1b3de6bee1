#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/packetfs_store_inner.h"

static const char *const folders[] = {"packs", "snapshots", "writers", "tmp"};

static int check_options(const struct packetfs_store_options *options, struct hm_error *error)
{
    if (options->suite != PACKETFS_SUITE_AES_256_GCM &&
        options->suite != PACKETFS_SUITE_CHACHA20_POLY1305)
        return hm_fail(error, HM_EINVAL, "there is no sealing suite %d", (int)options->suite);
    if (options->zstd_level < -50 || options->zstd_level > 19)
        return hm_fail(error, HM_EINVAL, "the level of zstd is -50 to 19, not %d",
                       options->zstd_level);
    return 0;
}

/* They come with the volume; what is missing (a copy that left empty folders out) is made. */
static int make_folders(const struct packetfs_store *store, struct hm_error *error)
{
    bool made = false;

    for (size_t i = 0; i < HM_COUNT_OF(folders); i++) {
        char path[PACKETFS_PATH_BYTES];
        int rc = packetfs_store_path(store, path, error, "%s", folders[i]);

        if (rc)
            return rc;
        if (mkdir(path, PACKETFS_FOLDER_MODE) == 0)
            made = true;
        else if (errno != EEXIST)
            return packetfs_store_fail(error, "make the folder", path);
    }
    return made ? packetfs_store_sync_folder(store->dir, error) : 0;
}

static int has_packs(const struct packetfs_store *store, bool *out, struct hm_error *error)
{
    uint8_t(*names)[PACKETFS_PACK_NAME_BYTES] = NULL;
    size_t count = 0;
    int rc = packetfs_store_pack_names(store, &names, &count, error);

    if (rc)
        return rc;
    hm_free(names);
    *out = count > 0;
    return 0;
}

static int index_missing(struct packetfs_store *store, const char *path, struct hm_error *error)
{
    char work[PACKETFS_PATH_BYTES];
    bool packs = false;
    int rc = has_packs(store, &packs, error);

    if (rc)
        return rc;
    if (packs)
        return hm_fail(&store->lost, HM_ECORRUPT,
                       "the index of the volume %s is lost: `repair` makes it again from the packs",
                       store->dir);
    /* An empty volume gets one also from who only reads. */
    rc = make_folders(store, error);
    if (!rc)
        rc = packetfs_store_path(store, work, error, "tmp");
    if (!rc)
        rc = packetfs_index_create(work, path, store->keys.volume_id, error);
    return rc == HM_EEXIST ? 0 : rc; /* another process was quicker */
}

static int open_index(struct packetfs_store *store, struct hm_error *error)
{
    char path[PACKETFS_PATH_BYTES];
    struct packetfs_index *index = NULL;
    struct hm_error why = {0};
    int rc = packetfs_store_path(store, path, error, "index");

    if (rc)
        return rc;
    rc = packetfs_index_open(path, store->keys.volume_id, store->options.read_only, &index, &why);
    if (rc == HM_ENOTFOUND) {
        rc = index_missing(store, path, &why);
        if (!rc)
            rc = packetfs_index_open(path, store->keys.volume_id, store->options.read_only, &index,
                                     &why);
    } else if (rc == HM_ECORRUPT) {
        store->lost = why;
    }
    store->index = index;
    if (rc == HM_ECORRUPT)
        return 0; /* for repair, which alone does without */
    if (rc && error)
        *error = why;
    return rc;
}

int packetfs_store_ready(const struct packetfs_store *store, struct hm_error *error)
{
    if (store->index)
        return 0;
    if (error)
        *error = store->lost;
    return HM_ECORRUPT;
}

static int index_take(struct packetfs_store *store, struct packetfs_index *index,
                      struct hm_error *error)
{
    if (store->index && store->stale_count == PACKETFS_STALE_MAX) {
        packetfs_index_close(index);
        return hm_fail(error, HM_EBUSY, "the index was made again too often: open the volume anew");
    }
    if (store->index)
        store->stale[store->stale_count++] = store->index;
    store->index = index;
    return 0;
}

int packetfs_store_refresh(struct packetfs_store *store, struct hm_error *error)
{
    char path[PACKETFS_PATH_BYTES];
    struct packetfs_index *index = NULL;
    struct stat info;
    int rc = packetfs_store_path(store, path, error, "index/data.mdb");

    if (rc)
        return rc;
    (void)pthread_mutex_lock(&store->lock);
    if (stat(path, &info) == 0 && !(store->index && packetfs_index_is(store->index, &info))) {
        *strrchr(path, '/') = '\0';
        rc = packetfs_index_open(path, store->keys.volume_id, store->options.read_only, &index,
                                 error);
        if (!rc)
            rc = index_take(store, index, error);
    }
    (void)pthread_mutex_unlock(&store->lock);
    return rc ? rc : packetfs_store_ready(store, error);
}

int packetfs_store_open(const char *dir, const struct packetfs_keys *keys,
                        const struct packetfs_store_options *options, struct packetfs_store **out,
                        struct hm_error *error)
{
    struct packetfs_store *store;
    int rc = check_options(options, error);

    if (!rc)
        rc = crypto_setup(error);
    if (rc)
        return rc;
    store = hm_calloc(1, sizeof(*store));
    if (!store)
        return hm_fail(error, HM_ENOMEM, "no memory to open the volume %s", dir);
    (void)pthread_mutex_init(&store->lock, NULL);
    packetfs_dict_table_init(&store->dicts);
    store->keys = *keys;
    store->options = *options;
    store->random = hm_random_system();
    store->dir = hm_strdup(dir);
    if (!store->dir)
        rc = hm_fail(error, HM_ENOMEM, "no memory to open the volume %s", dir);
    if (!rc && !options->read_only)
        rc = make_folders(store, error);
    if (!rc)
        rc = open_index(store, error);
    if (rc)
        packetfs_store_close(store);
    else
        *out = store;
    return rc;
}

void packetfs_store_close(struct packetfs_store *store)
{
    if (!store)
        return;
    packetfs_index_close(store->index);
    for (unsigned i = 0; i < store->stale_count; i++)
        packetfs_index_close(store->stale[i]);
    packetfs_store_files_close(store);
    packetfs_store_hands_free(store);
    packetfs_dict_table_release(&store->dicts);
    packetfs_keys_release(&store->keys);
    (void)pthread_mutex_destroy(&store->lock);
    hm_free(store->dir);
    hm_free(store);
}
