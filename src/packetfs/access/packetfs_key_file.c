/* Key files and the folder they are kept in. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/packetfs_key_file.h"

#include "access/packetfs_slot.h"

#define KEY_FILE_BYTES ((size_t)2 * PACKETFS_KEY_BYTES + 1)
#define KEY_SUFFIX     ".key"

/* The folder's entry is durable, too. */
static int key_file_sync_parent(const char *path, struct hm_error *error)
{
    const char *slash = strrchr(path, '/');
    HM_AUTOFREE char *dir = slash == NULL   ? hm_strdup(".")
                            : slash == path ? hm_strdup("/")
                                            : hm_strndup(path, (size_t)(slash - path));
    HM_AUTOCLOSE int fd = -1;

    if (dir == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the path %s", path);
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return hm_fail_errno(error, HM_EIO, "%s cannot be made durable", path);
    return 0;
}

int packetfs_key_file_create(const char *path, const struct hm_random *random,
                             uint8_t key[PACKETFS_KEY_BYTES], struct hm_error *error)
{
    uint8_t fresh[PACKETFS_KEY_BYTES];
    char text[KEY_FILE_BYTES + 1];
    HM_AUTOCLOSE int fd = -1;
    int rc;

    if (random->fill(random->ctx, fresh, sizeof(fresh)) != 0)
        return hm_fail(error, HM_EIO, "the source of random bytes failed; no key file was made");
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return hm_fail_errno(error, errno == EEXIST ? HM_EEXIST : HM_EIO,
                             "the key file %s cannot be made", path);
    hm_hex_encode(fresh, sizeof(fresh), text);
    text[KEY_FILE_BYTES - 1] = '\n';
    rc = hm_write_all(fd, text, KEY_FILE_BYTES, error);
    if (rc == 0 && (fchmod(fd, 0600) != 0 || fsync(fd) != 0))
        rc = hm_fail_errno(error, HM_EIO, "the key file %s cannot be written", path);
    if (rc == 0)
        rc = key_file_sync_parent(path, error);
    if (rc == 0)
        memcpy(key, fresh, sizeof(fresh));
    else
        (void)unlink(path);
    hm_wipe(fresh, sizeof(fresh));
    hm_wipe(text, sizeof(text));
    return rc;
}

/* Who else may read it, has the key. */
static int key_file_check(int fd, const char *path, struct hm_error *error)
{
    struct stat about;

    if (fstat(fd, &about) != 0)
        return hm_fail_errno(error, HM_EIO, "the key file %s cannot be read", path);
    if (!S_ISREG(about.st_mode))
        return hm_fail(error, HM_EPARSE, "%s is no key file: it is not a file", path);
    if (about.st_uid != geteuid())
        return hm_fail(error, HM_EPERM, "the key file %s belongs to somebody else", path);
    if ((about.st_mode & 077) != 0)
        return hm_fail(error, HM_EPERM,
                       "others may read the key file %s: run chmod 600 on it, and think about "
                       "who has it already",
                       path);
    return 0;
}

int packetfs_key_file_read(const char *path, uint8_t key[PACKETFS_KEY_BYTES],
                           struct hm_error *error)
{
    uint8_t bytes[PACKETFS_KEY_BYTES];
    char text[KEY_FILE_BYTES + 1];
    size_t len = 0;
    HM_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int rc;

    if (fd < 0)
        return hm_fail_errno(error,
                             errno == ENOENT   ? HM_ENOTFOUND
                             : errno == EACCES ? HM_EPERM
                                               : HM_EIO,
                             "the key file %s cannot be opened", path);
    rc = key_file_check(fd, path, error);
    while (rc == 0 && len < sizeof(text)) {
        ssize_t got = read(fd, text + len, sizeof(text) - len);

        if (got == 0)
            break;
        if (got > 0)
            len += (size_t)got;
        else if (errno != EINTR)
            rc = hm_fail_errno(error, HM_EIO, "the key file %s cannot be read", path);
    }
    if (rc == 0 && (len != KEY_FILE_BYTES || text[KEY_FILE_BYTES - 1] != '\n' ||
                    hm_hex_decode(text, KEY_FILE_BYTES - 1, bytes, sizeof(bytes), NULL) != 0))
        rc = hm_fail(error, HM_EPARSE, "%s is no key file: it should hold %zu hex digits", path,
                     KEY_FILE_BYTES - 1);
    if (rc == 0)
        memcpy(key, bytes, sizeof(bytes));
    hm_wipe(bytes, sizeof(bytes));
    hm_wipe(text, sizeof(text));
    return rc;
}

/* --- the folder ------------------------------------------------------------------------------------------------------- */

static const char *key_dir_env(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}

int packetfs_key_dir_path(const char *key_dir, struct hm_buf *out, struct hm_error *error)
{
    const char *base = key_dir != NULL ? key_dir : key_dir_env("PACKETFS_KEY_DIR");
    const char *below = "";
    int rc;

    if (base == NULL) {
        base = key_dir_env("XDG_CONFIG_HOME");
        below = "/packetfs/keys";
    }
    if (base == NULL) {
        base = key_dir_env("HOME");
        below = "/.config/packetfs/keys";
    }
    if (base == NULL)
        return hm_fail(
            error, HM_ENOTFOUND,
            "where are key files kept? Set PACKETFS_KEY_DIR or HOME, or name a key file");
    rc = hm_buf_printf(out, "%s%s", base, below);
    if (rc != 0)
        return hm_fail(error, rc, "no memory for the path of the key folder");
    return 0;
}

int packetfs_key_file_path(const char *key_dir, const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                           struct hm_buf *out, struct hm_error *error)
{
    char hex[2 * PACKETFS_VOLUME_ID_BYTES + 1];
    size_t before = out->len;
    int rc = packetfs_key_dir_path(key_dir, out, error);

    if (rc != 0)
        return rc;
    hm_hex_encode(volume_id, PACKETFS_VOLUME_ID_BYTES, hex);
    rc = hm_buf_printf(out, "/%s" KEY_SUFFIX, hex);
    if (rc == 0)
        return 0;
    out->len = before;
    return hm_fail(error, rc, "no memory for the path of a key file");
}

static int key_file_try(const char *path, struct hm_slice slot, const uint8_t *volume_id,
                        uint8_t *volume_key, struct hm_error *error)
{
    uint8_t key[PACKETFS_KEY_BYTES];
    int rc = packetfs_key_file_read(path, key, error);

    if (rc == 0)
        rc = packetfs_slot_open_key(slot, volume_id, key, volume_key, error);
    hm_wipe(key, sizeof(key));
    return rc;
}

static bool key_dir_names_key(const char *name)
{
    size_t len = strlen(name);

    return len > strlen(KEY_SUFFIX) &&
           memcmp(name + len - strlen(KEY_SUFFIX), KEY_SUFFIX, strlen(KEY_SUFFIX)) == 0;
}

/* All of the folder, in any order, each read once; what is no key file of ours is passed over. */
static int key_dir_try_all(const char *dir, struct hm_slice slot, const uint8_t *volume_id,
                           uint8_t *volume_key, struct hm_error *error)
{
    DIR *folder = opendir(dir);
    int rc = HM_EAUTH;
    size_t tried = 0;

    if (folder == NULL)
        return hm_fail_errno(error, errno == ENOENT ? HM_EAUTH : HM_EIO,
                             "no key: the key folder %s cannot be read", dir);
    for (;;) {
        const struct dirent *entry = readdir(folder);

        if (entry == NULL || tried >= PACKETFS_KEY_FILES_MAX)
            break;
        if (!key_dir_names_key(entry->d_name))
            continue;
        HM_AUTOFREE char *path = hm_asprintf("%s/%s", dir, entry->d_name);

        tried++;
        rc = path == NULL ? HM_ENOMEM : key_file_try(path, slot, volume_id, volume_key, error);
        if (rc == 0 || rc == HM_ENOMEM)
            break;
        rc = HM_EAUTH;
    }
    (void)closedir(folder);
    if (rc == HM_ENOMEM)
        return hm_fail(error, rc, "no memory to look for a key in %s", dir);
    if (rc != 0)
        return hm_fail(error, HM_EAUTH, "none of the %zu key files in %s opens this volume", tried,
                       dir);
    return 0;
}

int packetfs_key_dir_try(const char *key_dir, struct hm_slice slot,
                         const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                         uint8_t volume_key[PACKETFS_KEY_BYTES], struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf named = {0};
    HM_CLEANUP(hm_buf) struct hm_buf dir = {0};
    int rc = packetfs_key_file_path(key_dir, volume_id, &named, error);

    if (rc == 0)
        rc = packetfs_key_dir_path(key_dir, &dir, error);
    if (rc != 0)
        return hm_error_prefix(error, rc, "no key");
    rc = key_file_try(hm_buf_cstr(&named), slot, volume_id, volume_key, error);
    /* The file that is named for the volume and is readable by others is no reason to be silent. */
    if (rc == 0 || rc == HM_EPERM || rc == HM_ENOMEM)
        return rc;
    return key_dir_try_all(hm_buf_cstr(&dir), slot, volume_id, volume_key, error);
}
