/* Echo over STOQ with its blocking calls: a server in a thread, and a client that sends a line and reads it back.
 *     cc -o stoq-echo stoq-echo.c $(pkg-config --cflags --libs stoq) -pthread && ./stoq-echo "Hello" */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoq.h>
#include <string.h>
#include <time.h>

#define WAIT_MS 5000
static struct stoq_error error;

static void check(int64_t code)
{
    if (code < 0) {
        fprintf(stderr, "%s: %s\n", stoq_code_name((int)code), error.text);
        exit(1);
    }
}

/* Takes one link and one stream on it, and sends back what comes until its end. */
static void *serve(void *caller)
{
    struct stoq_link *link;
    struct stoq_pipe *pipe;
    char block[4096];
    int64_t len;
    check(stoq_link_accept(caller, WAIT_MS, &link, NULL));
    check(stoq_pipe_accept(link, WAIT_MS, &pipe, NULL));
    while ((len = stoq_pipe_read(pipe, block, sizeof(block), WAIT_MS)) > 0)
        check(stoq_pipe_write(pipe, block, (size_t)len, WAIT_MS));
    check(stoq_pipe_finish(pipe, WAIT_MS));
    stoq_pipe_release(pipe);
    stoq_link_release(link);
    return NULL;
}

/* A host of ours on a free port of ::1. Both sides have the same certificate here, and take no other. */
static struct stoq_caller *open_caller(struct stoq_identity *identity, int server)
{
    struct stoq_host_config config;
    struct stoq_caller *caller;
    stoq_host_config_default(&config);
    config.endpoint.identity = identity;
    config.endpoint.verify = stoq_verify_same;
    config.endpoint.verify_ctx = identity;
    config.endpoint.server = server;
    config.endpoint.alpn = "echo";
    config.bind.sin6_addr = in6addr_loopback;
    check(stoq_caller_open(&caller, &config, &error));
    return caller;
}

int main(int argc, char **argv)
{
    const char *line = argc > 1 ? argv[1] : "Hello";
    struct sockaddr_in6 remote = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    struct stoq_identity *identity;
    struct stoq_link *link;
    struct stoq_pipe *pipe;
    pthread_t thread;
    char block[4096];
    int64_t len;
    check(stoq_identity_self_signed(&identity, "echo", (uint64_t)time(NULL), 1, &error));
    struct stoq_caller *server = open_caller(identity, 1), *client = open_caller(identity, 0);
    remote.sin6_port = htons(stoq_host_port(stoq_caller_host(server)));
    pthread_create(&thread, NULL, serve, server);
    check(stoq_link_connect(client, &remote, "echo", WAIT_MS, &link, &error));
    check(stoq_pipe_open(link, NULL, WAIT_MS, &pipe, &error));
    check(stoq_pipe_write(pipe, line, strlen(line), WAIT_MS));
    check(stoq_pipe_finish(pipe, 0));
    while ((len = stoq_pipe_read(pipe, block, sizeof(block), WAIT_MS)) > 0)
        fwrite(block, 1, (size_t)len, stdout);
    check(len);
    pthread_join(thread, NULL); /* the end of the process releases the rest */
    return 0;
}
