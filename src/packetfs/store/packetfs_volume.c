#include "store/packetfs_volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "access/packetfs_volume_file.h"
#include "access/packetfs_volume_key.h"
#include "crypto.h"

#define VOLUME_FILE_MAX_BYTES 4096
#define FIRST_SLOT            "first"
#define ZSTD_LEVEL_DEFAULT    1
#define ZSTD_LEVEL_MAX        19
#define ZSTD_LEVEL_NONE       100

static const char *const volume_folders[] = {"keys", "packs", "snapshots", "writers", "tmp"};

static int parameters_resolve(const struct packetfs_parameters *given,
                              struct packetfs_parameters *out, struct hm_error *error)
{
    struct packetfs_parameters p = {.chunker = 0};

    if (given != NULL)
        p = *given;
    if (p.chunker == 0)
        p.chunker = PACKETFS_CHUNKER_KEYED;
    if (p.chunk_average_bytes == 0) {
        p.chunk_average_bytes = packetfs_chunk_limits_default.average_bytes;
        if (p.chunk_min_bytes == 0)
            p.chunk_min_bytes = packetfs_chunk_limits_default.min_bytes;
        if (p.chunk_max_bytes == 0)
            p.chunk_max_bytes = packetfs_chunk_limits_default.max_bytes;
    }
    if (p.chunk_min_bytes == 0)
        p.chunk_min_bytes = p.chunk_average_bytes / 4;
    if (p.chunk_max_bytes == 0)
        p.chunk_max_bytes = p.chunk_average_bytes * 4;
    if (p.suite == 0)
        p.suite = crypto_aead_has_aes_hardware() ? PACKETFS_SUITE_AES_256_GCM
                                                 : PACKETFS_SUITE_CHACHA20_POLY1305;
    if (p.zstd_level == 0)
        p.zstd_level = ZSTD_LEVEL_DEFAULT;
    if (p.zstd_level == ZSTD_LEVEL_NONE)
        p.no_dictionaries = true;
    if (p.suite != PACKETFS_SUITE_AES_256_GCM && p.suite != PACKETFS_SUITE_CHACHA20_POLY1305)
        return hm_fail(error, HM_EINVAL, "cipher suite %d does not exist", (int)p.suite);
    if ((p.zstd_level < 1 || p.zstd_level > ZSTD_LEVEL_MAX) && p.zstd_level != ZSTD_LEVEL_NONE)
        return hm_fail(error, HM_EINVAL,
                       "compression level is %d, must be 1 to 19, or 100 for none", p.zstd_level);
    *out = p;
    return 0;
}

static int cutter_make(const struct packetfs_parameters *p, const struct packetfs_keys *keys,
                       struct packetfs_cutter **out, struct hm_error *error)
{
    struct packetfs_chunk_limits limits = {.min_bytes = p->chunk_min_bytes,
                                           .average_bytes = p->chunk_average_bytes,
                                           .max_bytes = p->chunk_max_bytes};

    return packetfs_cutter_new(p->chunker, keys->chunk, &limits, out, error);
}

/* --- making ------------------------------------------------------------------------------------------------------- */
static int folder_sync(const char *path, struct hm_error *error)
{
    HM_AUTOCLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot make %s durable", path);
    return 0;
}

/* All but the file "volume", which comes last: without it there is no volume. */
static int volume_fill(const char *dir, struct hm_slice slot, struct hm_slice file,
                       struct hm_error *error)
{
    int result = 0;

    for (size_t i = 0; i < HM_COUNT_OF(volume_folders); i++) {
        HM_AUTOFREE char *path = hm_asprintf("%s/%s", dir, volume_folders[i]);
        if (path == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory to make a volume");
        if (mkdir(path, 0700) != 0)
            return hm_fail_errno(error, errno == EACCES ? HM_EPERM : HM_EIO, "cannot make %s",
                                 path);
    }
    HM_AUTOFREE char *slot_path = hm_asprintf("%s/keys/" FIRST_SLOT ".slot", dir);
    HM_AUTOFREE char *volume_path = hm_asprintf("%s/volume", dir);
    if (slot_path == NULL || volume_path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to make a volume");
    result = hm_file_replace(slot_path, slot.data, slot.len, 0600, error);
    if (result == 0)
        result = folder_sync(dir, error);
    if (result == 0)
        result = hm_file_replace(volume_path, file.data, file.len, 0600, error);
    return result;
}

/* 0: there is nothing, or an empty folder (*exists). */
static int place_look(const char *dir, bool *exists, struct hm_error *error)
{
    DIR *list = opendir(dir);
    struct dirent *entry;
    bool empty = true;

    if (list == NULL && errno == ENOENT) {
        *exists = false;
        return 0;
    }
    if (list == NULL)
        return hm_fail_errno(error,
                             errno == ENOTDIR  ? HM_EEXIST
                             : errno == EACCES ? HM_EPERM
                                               : HM_EIO,
                             "cannot make a volume at %s", dir);
    while ((entry = readdir(list)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            empty = false;
    (void)closedir(list);
    if (!empty)
        return hm_fail(error, HM_EEXIST, "%s is not empty: a volume is made in an empty folder",
                       dir);
    *exists = true;
    return 0;
}

/* Fills a new folder beside dir and gives it dir's name; a place that cannot be renamed over (a mount) is filled as it is, the
 * file that makes it a volume last. */
static int volume_place(const char *dir, bool exists, const uint8_t *volume_id,
                        struct hm_slice slot, struct hm_slice file, struct hm_error *error)
{
    char hex[2 * PACKETFS_VOLUME_ID_BYTES + 1];
    size_t len = strlen(dir);

    while (len > 1 && dir[len - 1] == '/')
        len--;
    hm_hex_encode(volume_id, PACKETFS_VOLUME_ID_BYTES, hex);
    HM_AUTOFREE char *name = hm_strndup(dir, len);
    HM_AUTOFREE char *beside = hm_asprintf("%.*s.%.8s.new", (int)len, dir, hex);
    HM_AUTOFREE char *parent = name != NULL ? hm_asprintf("%s/..", name) : NULL;
    if (parent == NULL || beside == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to make a volume");
    if (mkdir(beside, 0700) != 0) {
        if (exists && (errno == EACCES || errno == EROFS))
            return chmod(dir, 0700) == 0
                       ? volume_fill(dir, slot, file, error)
                       : hm_fail_errno(error, HM_EPERM, "cannot make %s private", dir);
        return hm_fail_errno(error,
                             errno == EACCES   ? HM_EPERM
                             : errno == ENOENT ? HM_ENOTFOUND
                                               : HM_EIO,
                             "cannot make a volume at %s", dir);
    }
    int result = volume_fill(beside, slot, file, error);
    if (result == 0 && rename(beside, name) != 0) {
        if (exists && (errno == EBUSY || errno == EINVAL || errno == EXDEV))
            result = chmod(dir, 0700) == 0
                         ? volume_fill(dir, slot, file, error)
                         : hm_fail_errno(error, HM_EPERM, "cannot make %s private", dir);
        else
            result = hm_fail_errno(error,
                                   errno == ENOTEMPTY || errno == EEXIST ? HM_EEXIST : HM_EIO,
                                   "cannot make a volume at %s", dir);
    }
    (void)hm_remove_tree(beside, NULL); /* gone by its other name when all went well */
    if (result == 0) {
        result = folder_sync(parent, error);
        if (result != 0)
            (void)hm_remove_tree(name, NULL);
    }
    return result;
}

int packetfs_volume_create(const char *dir, const struct packetfs_parameters *parameters,
                           const struct packetfs_unlock *unlock, struct packetfs_error *error_out)
{
    struct hm_error *error = packetfs_error_own(error_out);
    const struct hm_random *random_source = hm_random_system();
    uint8_t volume_key[PACKETFS_KEY_BYTES], volume_id[PACKETFS_VOLUME_ID_BYTES];
    HM_CLEANUP(hm_buf) struct hm_buf slot = {0};
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};
    HM_AUTOFREE char *made = NULL;
    struct packetfs_parameters resolved;
    struct packetfs_keys keys;
    struct packetfs_cutter *cutter = NULL;
    bool exists = false;

    if (dir == NULL || dir[0] == '\0')
        return hm_fail(error, HM_EINVAL, "a volume needs a folder");
    int result = packetfs_unlock_check(unlock, error);
    if (result == 0)
        result = parameters_resolve(parameters, &resolved, error);
    if (result == 0)
        result = place_look(dir, &exists, error);
    if (result != 0)
        return result;
    if (random_source->fill(random_source->ctx, volume_key, sizeof(volume_key)) != 0 ||
        random_source->fill(random_source->ctx, volume_id, sizeof(volume_id)) != 0)
        return hm_fail(error, HM_EIO, "the system gives no random bytes for a key");
    packetfs_keys_derive(volume_key, volume_id, &keys);
    result = cutter_make(&resolved, &keys, &cutter,
                         error); /* says whether the lengths make sense */
    packetfs_cutter_free(cutter);
    if (result == 0)
        result = packetfs_volume_file_write(&keys, &resolved, random_source, &file, error);
    if (result == 0)
        result = packetfs_volume_key_wrap(volume_key, volume_id, FIRST_SLOT, unlock, random_source,
                                          &slot, &made, error);
    hm_wipe(volume_key, sizeof(volume_key));
    packetfs_keys_release(&keys);
    if (result == 0)
        result = volume_place(dir, exists, volume_id, hm_buf_slice(&slot), hm_buf_slice(&file),
                              error);
    if (result != 0 && made != NULL)
        (void)unlink(made);
    return result;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */
static int volume_keys_open(struct packetfs_volume *volume, const struct packetfs_unlock *unlock,
                            struct hm_error *error)
{
    uint8_t volume_key[PACKETFS_KEY_BYTES], volume_id[PACKETFS_VOLUME_ID_BYTES];
    HM_AUTOFREE char *path = hm_asprintf("%s/volume", volume->dir);
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};

    if (path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to open a volume");
    int result = hm_file_read(path, VOLUME_FILE_MAX_BYTES, &file, error);
    if (result == HM_ENOTFOUND)
        return hm_fail(error, HM_ENOTFOUND, "%s is no PacketFS volume: make one with init",
                       volume->dir);
    if (result == 0)
        result = packetfs_volume_file_id(hm_buf_slice(&file), volume_id, error);
    if (result == 0)
        result = packetfs_volume_key_find(volume->dir, volume_id, unlock, volume_key,
                                          &volume->key_file, error);
    if (result != 0)
        return result;
    packetfs_keys_derive(volume_key, volume_id, &volume->keys);
    hm_wipe(volume_key, sizeof(volume_key));
    return packetfs_volume_file_read(hm_buf_slice(&file), &volume->keys, &volume->parameters,
                                     error);
}

/* What a copy of the key slots and the volume's file alone lacks: a twin, to be filled from its original. */
static int volume_folders_make(const char *dir, struct hm_error *error)
{
    for (size_t i = 0; i < HM_COUNT_OF(volume_folders); i++) {
        HM_AUTOFREE char *path = hm_asprintf("%s/%s", dir, volume_folders[i]);
        if (path == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory to open a volume");
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return hm_fail_errno(error, errno == EACCES || errno == EROFS ? HM_EPERM : HM_EIO,
                                 "cannot make %s", path);
    }
    return 0;
}

int packetfs_volume_open(const char *dir, const struct packetfs_unlock *unlock, bool read_only,
                         struct packetfs_volume **out, struct packetfs_error *error_out)
{
    struct hm_error *error = packetfs_error_own(error_out);

    if (dir == NULL || dir[0] == '\0')
        return hm_fail(error, HM_EINVAL, "which volume? Its folder is missing");
    struct packetfs_volume *volume = hm_calloc(1, sizeof(*volume));
    if (volume == NULL || (volume->dir = hm_strdup(dir)) == NULL) {
        hm_free(volume);
        return hm_fail(error, HM_ENOMEM, "no memory to open a volume");
    }
    volume->read_only = read_only;
    int result = volume_keys_open(volume, unlock, error);
    if (result == 0 && !read_only)
        result = volume_folders_make(dir, error);
    if (result == 0)
        result = cutter_make(&volume->parameters, &volume->keys, &volume->cutter, error);
    if (result == 0) {
        struct packetfs_store_options options = {
            .suite = volume->parameters.suite,
            .zstd_level = volume->parameters.zstd_level == ZSTD_LEVEL_NONE
                              ? 0
                              : volume->parameters.zstd_level,
            .pad = !volume->parameters.no_padding,
            .read_only = read_only,
            .dictionaries = !volume->parameters.no_dictionaries};
        result = packetfs_store_open(dir, &volume->keys, &options, &volume->store, error);
    }
    if (result != 0) {
        packetfs_volume_close(volume);
        return result;
    }
    *out = volume;
    return 0;
}

void packetfs_volume_close(struct packetfs_volume *volume)
{
    if (volume == NULL)
        return;
    packetfs_store_close(volume->store);
    packetfs_cutter_free(volume->cutter);
    packetfs_keys_release(&volume->keys);
    hm_free(volume->key_file);
    hm_free(volume->dir);
    hm_free(volume);
}

void packetfs_volume_id(const struct packetfs_volume *volume, char out[33])
{
    hm_hex_encode(volume->keys.volume_id, PACKETFS_VOLUME_ID_BYTES, out);
}

void packetfs_volume_parameters(const struct packetfs_volume *volume,
                                struct packetfs_parameters *out)
{
    *out = volume->parameters;
}

const char *packetfs_volume_key_file(const struct packetfs_volume *volume)
{
    return volume->key_file != NULL ? volume->key_file : "";
}
