/* One end for the tests with other implementations: plain QUIC streams, no tags, one certificate for everybody.
 *     stoq_peer serve CERT KEY ADDRESS           says "port N"; sends back what comes on each stream, until its input ends
 *     stoq_peer call CERT KEY ADDRESS STREAMS BYTES   so many streams at once, so many bytes on each; compares
 * Exit status 0: everything came back. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base.h"
#include "stoq.h"

#define WAIT_MS     60000
#define BLOCK_BYTES 65536
#define PEM_MAX     65536
#define STREAMS_MAX 64
#define PORT        4433

static struct stoq_error error;

static void fail(const char *what, int64_t code)
{
    (void)fprintf(stderr, "%s: %s: %s\n", what, stoq_code_name((int)code), error.text);
    exit(1);
}

static struct stoq_bytes load(const char *path)
{
    static uint8_t text[2][PEM_MAX];
    static unsigned used;
    uint8_t *into = text[used++ % 2];
    FILE *file = fopen(path, "rb");
    size_t len = file != NULL ? fread(into, 1, PEM_MAX, file) : 0;

    if (file != NULL)
        (void)fclose(file);
    if (len == 0) {
        (void)fprintf(stderr, "%s cannot be read\n", path);
        exit(1);
    }
    return (struct stoq_bytes){into, len};
}

static uint64_t number(const char *text)
{
    uint64_t value = 0;

    if (hm_u64_parse(text, &value, NULL) != 0) {
        (void)fprintf(stderr, "%s is no number\n", text);
        exit(2);
    }
    return value;
}

static struct stoq_identity *identity; /* whose leaf the peer must show, too */

static struct stoq_caller *open_caller(char **arguments, bool server, struct sockaddr_in6 *address)
{
    struct stoq_host_config config;
    struct stoq_caller *caller;
    struct stoq_bytes chain = load(arguments[0]), key = load(arguments[1]);
    int code = stoq_identity_new(&identity, chain, key, &error);

    if (code == 0)
        code = stoq_address_parse(arguments[2], PORT, address, &error);
    if (code != 0)
        fail("arguments", code);
    stoq_host_config_default(&config);
    config.endpoint.identity = identity;
    config.endpoint.verify = stoq_verify_same;
    config.endpoint.verify_ctx = identity;
    config.endpoint.server = server;
    config.endpoint.alpn = "interop";
    config.endpoint.stream_tags = false;
    if (server)
        config.bind = *address;
    code = stoq_caller_open(&caller, &config, &error);
    if (code != 0)
        fail("open", code);
    return caller;
}

/* --- The end that answers --------------------------------------------------------------------------------------------- */

static void *echo(void *arg)
{
    struct stoq_pipe *pipe = arg;
    uint8_t *block = malloc(BLOCK_BYTES);
    int64_t len;

    while (block != NULL && (len = stoq_pipe_read(pipe, block, BLOCK_BYTES, WAIT_MS)) > 0)
        if (stoq_pipe_write(pipe, block, (size_t)len, WAIT_MS) < 0)
            break;
    (void)stoq_pipe_finish(pipe, WAIT_MS);
    stoq_pipe_release(pipe);
    free(block);
    return NULL;
}

static void *take_pipes(void *arg)
{
    struct stoq_link *link = arg;
    struct stoq_pipe *pipe;
    pthread_t thread;

    while (stoq_pipe_accept(link, WAIT_MS, &pipe, NULL) == 0)
        if (pthread_create(&thread, NULL, echo, pipe) == 0)
            (void)pthread_detach(thread);
    stoq_link_release(link);
    return NULL;
}

static void *take_links(void *arg)
{
    struct stoq_caller *caller = arg;
    struct stoq_link *link;
    pthread_t thread;
    int code;

    while ((code = stoq_link_accept(caller, WAIT_MS, &link, NULL)) == 0 || code == STOQ_ETIMEOUT)
        if (code == 0 && pthread_create(&thread, NULL, take_pipes, link) == 0)
            (void)pthread_detach(thread);
    return NULL;
}

static int serve(char **arguments)
{
    struct sockaddr_in6 address;
    struct stoq_caller *caller = open_caller(arguments, true, &address);
    pthread_t thread;
    char input[16];

    if (pthread_create(&thread, NULL, take_links, caller) != 0)
        return 1;
    (void)printf("port %u\n", stoq_host_port(stoq_caller_host(caller)));
    (void)fflush(stdout);
    while (read(STDIN_FILENO, input, sizeof input) > 0)
        ;
    return 0; /* the end of the process ends the rest */
}

/* --- The end that calls ------------------------------------------------------------------------------------------------ */

struct call {
    struct stoq_pipe *pipe;
    uint64_t number, bytes;
    bool good;
};

static uint8_t pattern(uint64_t stream, uint64_t offset)
{
    return (uint8_t)(stream * 41 + offset * 131 + (offset >> 8) * 7);
}

static void *send_all(void *arg)
{
    const struct call *call = arg;
    uint8_t *block = malloc(BLOCK_BYTES);

    for (uint64_t sent = 0; block != NULL && sent < call->bytes;) {
        uint64_t left = call->bytes - sent;
        size_t len = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
        for (size_t i = 0; i < len; i++)
            block[i] = pattern(call->number, sent + i);
        if (stoq_pipe_write(call->pipe, block, len, WAIT_MS) < 0)
            break;
        sent += len;
    }
    (void)stoq_pipe_finish(call->pipe, 0);
    free(block);
    return NULL;
}

static void *receive_all(void *arg)
{
    struct call *call = arg;
    uint8_t *block = malloc(BLOCK_BYTES);
    uint64_t taken = 0;
    bool same = block != NULL;
    int64_t len = 0;

    while (same && (len = stoq_pipe_read(call->pipe, block, BLOCK_BYTES, WAIT_MS)) > 0) {
        for (int64_t i = 0; i < len; i++)
            same = same && block[i] == pattern(call->number, taken + (uint64_t)i);
        taken += (uint64_t)len;
    }
    call->good = same && len == 0 && taken == call->bytes;
    if (!call->good)
        (void)fprintf(stderr, "stream %llu: %llu of %llu bytes, %s, then %s\n",
                      (unsigned long long)call->number, (unsigned long long)taken,
                      (unsigned long long)call->bytes, same ? "the same" : "changed",
                      stoq_code_name((int)(len < 0 ? len : 0)));
    free(block);
    return NULL;
}

static int call_all(char **arguments)
{
    static struct call calls[STREAMS_MAX];
    static pthread_t senders[STREAMS_MAX], receivers[STREAMS_MAX];
    struct sockaddr_in6 address;
    struct stoq_caller *caller = open_caller(arguments, false, &address);
    uint64_t count = number(arguments[3]);
    struct stoq_link *link;
    bool good = count > 0 && count <= STREAMS_MAX;
    int code = stoq_link_connect(caller, &address, "interop.test", WAIT_MS, &link, &error);

    if (code != 0)
        fail("connect", code);
    for (uint64_t i = 0; good && i < count; i++) {
        calls[i] = (struct call){.number = i, .bytes = number(arguments[4])};
        code = stoq_pipe_open(link, NULL, WAIT_MS, &calls[i].pipe, &error);
        if (code != 0)
            fail("stream", code);
        good = pthread_create(&senders[i], NULL, send_all, &calls[i]) == 0 &&
               pthread_create(&receivers[i], NULL, receive_all, &calls[i]) == 0;
    }
    for (uint64_t i = 0; good && i < count; i++) {
        (void)pthread_join(senders[i], NULL);
        (void)pthread_join(receivers[i], NULL);
    }
    for (uint64_t i = 0; good && i < count; i++) {
        good = calls[i].good;
        stoq_pipe_release(calls[i].pipe);
    }
    {
        struct stoq_conn_info info;
        if (stoq_link_info(link, &info) == 0)
            (void)printf("group %s cipher %s migrations %llu\n", info.group, info.cipher,
                         (unsigned long long)info.migrations);
    }
    stoq_link_release(link);
    stoq_caller_close(caller);
    stoq_identity_unref(identity);
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "serve") == 0)
        return serve(argv + 2);
    if (argc == 7 && strcmp(argv[1], "call") == 0)
        return call_all(argv + 2);
    (void)fprintf(
        stderr, "usage: stoq_peer serve CERT KEY ADDRESS | call CERT KEY ADDRESS STREAMS BYTES\n");
    return 2;
}
