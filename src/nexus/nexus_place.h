/* Where the node is: its data folder and the way to its API. */
#ifndef HM_NEXUS_PLACE_H
#define HM_NEXUS_PLACE_H

#include "base.h"

#define NEXUS_SOCKET_NAME    "api.sock"
#define NEXUS_TOKEN_NAME     "api.token"
#define NEXUS_LOG_NAME       "hypermeshd.log"
#define NEXUS_LISTEN_DEFAULT "127.0.0.1:7470"

struct nexus_place {
    const char *data_dir; /* absolute */
    const char *socket_path; /* data_dir/api.sock */
    const char *url; /* "http://HOST:PORT" without a slash at its end; NULL: the socket */
    const char *token_path; /* for url; NULL: no token is sent */
};

/* data: --data, else $HYPERMESH_DATA, else /var/lib/hypermesh for root and ~/.local/share/hypermesh (or
 * under $XDG_DATA_HOME) for others. Relative paths count from the working folder. All in the arena.
 * HM_EINVAL when url is not http://HOST:PORT, HM_ELIMIT when the socket's path is too long for Linux. */
int nexus_place_find(const char *data, const char *url, const char *token_path,
                     struct hm_arena *arena, struct nexus_place *out, struct hm_error *error);
/* Relative to the working folder -> absolute. */
int nexus_path_absolute(const char *path, struct hm_arena *arena, const char **out,
                        struct hm_error *error);

#endif
