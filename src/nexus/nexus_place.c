#include "nexus_place.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for a path");
}

int nexus_path_absolute(const char *path, struct hm_arena *arena, const char **out,
                        struct hm_error *error)
{
    char cwd[PATH_MAX];
    const char *rest = path;
    const char *joined;

    if (path[0] == '\0')
        return hm_fail(error, HM_EINVAL, "an empty path names no folder");
    if (path[0] == '/') {
        joined = hm_arena_strdup(arena, path);
    } else {
        if (!getcwd(cwd, sizeof(cwd)))
            return hm_fail_errno(error, HM_EIO, "cannot tell the working folder");
        while (rest[0] == '.' && rest[1] == '/')
            rest += 2 + strspn(rest + 2, "/");
        if (strcmp(rest, ".") == 0 || rest[0] == '\0')
            joined = hm_arena_strdup(arena, cwd);
        else
            joined = hm_arena_printf(arena, "%s/%s", strcmp(cwd, "/") == 0 ? "" : cwd, rest);
    }
    if (!joined)
        return no_memory(error);
    *out = joined;
    return 0;
}

static const char *data_dir_default(struct hm_arena *arena)
{
    const char *xdg = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");

    if (geteuid() == 0)
        return "/var/lib/hypermesh";
    if (xdg && xdg[0] == '/')
        return hm_arena_printf(arena, "%s/hypermesh", xdg);
    if (home && home[0] == '/')
        return hm_arena_printf(arena, "%s/.local/share/hypermesh", home);
    return NULL;
}

static int url_check(const char *url, struct hm_arena *arena, const char **out,
                     struct hm_error *error)
{
    size_t len = strlen(url);

    if (strncmp(url, "https://", 8) == 0)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "--url %s: https is not supported yet; the API is HTTP on loopback", url);
    while (len > 0 && url[len - 1] == '/')
        len--;
    if (strncmp(url, "http://", 7) != 0 || len <= 7 || strcspn(url + 7, "/?#@ ") < len - 7)
        return hm_fail(error, HM_EINVAL, "--url %s: must look like http://127.0.0.1:7470", url);
    *out = hm_arena_printf(arena, "%.*s", (int)len, url);
    return *out ? 0 : no_memory(error);
}

int nexus_place_find(const char *data, const char *url, const char *token_path,
                     struct hm_arena *arena, struct nexus_place *out, struct hm_error *error)
{
    const char *from_env = getenv("HYPERMESH_DATA");
    struct nexus_place place = {0};
    int rc;

    if (!data && from_env && from_env[0])
        data = from_env;
    if (!data)
        data = data_dir_default(arena);
    if (!data)
        return hm_fail(error, HM_EINVAL,
                       "cannot tell where the node's data is: give --data DIR or set "
                       "HYPERMESH_DATA");
    rc = nexus_path_absolute(data, arena, &place.data_dir, error);
    if (!rc && url)
        rc = url_check(url, arena, &place.url, error);
    if (rc)
        return rc;
    place.socket_path = hm_arena_printf(arena, "%s/%s", place.data_dir, NEXUS_SOCKET_NAME);
    place.token_path = token_path
                           ? token_path
                           : hm_arena_printf(arena, "%s/%s", place.data_dir, NEXUS_TOKEN_NAME);
    if (!place.socket_path || !place.token_path)
        return no_memory(error);
    if (!url && strlen(place.socket_path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return hm_fail(error, HM_ELIMIT,
                       "%s is too long for a unix socket (at most %zu bytes): choose a shorter "
                       "--data, or use --url",
                       place.socket_path, sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
    *out = place;
    return 0;
}
