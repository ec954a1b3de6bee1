/* Between the files of the server. */
#ifndef HM_API_SERVER_H
#define HM_API_SERVER_H

#include <microhttpd.h>

#include "api_conn.h"
#include "api_core.h"
#include "api_listen.h"
#include "api_pool.h"
#include "api_porter.h"
#include "api_rate.h"

#define API_LOOPS_MAX 8u /* of a door: as many as there are processors, up to this */
#define API_LATER_MAX \
    5120u /* acts under way without a thread; as many as the pool has or lets wait */
#define API_CONNECTION_SPARE 32u /* beyond the limit, so that /livez still answers */

/* A way in. Each has connections of its own: those of one can't keep out who comes by the other. */
struct api_door {
    struct api_server *server;
    enum api_transport transport;
    struct api_loop loops[API_LOOPS_MAX];
    unsigned loop_count;
    atomic_uint connections;
};

struct api_server {
    struct api_core core;
    struct api_care care;
    struct api_pool *pool;
    struct api_porter porter;
    struct api_rate rate;
    struct api_door unix_door;
    struct api_door tcp_door;
    struct api_door kv_door;
    char *socket_path;
    dev_t socket_device; /* of the file we made: only that one is removed */
    ino_t socket_inode;
    char bound[API_ADDRESS_MAX_CHARS];
    char kv_bound[API_ADDRESS_MAX_CHARS];
    unsigned loops; /* of each door */
    unsigned connections_max; /* of each door */
    unsigned all_max, foreign_max; /* of all doors, and of those on TCP together */
    atomic_uint later; /* requests whose acts go on without a thread */
    atomic_uint busy; /* requests from their handler to the last byte of the answer */
};

/* --- api_visit.c: what the library calls; ctx is a struct api_loop ------------------------------- */
void api_visit_on_connection(void *ctx, struct MHD_Connection *connection, void **context,
                             enum MHD_ConnectionNotificationCode code);
void *api_visit_on_target(void *ctx, const char *target, struct MHD_Connection *connection);
enum MHD_Result api_visit_on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                     const char *method, const char *version, const char *data,
                                     size_t *size, void **context);
void api_visit_on_completed(void *ctx, struct MHD_Connection *connection, void **context,
                            enum MHD_RequestTerminationCode how);

#endif
