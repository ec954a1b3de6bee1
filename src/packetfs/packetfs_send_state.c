#include "packetfs_send_state.h"

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
    return state->volume == NULL || state->key == NULL
               ? hm_fail(error, HM_ENOMEM, "no memory for a path")
               : 0;
}

/* Nothing of the user's is taken for ours: a folder of his is new, empty, or one where we were before. */
static int given_check(const char *given, struct hm_error *error)
{
    HM_AUTOFREE char *lock = hm_asprintf("%s/lock", given);
    DIR *list = opendir(given);
    struct dirent *entry;
    bool empty = true;

    while (list != NULL && empty && (entry = readdir(list)) != NULL)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (list != NULL)
        (void)closedir(list);
    if (lock == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a path");
    if (!empty && access(lock, F_OK) != 0)
        return hm_fail(error, HM_EEXIST, "%s holds other things: name an empty folder", given);
    return 0;
}

static int open_given(const char *given, struct packetfs_state *state, struct hm_error *error)
{
    int rc = given_check(given, error);

    if (rc == 0)
        rc = hm_mkdir_all(given, 0700, error);

    state->dir = hm_strdup(given);
    if (rc == 0 && state->dir == NULL)
        rc = hm_fail(error, HM_ENOMEM, "no memory for a path");
    return rc == 0 ? lock_take(given, &state->lock, error) : rc;
}

static int open_in_cache(const char *what, const uint8_t *name, bool several,
                         struct packetfs_state *state, struct hm_error *error)
{
    char hex[2 * PACKETFS_STATE_NAME_BYTES + 1];
    HM_AUTOFREE char *parent = NULL;
    int rc = packetfs_state_cache(what, &parent, error);

    if (rc == 0)
        rc = hm_mkdir_all(parent, 0700, error);
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
    int rc = access(state->volume, F_OK) == 0 ? hm_remove_tree(state->volume, error) : 0;

    if (rc == 0 && unlink(state->key) != 0 && errno != ENOENT)
        rc = hm_fail_errno(error, HM_EIO, "cannot remove %s", state->key);
    return rc;
}

void packetfs_state_close(struct packetfs_state *state, bool remove)
{
    if (state->dir != NULL && remove && state->lock >= 0) {
        HM_AUTOFREE char *lock = hm_asprintf("%s/lock", state->dir);

        if (state->ours) {
            (void)hm_remove_tree(state->dir, NULL);
        } else {
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
    *state = (struct packetfs_state){.lock = -1};
}
