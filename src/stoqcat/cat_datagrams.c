/* Datagrams: each block read from standard input is one, each that comes goes to standard output. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cat_output.h"
#include "cat_signal.h"

#define BLOCK_BYTES 65536
#define FULL_MS     1 /* pause while the queue of datagrams is full */
#define DRAIN_MS    2000
#define DRAIN_NS    (DRAIN_MS * 1000000ULL)

struct talk {
    const struct cat_options *options;
    pthread_mutex_t lock;
    pthread_cond_t news;
    struct stoq_conn *conn; /* worker only */
    bool up, over;
    struct cat_output *output;
    int code;
    char reason[STOQ_ERROR_TEXT_BYTES];
    size_t size; /* of the largest datagram the peer takes */
    int over_fd;
    struct sockaddr_in6 remote;
    const char *name;
    /* A block on its way to the worker. */
    const uint8_t *block;
    size_t len;
    bool done, taken;
    uint64_t given; /* datagrams taken into the queue */
    bool sent; /* all of them have left */
};

static void finish(struct talk *talk, int code, const char *reason)
{
    uint64_t one = 1;

    (void)pthread_mutex_lock(&talk->lock);
    talk->conn = NULL;
    talk->over = true;
    talk->code = code;
    (void)snprintf(talk->reason, sizeof(talk->reason), "%s", reason);
    (void)pthread_cond_broadcast(&talk->news);
    (void)pthread_mutex_unlock(&talk->lock);
    (void)!write(talk->over_fd, &one, sizeof(one));
}

static int on_accepted(void *ctx, struct stoq_conn *conn)
{
    struct talk *talk = ctx;

    (void)pthread_mutex_lock(&talk->lock);
    bool first = !talk->up && !talk->over;
    if (first) {
        talk->up = true;
        talk->conn = conn;
        talk->size = stoq_conn_datagram_size(conn);
        (void)pthread_cond_broadcast(&talk->news);
    }
    (void)pthread_mutex_unlock(&talk->lock);
    return first ? 0 : STOQ_ELIMIT;
}

static void on_connected(void *ctx, struct stoq_conn *conn)
{
    (void)on_accepted(ctx, conn);
}

static void on_closed(void *ctx, struct stoq_conn *conn, const struct stoq_close *why)
{
    bool in_order = why->kind == STOQ_CLOSE_LOCAL ||
                    (why->kind == STOQ_CLOSE_PEER_APPLICATION &&
                     (why->code == 0 || why->code == STOQ_APP_SHUTDOWN));

    (void)conn;
    finish(ctx,
           in_order                      ? 0
           : why->kind == STOQ_CLOSE_TLS ? STOQ_EAUTH
                                         : STOQ_ECLOSED,
           why->text != NULL ? why->text : "");
}

static void on_datagrams(void *ctx, struct stoq_conn *conn, const struct stoq_bytes *list,
                         size_t count)
{
    struct talk *talk = ctx;

    (void)conn;
    for (size_t i = 0; i < count; i++)
        (void)cat_output_add(talk->output, list[i].data, list[i].len);
}

static void connect_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct talk *talk = arg;
    const struct stoq_target target = {.path.remote = talk->remote, .name = talk->name};
    struct stoq_error error = {0};
    struct stoq_conn *conn;

    int code = stoq_endpoint_connect(endpoint, &target, now_ns, &conn, &error);
    if (code != 0)
        finish(talk, code, error.text);
}

static void send_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct talk *talk = arg;
    struct stoq_bytes block;

    (void)endpoint;
    (void)now_ns;
    (void)pthread_mutex_lock(&talk->lock);
    block = (struct stoq_bytes){talk->block, talk->len};
    struct stoq_conn *conn = talk->conn;
    (void)pthread_mutex_unlock(&talk->lock);
    bool taken = conn != NULL && stoq_conn_datagrams(conn, &block, 1) == 1;
    (void)pthread_mutex_lock(&talk->lock);
    talk->taken = taken;
    talk->given += taken;
    talk->done = true;
    (void)pthread_cond_broadcast(&talk->news);
    (void)pthread_mutex_unlock(&talk->lock);
}

/* False: the connection is over. Waits while the queue is full. */
static bool send_block(struct talk *talk, struct stoq_host *host, const uint8_t *block, size_t len)
{
    for (;;) {
        (void)pthread_mutex_lock(&talk->lock);
        talk->block = block;
        talk->len = len;
        talk->done = talk->taken = false;
        bool over = talk->over;
        (void)pthread_mutex_unlock(&talk->lock);
        if (over || stoq_host_post(host, 0, send_act, talk) != 0)
            return false;
        (void)pthread_mutex_lock(&talk->lock);
        while (!talk->done)
            (void)pthread_cond_wait(&talk->news, &talk->lock);
        bool taken = talk->taken;
        (void)pthread_mutex_unlock(&talk->lock);
        if (taken)
            return true;
        (void)poll(NULL, 0, FULL_MS);
    }
}

static void sent_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct talk *talk = arg;
    struct stoq_conn_info info = {0};

    (void)endpoint;
    (void)now_ns;
    if (talk->conn != NULL)
        stoq_conn_get_info(talk->conn, &info);
    (void)pthread_mutex_lock(&talk->lock);
    talk->sent = talk->conn == NULL || info.datagrams_sent >= talk->given;
    talk->done = true;
    (void)pthread_cond_broadcast(&talk->news);
    (void)pthread_mutex_unlock(&talk->lock);
}

/* Until what is queued has left; it may be lost on its way all the same. */
static void wait_sent(struct talk *talk, struct stoq_host *host)
{
    bool sent = false;

    for (int i = 0; i < DRAIN_MS / FULL_MS && !sent; i++) {
        (void)pthread_mutex_lock(&talk->lock);
        talk->done = false;
        (void)pthread_mutex_unlock(&talk->lock);
        if (stoq_host_post(host, 0, sent_act, talk) != 0)
            return;
        (void)pthread_mutex_lock(&talk->lock);
        while (!talk->done)
            (void)pthread_cond_wait(&talk->news, &talk->lock);
        sent = talk->sent;
        (void)pthread_mutex_unlock(&talk->lock);
        if (!sent)
            (void)poll(NULL, 0, FULL_MS);
    }
}

static int carry(struct talk *talk, struct stoq_host *host, struct stoq_error *error)
{
    struct pollfd polls[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                              {.fd = talk->over_fd, .events = POLLIN}};
    static uint8_t block[BLOCK_BYTES];
    size_t most = talk->size < sizeof(block) ? talk->size : sizeof(block);

    if (most == 0) {
        (void)snprintf(error->text, sizeof(error->text), "the peer takes no datagrams");
        return STOQ_EUNSUPPORTED;
    }
    for (;;) {
        polls[0].revents = polls[1].revents = 0;
        if (poll(polls, 2, -1) < 0 && errno != EINTR) {
            (void)snprintf(error->text, sizeof(error->text), "cannot wait for standard input");
            return STOQ_EIO;
        }
        if (polls[1].revents != 0)
            break;
        if (polls[0].revents == 0)
            continue;
        ssize_t len = read(STDIN_FILENO, block, most);
        if (len < 0 && errno != EINTR && errno != EAGAIN) {
            (void)snprintf(error->text, sizeof(error->text), "cannot read standard input");
            return STOQ_EIO;
        }
        if (len > 0 && !send_block(talk, host, block, (size_t)len))
            break;
        if (len == 0 && talk->options->listen)
            polls[0].fd = -1; /* a listener goes when its peer does */
        else if (len == 0)
            return 0;
    }
    (void)pthread_mutex_lock(&talk->lock);
    int code = talk->over ? talk->code : 0;
    (void)snprintf(error->text, sizeof(error->text), "%.300s", talk->reason);
    (void)pthread_mutex_unlock(&talk->lock);
    return code;
}

static bool say_goodbye(void *arg)
{
    struct talk *talk = arg;
    const uint64_t one = 1;

    (void)pthread_mutex_lock(&talk->lock);
    bool up = talk->up;
    talk->over = true;
    (void)pthread_cond_broadcast(&talk->news);
    (void)pthread_mutex_unlock(&talk->lock);
    (void)!write(talk->over_fd, &one, sizeof(one));
    return up;
}

static void close_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct talk *talk = arg;

    (void)endpoint;
    (void)now_ns;
    if (talk->conn != NULL)
        stoq_conn_close(talk->conn, 0, NULL);
}

static int wait_up(struct talk *talk, struct stoq_error *error)
{
    struct timespec until;
    int code = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += talk->options->timeout_ms / 1000;
    (void)pthread_mutex_lock(&talk->lock);
    while (!talk->up && !talk->over && code == 0) {
        if (talk->options->listen)
            (void)pthread_cond_wait(&talk->news, &talk->lock);
        else if (pthread_cond_timedwait(&talk->news, &talk->lock, &until) == ETIMEDOUT)
            code = STOQ_ETIMEOUT;
    }
    if (talk->up)
        code = 0;
    else if (talk->over)
        code = talk->code != 0 ? talk->code : STOQ_ECLOSED;
    (void)snprintf(error->text, sizeof(error->text), "%.300s",
                   talk->over ? talk->reason : "no answer in time");
    (void)pthread_mutex_unlock(&talk->lock);
    return code;
}

static int talk_run(struct talk *talk, struct stoq_host *host, struct stoq_error *error)
{
    int code = 0;

    if (talk->options->listen)
        cat_say(talk->options, "listening on port %u", stoq_host_port(host));
    else
        code = stoq_host_post(host, 0, connect_act, talk);
    if (code == 0)
        code = wait_up(talk, error);
    if (code == 0)
        code = carry(talk, host, error);
    return code;
}

int cat_datagrams(const struct cat_options *options, const struct stoq_host_config *config,
                  struct stoq_error *error)
{
    struct stoq_host_config own = *config;
    struct talk talk = {.options = options, .over_fd = eventfd(0, EFD_CLOEXEC)};
    char host_text[STOQ_ADDRESS_TEXT_BYTES];
    pthread_condattr_t monotonic;
    struct cat_watch *watch = NULL;
    struct stoq_host *host;
    bool output_failed = false;
    int code = 0;

    if (!options->listen) {
        code = stoq_address_parse(options->address, CAT_PORT_DEFAULT, &talk.remote, error);
        cat_host_of(&talk.remote, host_text);
        talk.name = options->name != NULL ? options->name : host_text;
    }
    own.handlers = (struct stoq_handlers){.ctx = &talk,
                                          .accepted = on_accepted,
                                          .connected = on_connected,
                                          .closed = on_closed,
                                          .datagrams = on_datagrams};
    (void)pthread_mutex_init(&talk.lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&talk.news, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if (code == 0)
        code = cat_output_open(&talk.output, talk.over_fd, error);
    if (code == 0)
        code = stoq_host_open(&host, &own, error);
    if (code == 0) {
        code = cat_watch_open(&watch, say_goodbye, &talk, error);
        if (code == 0)
            code = talk_run(&talk, host, error);
        wait_sent(&talk, host);
        (void)stoq_host_post(host, 0, close_act, &talk);
        stoq_host_close(host, DRAIN_NS);
    }
    uint64_t lost = cat_output_close(talk.output, &output_failed);
    cat_watch_close(watch);
    if (lost > 0)
        cat_say(options, "lost %llu datagrams: standard output was too slow",
                (unsigned long long)lost);
    if (code == 0 && output_failed) {
        (void)snprintf(error->text, sizeof(error->text), "cannot write standard output");
        code = STOQ_EIO;
    }
    (void)pthread_cond_destroy(&talk.news);
    (void)pthread_mutex_destroy(&talk.lock);
    (void)close(talk.over_fd);
    return code;
}
