/* A server on sockets of its own, over the fake node. */
#ifndef SERVER_PLACE_H
#define SERVER_PLACE_H

#include "fake_backend.h"
#include "http_client.h"

#define GET_UNIX "GET %s HTTP/1.1\r\nHost: node\r\n\r\n"
#define GET_TCP  "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n"

struct place {
    struct fake fake;
    char folder[64];
    char socket_path[96];
    char token_path[96];
    char token[65];
    struct api_server *server;
    struct api_options options;
};

/* cmocka fixtures: *state is a struct place. */
int place_setup(void **state);
int place_teardown(void **state);
void place_read_token(struct place *place);
const char *place_listening(const struct place *place);
/* One request on a connection of its own; the status. body may be NULL. */
unsigned place_get(struct place *place, const char *target, struct hm_buf *body);
/* Waits until /metrics has the line. */
bool place_metrics_say(struct place *place, const char *line);

#endif
