/* The asking side: what all measures share. */
#include "perf_client.h"

#include <stdio.h>
#include <string.h>

int perf_client_open(struct perf_client *client, const struct perf_options *options,
                     struct stoq_handlers handlers, struct stoq_error *error)
{
    struct stoq_host_config config;

    client->options = options;
    handlers.ctx = client;
    int code = stoq_address_parse(options->address, 0, &client->remote, error);
    if (code == 0 && client->remote.sin6_port == 0)
        return *error = (struct stoq_error){.code = STOQ_EINVAL,
                                            .text = "the server's address needs a port"},
               STOQ_EINVAL;
    if (code == 0)
        code = perf_host_config(&config, options, false, error);
    if (code != 0)
        return code;
    config.handlers = handlers;
    code = stoq_host_open(&client->host, &config, error);
    stoq_identity_unref(config.endpoint.identity);
    return code;
}

void perf_client_close(struct perf_client *client)
{
    stoq_host_close(client->host, 0);
}

int perf_client_run(struct perf_client *client, const struct perf_options *options,
                    struct stoq_handlers handlers,
                    int (*measure)(struct perf_client *client, struct stoq_error *error))
{
    struct stoq_error error = {.code = STOQ_ENOMEM, .text = "out of memory"};
    struct perf_options one = *options;

    if (client == NULL)
        return perf_complain(&error);
    one.workers = 1;
    perf_gate_init(&client->gate, 0);
    int code = perf_client_open(client, &one, handlers, &error);
    if (code == 0) {
        code = measure(client, &error);
        perf_client_close(client);
    }
    perf_gate_release(&client->gate);
    return code == 0 ? 0 : perf_complain(&error);
}

struct stoq_conn *perf_client_connect(struct perf_client *client, struct stoq_endpoint *endpoint,
                                      uint64_t now_ns, struct stoq_bytes session, void *user)
{
    const struct stoq_target target = {
        .path.remote = client->remote, .name = PERF_NAME, .session = session, .user = user};
    struct stoq_error error = {0};
    struct stoq_conn *conn;

    if (stoq_endpoint_connect(endpoint, &target, now_ns, &conn, &error) == 0)
        return conn;
    perf_gate_fail(&client->gate, error.code, error.text);
    return NULL;
}

struct stoq_stream *perf_client_open_stream(struct perf_client *client, struct stoq_conn *conn,
                                            const char *tag, bool early, void *user)
{
    const struct stoq_stream_options options = {.priority = 3,
                                                .weight = 16,
                                                .replay_safe = early,
                                                .tag = {(const uint8_t *)tag, strlen(tag)},
                                                .user = user};
    struct stoq_error error = {0};
    struct stoq_stream *stream;

    if (stoq_conn_open(conn, &options, &stream, &error) == 0)
        return stream;
    perf_gate_fail(&client->gate, error.code, error.text);
    return NULL;
}

void perf_client_ended(struct perf_client *client, const struct stoq_close *why)
{
    char text[STOQ_ERROR_TEXT_BYTES];

    if (why->kind == STOQ_CLOSE_LOCAL || why->kind == STOQ_CLOSE_DROPPED)
        return;
    (void)snprintf(text, sizeof(text), "the connection ended: %s (kind %d, code %llu)", why->text,
                   (int)why->kind, (unsigned long long)why->code);
    perf_gate_fail(&client->gate, STOQ_ECLOSED, text);
}
