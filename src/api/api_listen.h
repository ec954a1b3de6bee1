/* Listening sockets: a private unix socket, and TCP on loopback only. */
#ifndef HM_API_LISTEN_H
#define HM_API_LISTEN_H

#include "base.h"

#define API_BACKLOG           256
#define API_ADDRESS_MAX_CHARS 64

/* Mode 0600 from the moment it exists. A file left by a node that died is replaced; HM_EBUSY
 * when somebody answers on it, HM_EEXIST when something else has the name, HM_EINVAL when the
 * path is too long for a socket. */
int api_listen_unix(const char *path, int *fd, struct hm_error *error);

/* "127.0.0.1:7470", "[::1]:0", "localhost:7470". *bound: the address really bound. HM_EINVAL:
 * malformed, or not loopback; HM_EBUSY: in use. */
int api_listen_tcp(const char *address, int *fd, char bound[API_ADDRESS_MAX_CHARS],
                   struct hm_error *error);

#endif
