#include "nexus_trust.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nexus_client.h"

#define SUFFIX    ".trust"
#define FILES_MAX 4096 /* looked at in the folder */

static const char *folder_of(struct hm_arena *arena)
{
    const char *xdg = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");

    if (xdg && xdg[0] == '/')
        return hm_arena_printf(arena, "%s/hypermesh/trust", xdg);
    if (home && home[0] == '/')
        return hm_arena_printf(arena, "%s/.local/state/hypermesh/trust", home);
    return NULL;
}

static bool is_trust(const char *name)
{
    size_t len = strlen(name);

    return len > strlen(SUFFIX) && strcmp(name + len - strlen(SUFFIX), SUFFIX) == 0;
}

/* The one file in the folder. */
static int find_only(const char *folder, struct hm_arena *arena, const char **out,
                     struct hm_error *error)
{
    DIR *list = opendir(folder);
    const char *found = NULL;
    const struct dirent *entry;
    size_t looked = 0;
    int rc = 0;

    while (!rc && list && looked++ < FILES_MAX && (entry = readdir(list)) != NULL) {
        if (!is_trust(entry->d_name))
            continue;
        if (found)
            rc = hm_fail(error, HM_EINVAL, "%s holds trusted blocks of several chains: say --chain",
                         folder);
        found = hm_arena_printf(arena, "%s/%s", folder, entry->d_name);
        if (!found)
            rc = hm_fail(error, HM_ENOMEM, "no memory for a path");
    }
    if (list)
        (void)closedir(list);
    if (!rc && !found)
        rc = hm_fail(error, HM_ENOTFOUND, "no block is trusted yet");
    if (!rc)
        *out = found;
    return rc;
}

int nexus_trust_path(const char *chain_id, struct hm_arena *arena, const char **out,
                     struct hm_error *error)
{
    const char *folder = folder_of(arena);
    const char *name;

    if (!folder)
        return hm_fail(
            error, HM_EINVAL,
            "cannot tell where to keep the trusted block: set HOME, or say --trust-file");
    if (!chain_id)
        return find_only(folder, arena, out, error);
    /* A chain's id may hold what a file's name may not. */
    name = nexus_escape(chain_id, arena);
    name = name ? hm_arena_printf(arena, "%s/%s" SUFFIX, folder, name) : NULL;
    if (!name)
        return hm_fail(error, HM_ENOMEM, "no memory for a path");
    *out = name;
    return 0;
}

static int read_whole(int fd, const char *path, struct hm_buf *out, struct hm_error *error)
{
    ssize_t got = 1;

    if (hm_buf_reserve(out, LIGHT_TRUST_MAX_BYTES + 1) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to read %s", path);
    while (got > 0 && out->len <= LIGHT_TRUST_MAX_BYTES) {
        got = read(fd, out->data + out->len, LIGHT_TRUST_MAX_BYTES + 1 - out->len);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got < 0)
            return hm_fail_errno(error, HM_EIO, "cannot read %s", path);
        else
            out->len += (size_t)got;
    }
    return out->len <= LIGHT_TRUST_MAX_BYTES
               ? 0
               : hm_fail(error, HM_ELIMIT, "%s is larger than %zu bytes", path,
                         LIGHT_TRUST_MAX_BYTES);
}

/* What is looked at is what is read: another may put another file there meanwhile. */
static int read_own(const char *path, struct hm_buf *out, struct hm_error *error)
{
    HM_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat about;

    if (fd < 0)
        return hm_fail_errno(error, errno == ENOENT || errno == ENOTDIR ? HM_ENOTFOUND : HM_EPERM,
                             "cannot open %s", path);
    if (fstat(fd, &about) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot look at %s", path);
    if (!S_ISREG(about.st_mode))
        return hm_fail(error, HM_EPERM, "%s is not a file", path);
    if (about.st_uid != geteuid() || (about.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return hm_fail(error, HM_EPERM,
                       "%s could have been written by others: what it holds is not trusted", path);
    return read_whole(fd, path, out, error);
}

int nexus_trust_load(const char *path, struct light_trust *trust, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    int rc = read_own(path, &bytes, error);

    if (!rc)
        rc = light_trust_unpack(trust, hm_buf_slice(&bytes), error);
    return rc && rc != HM_ENOTFOUND ? hm_error_prefix(error, rc, "%s", path) : rc;
}

int nexus_trust_save(const char *path, const struct light_trust *trust, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    HM_AUTOFREE char *folder = hm_strdup(path);
    char *slash = folder ? strrchr(folder, '/') : NULL;
    int rc = 0;

    if (!folder)
        return hm_fail(error, HM_ENOMEM, "no memory for a path");
    if (slash && slash != folder) {
        *slash = '\0';
        rc = hm_mkdir_all(folder, 0700, error);
    }
    if (!rc)
        rc = light_trust_pack(trust, &bytes, error);
    return rc ? rc : hm_file_replace(path, bytes.data, bytes.len, 0600, error);
}
