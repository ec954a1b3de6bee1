#include "api_auth.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <strings.h>
#include <sys/stat.h>

#define TOKEN_FILE_MAX_BYTES 256
#define HOST_MAX_CHARS       64

/* --- the token's file ------------------------------------------------------------------------- */

static int token_create(const char *path, const struct hm_random *random,
                        char token[API_TOKEN_CHARS + 1], struct hm_error *error)
{
    HM_AUTOCLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    uint8_t secret[API_TOKEN_BYTES];
    char text[API_TOKEN_CHARS + 1];
    int rc;

    if (fd < 0)
        return hm_fail_errno(error, errno == EEXIST ? HM_EEXIST : HM_EIO,
                             "cannot create the token file %s", path);
    rc = random->fill(random->ctx, secret, sizeof(secret));
    if (rc) {
        (void)unlink(path);
        return hm_fail(error, rc, "no random bytes for the token in %s", path);
    }
    hm_hex_encode(secret, sizeof(secret), text);
    rc = hm_write_all(fd, text, API_TOKEN_CHARS, error);
    if (rc == 0)
        rc = hm_write_all(fd, "\n", 1, error);
    if (rc == 0 && (fchmod(fd, 0600) != 0 || fsync(fd) != 0))
        rc = hm_fail_errno(error, HM_EIO, "cannot write the token file %s", path);
    if (rc)
        (void)unlink(path);
    else
        memcpy(token, text, sizeof(text));
    hm_wipe(secret, sizeof(secret));
    hm_wipe(text, sizeof(text));
    return rc;
}

static int token_check_mode(int fd, const char *path, struct hm_error *error)
{
    struct stat info;

    if (fstat(fd, &info) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot read the token file %s", path);
    if (!S_ISREG(info.st_mode))
        return hm_fail(error, HM_EPERM, "the token file %s is not a regular file; remove it", path);
    if ((info.st_mode & 077) != 0)
        return hm_fail(error, HM_EPERM,
                       "others may read the token file %s; remove it (a new token is made) or run: "
                       "chmod 600 %s",
                       path, path);
    if (info.st_uid != geteuid() && info.st_uid != 0)
        return hm_fail(error, HM_EPERM, "the token file %s belongs to another user; remove it",
                       path);
    return 0;
}

static int token_take(char *text, size_t len, const char *path, char token[API_TOKEN_CHARS + 1],
                      struct hm_error *error)
{
    uint8_t secret[API_TOKEN_BYTES];
    int rc;

    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    rc = hm_hex_decode(text, len, secret, sizeof(secret), error);
    if (rc)
        return hm_fail(error, HM_ECORRUPT,
                       "the token file %s does not hold %d hexadecimal digits; remove it and a new "
                       "token is made",
                       path, API_TOKEN_CHARS);
    hm_hex_encode(secret, sizeof(secret), token);
    hm_wipe(secret, sizeof(secret));
    return 0;
}

static int token_read(const char *path, char token[API_TOKEN_CHARS + 1], struct hm_error *error)
{
    HM_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    char text[TOKEN_FILE_MAX_BYTES];
    ssize_t len;
    int rc;

    if (fd < 0)
        return hm_fail_errno(error, errno == ENOENT ? HM_ENOTFOUND : HM_EPERM,
                             "cannot open the token file %s", path);
    rc = token_check_mode(fd, path, error);
    if (rc)
        return rc;
    do {
        len = read(fd, text, sizeof(text));
    } while (len < 0 && errno == EINTR);
    if (len < 0)
        return hm_fail_errno(error, HM_EIO, "cannot read the token file %s", path);
    rc = token_take(text, (size_t)len, path, token, error);
    hm_wipe(text, sizeof(text));
    return rc;
}

int api_token_open(const char *path, const struct hm_random *random,
                   char token[API_TOKEN_CHARS + 1], struct hm_error *error)
{
    int rc = token_read(path, token, error);

    return rc == HM_ENOTFOUND ? token_create(path, random, token, error) : rc;
}

/* --- Host and Origin -------------------------------------------------------------------------- */

/* Host without its port; false when it is too long or the port is not a number. */
static bool host_name(const char *host, char name[HOST_MAX_CHARS])
{
    size_t len = strlen(host);
    const char *port;

    if (host[0] == '[') {
        const char *end = strchr(host, ']');

        if (!end || (end[1] != '\0' && end[1] != ':'))
            return false;
        port = end[1] == ':' ? end + 2 : "";
        host++;
        len = (size_t)(end - host);
    } else {
        const char *colon = strchr(host, ':');

        port = colon ? colon + 1 : "";
        len = colon ? (size_t)(colon - host) : len;
    }
    if (strspn(port, "0123456789") != strlen(port) || strlen(port) > 5 || len >= HOST_MAX_CHARS)
        return false;
    memcpy(name, host, len);
    name[len] = '\0';
    return true;
}

bool api_host_is_local(const char *host)
{
    char name[HOST_MAX_CHARS];
    struct in6_addr six;
    struct in_addr four;

    if (!host || !host_name(host, name))
        return false;
    if (host[0] == '[')
        return inet_pton(AF_INET6, name, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
    if (strcasecmp(name, "localhost") == 0)
        return true;
    return inet_pton(AF_INET, name, &four) == 1 && ntohl(four.s_addr) >> 24 == 127;
}

int api_auth_check_origin(const struct api_request *request, struct hm_error *error)
{
    static const char scheme[] = "http://";

    if (request->transport == API_TRANSPORT_UNIX)
        return 0;
    if (!api_host_is_local(request->host))
        return hm_fail(error, HM_EPERM,
                       "the Host header must name this machine's loopback address: 127.0.0.1, "
                       "[::1] or localhost");
    if (request->origin && (strncmp(request->origin, scheme, sizeof(scheme) - 1) != 0 ||
                            strcasecmp(request->origin + sizeof(scheme) - 1, request->host) != 0))
        return hm_fail(error, HM_EPERM,
                       "requests of pages from elsewhere are refused (Origin is not this address)");
    return 0;
}

/* Programs written for etcd send the token as it is. */
static bool takes_bare_token(const char *target)
{
    return strncmp(target, "/v3/", 4) == 0 || strncmp(target, "/v3beta/", 8) == 0;
}

static int check_token(const char *header, const char *token, bool bare, struct hm_error *error)
{
    static const char scheme[] = "Bearer ";

    if (!header)
        return hm_fail(error, HM_EAUTH,
                       "this address wants the token of the node's api.token file: send "
                       "\"Authorization: Bearer "
                       "TOKEN\", or use the unix socket");
    if (strncasecmp(header, scheme, sizeof(scheme) - 1) == 0)
        header += sizeof(scheme) - 1;
    else if (!bare)
        return hm_fail(error, HM_EAUTH, "the Authorization header must be \"Bearer TOKEN\"");
    while (*header == ' ')
        header++;
    if (strlen(header) != API_TOKEN_CHARS || !hm_equal_ct(header, token, API_TOKEN_CHARS))
        return hm_fail(error, HM_EAUTH, "the token is not the one in the node's api.token file");
    return 0;
}

int api_auth_check_caller(const struct api_request *request, uid_t owner, const char *token,
                          struct hm_error *error)
{
    if (request->transport == API_TRANSPORT_TCP)
        return check_token(request->authorization, token, takes_bare_token(request->target), error);
    if (request->transport == API_TRANSPORT_KV)
        return 0;
    if (!request->peer_known)
        return hm_fail(error, HM_EPERM,
                       "the system does not say who is at the other end of the unix socket");
    if (request->peer_uid != owner && request->peer_uid != 0)
        return hm_fail(error, HM_EPERM,
                       "user %lu may not use this node; only its owner and root may",
                       (unsigned long)request->peer_uid);
    return 0;
}

void api_auth_principal(const struct api_request *request, char out[API_PRINCIPAL_MAX])
{
    switch (request->transport) {
    case API_TRANSPORT_UNIX:
        (void)snprintf(out, API_PRINCIPAL_MAX, "uid %lu", (unsigned long)request->peer_uid);
        break;
    case API_TRANSPORT_TCP: /* one token, and so one principal */
        memcpy(out, "token", sizeof("token"));
        break;
    default:
        memcpy(out, "kv", sizeof("kv"));
    }
}
