#include "sync/packetfs_send_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_TWINS_MAX   16 /* of one name, in use at once */
#define STATE_TRIES       8
#define STATE_ENTRIES_MAX 4096 /* looked at when old ones are removed */
#define STATE_DAY_S       ((int64_t)86400)
#define STATE_MAGIC       "packetfs handover state 1\n"

int packetfs_state_cache(const char *what, char **out, struct hm_error *error)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *path;

    if (cache != NULL && cache[0] == '/')
        path = hm_asprintf("%s/packetfs/%s", cache, what);
    else if (home != NULL && home[0] == '/')
        path = hm_asprintf("%s/.cache/packetfs/%s", home, what);
    else
        return hm_fail(error, HM_ENOTFOUND,
                       "neither XDG_CACHE_HOME nor HOME names a folder; say where with a folder "
                       "for the state");
    if (path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a path");
    *out = path;
    return 0;
}

/* --- whose it is ------------------------------------------------------------------------------------------------------ */

/* Nobody else can put anything into it, or lead us elsewhere. */
static int folder_check(const char *dir, struct hm_error *error)
{
    HM_AUTOCLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat about;

    if (fd < 0 && errno == ENOENT)
        return HM_ENOTFOUND;
    if (fd < 0 || fstat(fd, &about) != 0)
        return errno == ELOOP || errno == ENOTDIR
                   ? hm_fail(error, HM_EPERM, "%s is a link or no folder: name the folder itself",
                             dir)
                   : hm_fail_errno(error, errno == EACCES ? HM_EPERM : HM_EIO, "cannot enter %s",
                                   dir);
    if (about.st_uid != geteuid())
        return hm_fail(error, HM_EPERM, "%s belongs to another user: name a folder of yours", dir);
    if ((about.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return hm_fail(error, HM_EPERM, "others may write to %s: take that from them (chmod go-w)",
                       dir);
    return 0;
}

/* What is there under this name, if anything, is of this kind and ours. */
static int entry_check(const char *path, mode_t kind, struct hm_error *error)
{
    struct stat about;

    if (lstat(path, &about) != 0)
        return errno == ENOENT ? 0 : hm_fail_errno(error, HM_EIO, "cannot look at %s", path);
    return (about.st_mode & S_IFMT) == kind && about.st_uid == geteuid()
               ? 0
               : hm_fail(error, HM_EPERM, "%s is not what was left there: remove it", path);
}

/* --- the lock --------------------------------------------------------------------------------------------------------- */

/* Locked, and still the file of that name: who removes a folder holds its lock, and the next must not have that one. */
static int lock_take(const char *dir, int *out, struct hm_error *error)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/lock", dir);

    if (path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a path");
    for (int tries = 0; tries < STATE_TRIES; tries++) {
        struct stat held, named;
        HM_AUTOCLOSE int fd = -1;

        if (mkdir(dir, 0700) != 0 && errno != EEXIST)
            return hm_fail_errno(error, errno == EACCES ? HM_EPERM : HM_EIO, "cannot make %s", dir);
        int rc = folder_check(dir, error);
        if (rc == HM_ENOTFOUND)
            continue;
        if (rc != 0)
            return rc;
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 && errno == ENOENT)
            continue;
        if (fd < 0)
            return hm_fail_errno(error, errno == EACCES ? HM_EPERM : HM_EIO, "cannot open %s",
                                 path);
        if (flock(fd, LOCK_EX | LOCK_NB) != 0)
            return hm_fail(error, HM_EBUSY, "another process is at work in %s", dir);
        if (fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_ino == named.st_ino) {
            (void)futimens(fd, NULL);
            if (held.st_size == 0 && hm_write_all(fd, STATE_MAGIC, strlen(STATE_MAGIC), NULL) != 0)
                return hm_fail_errno(error, HM_EIO, "cannot write %s", path);
            *out = fd;
            fd = -1;
            return 0;
        }
    }
    return hm_fail(error, HM_EBUSY, "%s comes and goes", dir);
}

/* --- what was left behind --------------------------------------------------------------------------------------------- */

static bool is_old(const char *dir)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/lock", dir);
    struct stat about;

    return path != NULL && lstat(path, &about) == 0 &&
           about.st_mtime <
               (int64_t)(hm_wall_ms(hm_clock_system()) / 1000u) - PACKETFS_STATE_DAYS * STATE_DAY_S;
}

static void remove_old(const char *parent)
{
    DIR *list = opendir(parent);
    struct dirent *entry;

    for (int i = 0; list != NULL && i < STATE_ENTRIES_MAX && (entry = readdir(list)) != NULL; i++) {
        HM_AUTOFREE char *dir = entry->d_name[0] != '.'
                                    ? hm_asprintf("%s/%s", parent, entry->d_name)
                                    : NULL;
        int lock;

        if (dir == NULL || !is_old(dir) || lock_take(dir, &lock, NULL) != 0)
            continue;
        (void)hm_remove_tree(dir, NULL);
        (void)close(lock);
    }
    if (list != NULL)
        (void)closedir(list);
}

/* --- opening ---------------------------------------------------------------------------------------------------------- */

static int state_fill(struct packetfs_state *state, struct hm_error *error)
{
    state->volume = hm_asprintf("%s/volume", state->dir);
    state->key = hm_asprintf("%s/key", state->dir);
    state->whom = hm_asprintf("%s/for", state->dir);
    state->code = hm_asprintf("%s/code", state->dir);
    if (state->volume == NULL || state->key == NULL || state->whom == NULL || state->code == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a path");
    int rc = entry_check(state->volume, S_IFDIR, error);
    if (rc == 0)
        rc = entry_check(state->key, S_IFREG, error);
    if (rc == 0)
        rc = entry_check(state->whom, S_IFREG, error);
    return rc == 0 ? entry_check(state->code, S_IFREG, error) : rc;
}

/* Nothing of the user's is taken for ours: a folder of his is new, empty (but for a lock that was begun), or one that says that
 * we were there before. */
static int given_check(const char *given, struct hm_error *error)
{
    HM_AUTOFREE char *lock = hm_asprintf("%s/lock", given);
    HM_CLEANUP(hm_buf) struct hm_buf said = {0};
    DIR *list = opendir(given);
    struct dirent *entry;
    bool alone = true, begun = false;

    while (list != NULL && (entry = readdir(list)) != NULL) {
        bool lock_itself = strcmp(entry->d_name, "lock") == 0;

        begun |= lock_itself;
        alone &= lock_itself || strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    }
    if (list != NULL)
        (void)closedir(list);
    if (lock == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a path");
    if (alone && !begun)
        return 0;
    if (entry_check(lock, S_IFREG, NULL) == 0 &&
        hm_file_read(lock, strlen(STATE_MAGIC), &said, NULL) == 0 &&
        (hm_slice_equal(hm_buf_slice(&said), hm_slice_str(STATE_MAGIC)) ||
         (alone && said.len == 0)))
        return 0;
    return hm_fail(error, HM_EEXIST, "%s holds other things: name an empty folder", given);
}

static int open_given(const char *given, struct packetfs_state *state, struct hm_error *error)
{
    size_t len = strlen(given);

    while (len > 1 && given[len - 1] == '/') /* it would lead through a link */
        len--;
    state->dir = hm_strndup(given, len);
    if (state->dir == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a path");
    int rc = folder_check(state->dir, error);
    if (rc == 0)
        rc = given_check(state->dir, error);
    else if (rc == HM_ENOTFOUND)
        rc = hm_mkdir_all(state->dir, 0700, error);
    return rc == 0 ? lock_take(state->dir, &state->lock, error) : rc;
}

static int open_in_cache(const char *what, const uint8_t *name, bool several,
                         struct packetfs_state *state, struct hm_error *error)
{
    char hex[2 * PACKETFS_STATE_NAME_BYTES + 1];
    HM_AUTOFREE char *parent = NULL;
    int rc = packetfs_state_cache(what, &parent, error);

    if (rc == 0)
        rc = hm_mkdir_all(parent, 0700, error);
    if (rc == 0)
        rc = folder_check(parent, error);
    if (rc != 0)
        return rc;
    remove_old(parent);
    hm_hex_encode(name, PACKETFS_STATE_NAME_BYTES, hex);
    for (int twin = 0; twin < (several ? STATE_TWINS_MAX : 1); twin++) {
        hm_free(state->dir);
        state->dir = twin == 0 ? hm_asprintf("%s/%s", parent, hex)
                               : hm_asprintf("%s/%s-%d", parent, hex, twin);
        rc = state->dir != NULL ? lock_take(state->dir, &state->lock, error)
                                : hm_fail(error, HM_ENOMEM, "no memory for a path");
        if (rc != HM_EBUSY)
            break;
    }
    state->ours = true;
    return rc;
}

int packetfs_state_open(const char *given, const char *what,
                        const uint8_t name[PACKETFS_STATE_NAME_BYTES], bool several,
                        struct packetfs_state *out, struct hm_error *error)
{
    struct packetfs_state state = {.lock = -1};
    int rc = given != NULL ? open_given(given, &state, error)
                           : open_in_cache(what, name, several, &state, error);

    if (rc == 0)
        rc = state_fill(&state, error);
    if (rc != 0)
        packetfs_state_close(&state, false);
    else
        *out = state;
    return rc;
}

int packetfs_state_clear(const struct packetfs_state *state, struct hm_error *error)
{
    const char *const files[] = {state->whom, state->code, state->key};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < HM_COUNT_OF(files); i++)
        if (unlink(files[i]) != 0 && errno != ENOENT)
            rc = hm_fail_errno(error, HM_EIO, "cannot remove %s", files[i]);
    if (rc == 0 && access(state->volume, F_OK) == 0)
        rc = hm_remove_tree(state->volume, error);
    return rc;
}

bool packetfs_state_is_for(const struct packetfs_state *state,
                           const uint8_t name[PACKETFS_STATE_NAME_BYTES])
{
    char hex[2 * PACKETFS_STATE_NAME_BYTES + 1];
    HM_CLEANUP(hm_buf) struct hm_buf said = {0};

    hm_hex_encode(name, PACKETFS_STATE_NAME_BYTES, hex);
    return hm_file_read(state->whom, strlen(hex), &said, NULL) == 0 &&
           hm_slice_equal(hm_buf_slice(&said), hm_slice_str(hex));
}

int packetfs_state_mark(const struct packetfs_state *state,
                        const uint8_t name[PACKETFS_STATE_NAME_BYTES], struct hm_error *error)
{
    char hex[2 * PACKETFS_STATE_NAME_BYTES + 1];

    hm_hex_encode(name, PACKETFS_STATE_NAME_BYTES, hex);
    return hm_file_replace(state->whom, hex, strlen(hex), 0600, error);
}

void packetfs_state_close(struct packetfs_state *state, bool remove)
{
    if (state->dir != NULL && remove && state->lock >= 0) {
        HM_AUTOFREE char *lock = hm_asprintf("%s/lock", state->dir);

        if (state->ours) {
            (void)hm_remove_tree(state->dir, NULL);
        } else {
            if (state->code != NULL) /* else it was not found to be ours */
                (void)packetfs_state_clear(state, NULL);
            if (lock != NULL)
                (void)unlink(lock);
            (void)rmdir(state->dir); /* stays when the user has something else there */
        }
    }
    if (state->dir != NULL && state->lock >= 0)
        (void)close(state->lock);
    hm_free(state->dir);
    hm_free(state->volume);
    hm_free(state->key);
    hm_free(state->whom);
    hm_free(state->code);
    *state = (struct packetfs_state){.lock = -1};
}
