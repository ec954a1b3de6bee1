/* The folder of key files, and the seal: one key that Argon2id derives from the passphrase. */
#include "trust_keystore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- the seal -------------------------------------------------------------------------------------- */

static int trust_seal_check(struct trust_keystore *keystore, struct hm_slice bytes,
                            const char *passphrase, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf nothing = {0};
    Hypermesh__KeystoreSeal *seal;

    hm_arena_init(&arena, TRUST_FILE_MAX_BYTES * 4);
    if (passphrase == NULL)
        return hm_fail(error, HM_EAUTH, "the keystore %s is sealed: give its passphrase file",
                       keystore->dir);
    int rc = WIRE_UNPACK(hypermesh__keystore_seal, bytes, TRUST_FILE_MAX_BYTES, &arena, &seal,
                         error);
    if (rc != 0) {
        (void)hm_error_prefix(error, rc, "%s/SEAL", keystore->dir);
        return rc;
    }
    if (seal->version != TRUST_KEYSTORE_VERSION || seal->salt.len != TRUST_SEAL_SALT_BYTES)
        return hm_fail(error, HM_ECORRUPT, "%s/SEAL is not of version %d, or damaged",
                       keystore->dir, TRUST_KEYSTORE_VERSION);
    rc = crypto_passphrase_key(passphrase, seal->salt.data, keystore->key, error);
    if (rc == 0)
        rc = crypto_open(keystore->key, hm_slice_str(TRUST_SEAL_CONTEXT), wire_slice(seal->check),
                         &nothing, error);
    if (rc == HM_EAUTH)
        return hm_fail(error, rc, "wrong passphrase for the keystore %s", keystore->dir);
    if (rc == 0)
        keystore->sealed = true;
    return rc;
}

static int trust_seal_create(struct trust_keystore *keystore, const char *path,
                             const char *passphrase, struct hm_error *error)
{
    Hypermesh__KeystoreSeal seal = HYPERMESH__KEYSTORE_SEAL__INIT;
    HM_CLEANUP(hm_buf) struct hm_buf check = {0};
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    uint8_t salt[TRUST_SEAL_SALT_BYTES];

    if (keystore->random->fill(keystore->random->ctx, salt, sizeof(salt)) != 0)
        return hm_fail(error, HM_EIO, "no random bytes for the keystore's salt");
    int rc = crypto_passphrase_key(passphrase, salt, keystore->key, error);
    if (rc == 0)
        rc = crypto_seal(keystore->key, hm_slice_str(TRUST_SEAL_CONTEXT), hm_slice_of(NULL, 0),
                         keystore->random, &check, error);
    if (rc != 0)
        return rc;
    seal.version = TRUST_KEYSTORE_VERSION;
    seal.salt = wire_bytes(salt, sizeof(salt));
    seal.check = wire_bytes(check.data, check.len);
    if (wire_pack(&seal.base, &bytes) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for the keystore's seal");
    rc = hm_file_replace(path, bytes.data, bytes.len, 0600, error);
    if (rc == 0)
        keystore->sealed = true;
    return rc;
}

static int trust_seal_open(struct trust_keystore *keystore, const char *passphrase,
                           struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    char path[TRUST_PATH_MAX_BYTES];
    size_t count = 0;

    int len = snprintf(path, sizeof(path), "%s/SEAL", keystore->dir);
    if (len < 0 || (size_t)len >= sizeof(path))
        return hm_fail(error, HM_ELIMIT, "the keystore's path is longer than %d bytes",
                       TRUST_PATH_MAX_BYTES);
    int rc = trust_file_read(path, &bytes, error);
    if (rc == 0)
        return trust_seal_check(keystore, hm_buf_slice(&bytes), passphrase, error);
    if (rc != HM_ENOTFOUND)
        return rc;
    if (passphrase == NULL)
        return 0;
    rc = trust_keystore_count(keystore, &count, error);
    if (rc != 0)
        return rc;
    if (count > 0)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "the keystore %s holds keys without a seal; sealing it afterwards is not "
                       "supported yet: start without a passphrase, or with a new data folder",
                       keystore->dir);
    return trust_seal_create(keystore, path, passphrase, error);
}

/* --- the folder ------------------------------------------------------------------------------------ */

int trust_keystore_sync(const struct trust_keystore *keystore, struct hm_error *error)
{
    HM_AUTOCLOSE int fd = open(keystore->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) != 0)
        return hm_fail_errno(error, HM_EIO, "the keystore %s cannot be synced", keystore->dir);
    return 0;
}

/* Ours, closed to everybody else, and locked: only then are the files in it what we wrote. */
static int trust_folder_open(const char *dir, int *lock, struct hm_error *error)
{
    struct stat info;
    int rc = hm_mkdir_all(dir, 0700, error);

    if (rc != 0)
        return rc;
    HM_AUTOCLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0)
        return hm_fail_errno(error, errno == EACCES ? HM_EPERM : HM_EIO,
                             "the keystore %s cannot be opened", dir);
    if (info.st_uid != geteuid())
        return hm_fail(error, HM_EPERM,
                       "the keystore %s belongs to user %u, this is user %u: run as that user, or "
                       "use another data folder",
                       dir, (unsigned)info.st_uid, (unsigned)geteuid());
    if ((info.st_mode & 077) != 0 && fchmod(fd, info.st_mode & 0700) != 0)
        return hm_fail_errno(error, HM_EPERM, "the keystore %s cannot be closed to others", dir);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return hm_fail_errno(error, errno == EWOULDBLOCK ? HM_EBUSY : HM_EIO,
                             "the keystore %s cannot be locked: is another node running on it?",
                             dir);
    /* The folder's own entry; where the one above cannot be read, its file system must see to it. */
    HM_AUTOCLOSE int above = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (above >= 0)
        (void)fsync(above);
    *lock = HM_TAKE_FD(fd);
    return 0;
}

int trust_keystore_open(const char *dir, const char *passphrase, const struct hm_random *random,
                        struct trust_keystore **out, struct hm_error *error)
{
    if (passphrase != NULL && passphrase[0] == '\0')
        return hm_fail(error, HM_EINVAL, "the keystore's passphrase is empty");
    HM_AUTOCLOSE int lock = -1;
    int rc = crypto_setup(error);
    if (rc == 0)
        rc = trust_folder_open(dir, &lock, error);
    if (rc != 0)
        return rc;
    struct trust_keystore *keystore = hm_calloc(1, sizeof(*keystore));
    if (keystore != NULL)
        keystore->dir = hm_strdup(dir);
    if (keystore == NULL || keystore->dir == NULL) {
        hm_free(keystore);
        return hm_fail(error, HM_ENOMEM, "no memory for the keystore");
    }
    keystore->lock = HM_TAKE_FD(lock);
    keystore->random = random;
    rc = trust_seal_open(keystore, passphrase, error);
    if (rc != 0) {
        trust_keystore_close(keystore);
        return rc;
    }
    *out = keystore;
    return 0;
}

void trust_keystore_close(struct trust_keystore *keystore)
{
    if (keystore == NULL)
        return;
    hm_wipe(keystore->key, sizeof(keystore->key));
    hm_fd_release(&keystore->lock);
    hm_free(keystore->dir);
    hm_free(keystore);
}

bool trust_keystore_sealed(const struct trust_keystore *keystore)
{
    return keystore->sealed;
}

/* --- what lies in it -------------------------------------------------------------------------------- */

/* Writes the account's name when the file is NAME.root. */
static bool trust_is_root_file(const char *file, char name[TRUST_NAME_MAX + 1])
{
    size_t len = strlen(file);

    if (len < 6 || len > TRUST_NAME_MAX + 5 || strcmp(file + len - 5, ".root") != 0)
        return false;
    memcpy(name, file, len - 5);
    name[len - 5] = '\0';
    return trust_name_check(name, NULL) == 0;
}

static int trust_entry_compare(const void *a, const void *b)
{
    return strcmp(((const struct trust_entry *)a)->name, ((const struct trust_entry *)b)->name);
}

static void trust_dir_release(DIR **dir)
{
    if (*dir != NULL)
        (void)closedir(*dir);
}

/* Names of accounts, up to limit of them; entries may be NULL to count only. */
static int trust_keystore_names(const struct trust_keystore *keystore, struct trust_entry *entries,
                                size_t limit, size_t *count, struct hm_error *error)
{
    HM_CLEANUP(trust_dir) DIR *dir = opendir(keystore->dir);
    char name[TRUST_NAME_MAX + 1];
    size_t found = 0;

    if (dir == NULL)
        return hm_fail_errno(error, HM_EIO, "the keystore %s cannot be read", keystore->dir);
    while (found < limit) {
        errno = 0;
        const struct dirent *file = readdir(dir);

        if (file == NULL && errno != 0)
            return hm_fail_errno(error, HM_EIO, "the keystore %s cannot be read", keystore->dir);
        if (file == NULL)
            break;
        if (!trust_is_root_file(file->d_name, name))
            continue;
        if (entries != NULL)
            memcpy(entries[found].name, name, sizeof(name));
        found++;
    }
    *count = found;
    return 0;
}

int trust_keystore_count(const struct trust_keystore *keystore, size_t *count,
                         struct hm_error *error)
{
    return trust_keystore_names(keystore, NULL, TRUST_IDENTITIES_MAX + 1, count, error);
}

static int trust_list_load(const struct trust_keystore *keystore, struct trust_entry *entries,
                           size_t count, struct hm_error *error)
{
    for (size_t i = 0; i < count; i++) {
        HM_CLEANUP(trust_secret) struct trust_secret secret = {0};
        int rc = trust_file_load(keystore, entries[i].name, TRUST_ROOT, &secret, error);

        if (rc != 0)
            return rc;
        memcpy(entries[i].account, secret.account, sizeof(entries[i].account));
    }
    qsort(entries, count, sizeof(*entries), trust_entry_compare);
    return 0;
}

int trust_keystore_list(struct trust_keystore *keystore, struct trust_entry **out, size_t *count,
                        struct hm_error *error)
{
    /* One more than the limit: the entry that shows it was passed. */
    struct trust_entry *entries = hm_calloc(TRUST_IDENTITIES_MAX + 1, sizeof(*entries));
    size_t found = 0;

    if (entries == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to list the keystore");
    int rc = trust_keystore_names(keystore, entries, TRUST_IDENTITIES_MAX + 1, &found, error);
    if (rc == 0 && found > TRUST_IDENTITIES_MAX)
        rc = hm_fail(error, HM_ELIMIT, "the keystore holds more than %d accounts",
                     TRUST_IDENTITIES_MAX);
    if (rc == 0)
        rc = trust_list_load(keystore, entries, found, error);
    if (rc != 0) {
        hm_free(entries);
        return rc;
    }
    *out = entries;
    *count = found;
    return 0;
}
