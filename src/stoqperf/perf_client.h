/* The asking side: a host, and connections spread over its workers. */
#ifndef STOQPERF_PERF_CLIENT_H
#define STOQPERF_PERF_CLIENT_H

#include "perf.h"

struct perf_client {
    const struct perf_options *options;
    struct stoq_host *host;
    struct sockaddr_in6 remote;
    struct perf_gate gate;
};
/* handlers.ctx is set to the client: let it be the first member of a measure of your own. */
int perf_client_open(struct perf_client *client, const struct perf_options *options,
                     struct stoq_handlers handlers, struct stoq_error *error);
void perf_client_close(struct perf_client *client);
/* A measure with one worker, from opening the client to closing it: an exit code. client is the first member of a measure
 * of its own; NULL: there was no memory for it. */
int perf_client_run(struct perf_client *client, const struct perf_options *options,
                    struct stoq_handlers handlers,
                    int (*measure)(struct perf_client *client, struct stoq_error *error));
/* In a worker's thread. A connection that fails opens the gate with its reason. */
struct stoq_conn *perf_client_connect(struct perf_client *client, struct stoq_endpoint *endpoint,
                                      uint64_t now_ns, struct stoq_bytes session, void *user);
/* A stream with this tag; NULL, and the gate has the reason, when there is none to be had. */
struct stoq_stream *perf_client_open_stream(struct perf_client *client, struct stoq_conn *conn,
                                            const char *tag, bool early, void *user);
/* For a `closed` handler: an end that nobody asked for opens the gate with its reason. */
void perf_client_ended(struct perf_client *client, const struct stoq_close *why);

#endif
