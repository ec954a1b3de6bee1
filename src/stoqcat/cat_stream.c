/* One stream: standard input goes out, what comes in goes to standard output, both until their ends. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "cat_signal.h"

#define BLOCK_BYTES 65536
#define LOOK_MS     100 /* how often the incoming half looks whether to stop */
/* Longer than an acknowledgement may be held back (RFC 9000 section 18.2: 25 ms), so that the last one leaves before we
 * do. */
#define LAST_WORD_MS 50
#define WORDS_MS     200 /* the reason of an end comes a moment after the end */
#define GOODBYE_MS   2000 /* a listener waits so long for its peer to hang up first */

struct carrier {
    struct stoq_pipe *pipe;
    int broken_fd; /* readable when the incoming half ended otherwise than it should */
    int64_t result; /* of the incoming half: 0, or a negative code */
    bool output_failed;
    atomic_bool stop; /* our half failed: nobody waits for the incoming one */
    uint64_t received;
};

static int say(struct stoq_error *error, int code, const char *text)
{
    error->code = code;
    (void)snprintf(error->text, sizeof(error->text), "%s", text);
    return code;
}

static void *carry_in(void *arg)
{
    struct carrier *carrier = arg;
    uint8_t block[BLOCK_BYTES];
    uint64_t one = 1;
    int64_t len;

    while ((len = stoq_pipe_read(carrier->pipe, block, sizeof(block), LOOK_MS)) != 0) {
        if (len == STOQ_ETIMEOUT && !carrier->stop)
            continue;
        if (carrier->stop && len > 0)
            len = STOQ_ETIMEOUT;
        if (len < 0)
            break;
        if (hm_write_all(STDOUT_FILENO, block, (size_t)len, NULL) != 0) {
            carrier->output_failed = true;
            len = STOQ_EIO;
            break;
        }
        carrier->received += (uint64_t)len;
    }
    carrier->result = len;
    if (len != 0)
        (void)!write(carrier->broken_fd, &one, sizeof(one));
    return NULL;
}

/* Until standard input ends, or the other half breaks. */
static int carry_out(struct carrier *carrier, struct stoq_error *error)
{
    struct pollfd polls[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                              {.fd = carrier->broken_fd, .events = POLLIN}};
    uint8_t block[BLOCK_BYTES];

    for (;;) {
        polls[0].revents = polls[1].revents = 0;
        if (poll(polls, 2, -1) < 0 && errno != EINTR)
            return say(error, STOQ_EIO, "cannot wait for standard input");
        if (polls[1].revents != 0)
            return say(error, STOQ_ECLOSED, "the connection broke off");
        if (polls[0].revents == 0)
            continue;
        ssize_t len = read(STDIN_FILENO, block, sizeof(block));
        if (len < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (len < 0)
            return say(error, STOQ_EIO, "cannot read standard input");
        int64_t sent = len > 0 ? stoq_pipe_write(carrier->pipe, block, (size_t)len, -1)
                               : stoq_pipe_finish(carrier->pipe, -1);
        if (sent < 0)
            return say(error, (int)sent, "the peer takes no more");
        if (len == 0)
            return 0;
    }
}

static int carry(const struct cat_options *options, struct stoq_pipe *pipe,
                 struct stoq_error *error)
{
    struct carrier carrier = {.pipe = pipe, .broken_fd = eventfd(0, EFD_CLOEXEC)};
    pthread_t thread;

    if (carrier.broken_fd < 0)
        return say(error, STOQ_EIO, "cannot make an event descriptor");
    if (pthread_create(&thread, NULL, carry_in, &carrier) != 0) {
        (void)close(carrier.broken_fd);
        return say(error, STOQ_EIO, "cannot start a thread");
    }
    int code = carry_out(&carrier, error);
    /* Input is at its end; the peer's may last. When ours failed there is nobody to wait for but the output. */
    carrier.stop = code != 0;
    (void)pthread_join(thread, NULL);
    (void)close(carrier.broken_fd);
    if (carrier.output_failed)
        return say(error, STOQ_EIO, "cannot write standard output");
    if (carrier.result != 0 && carrier.result != STOQ_ETIMEOUT &&
        (code == 0 || code == STOQ_ECLOSED))
        code = say(error, (int)carrier.result, "the connection broke off");
    if (code == 0)
        cat_say(options, "carried %llu bytes in", (unsigned long long)carrier.received);
    return code;
}

static void tell_peer(const struct cat_options *options, struct stoq_link *link)
{
    struct stoq_conn_info info;
    char text[STOQ_ADDRESS_TEXT_BYTES];

    if (!options->verbose || stoq_link_info(link, &info) != 0)
        return;
    stoq_address_text(&info.path.remote, text);
    cat_say(options, "connected to %s with %s, %s", text, info.group, info.cipher);
}

/* A refusal that reached us after our own handshake was complete ends a stream without words; the link has them. */
static int explain(int code, struct stoq_link *link, struct stoq_error *error)
{
    struct stoq_error why = {0};
    struct stoq_pipe *other;

    if (code == STOQ_EPERM)
        return say(error, code, "the peer refused the stream's tag");
    if (code != STOQ_ECLOSED)
        return code;
    int reason = stoq_pipe_accept(link, WORDS_MS, &other, &why);
    if (reason == 0)
        stoq_pipe_release(other);
    if (reason == 0 || reason == STOQ_ETIMEOUT)
        return code;
    *error = why;
    return reason;
}

/* --- goodbye -------------------------------------------------------------------------------------------------------- */

/* What a signal finds. It takes the link away only while a pipe holds it too, for whoever reads and writes that. */
struct goodbye {
    pthread_mutex_t lock;
    struct stoq_link *link; /* NULL: none, or gone */
    bool up, said; /* up: a connection is there */
};

static bool say_goodbye(void *arg)
{
    struct goodbye *goodbye = arg;

    (void)pthread_mutex_lock(&goodbye->lock);
    struct stoq_link *link = goodbye->link;
    bool up = goodbye->up;
    goodbye->link = NULL;
    goodbye->said = true;
    (void)pthread_mutex_unlock(&goodbye->lock);
    stoq_link_release(link);
    return up;
}

/* The pipe's whole life, with goodbye in charge of the link. False: the link is gone. */
static bool carry_with(struct goodbye *goodbye, const struct cat_options *options,
                       struct stoq_link *link, struct stoq_pipe *pipe, int *code,
                       struct stoq_error *error)
{
    (void)pthread_mutex_lock(&goodbye->lock);
    bool said = goodbye->said;
    goodbye->link = said ? NULL : link;
    (void)pthread_mutex_unlock(&goodbye->lock);
    if (!said)
        *code = carry(options, pipe, error);
    (void)pthread_mutex_lock(&goodbye->lock);
    bool gone = !said && goodbye->said;
    goodbye->link = NULL;
    (void)pthread_mutex_unlock(&goodbye->lock);
    if (said)
        *code = STOQ_ECLOSED;
    else if (!gone)
        *code = explain(*code, link, error);
    stoq_pipe_release(pipe);
    return !gone;
}

static void goodbye_up(struct goodbye *goodbye)
{
    (void)pthread_mutex_lock(&goodbye->lock);
    goodbye->up = true;
    (void)pthread_mutex_unlock(&goodbye->lock);
}

/* --- the two roles -------------------------------------------------------------------------------------------------- */

static int connect_and_carry(const struct cat_options *options, struct stoq_caller *caller,
                             struct goodbye *goodbye, struct stoq_error *error)
{
    const char *tag = options->tag != NULL ? options->tag : "";
    const struct stoq_stream_options stream = {.priority = 3,
                                               .tag = {(const uint8_t *)tag, strlen(tag)}};
    const struct timespec last_word = {.tv_nsec = LAST_WORD_MS * 1000000L};
    struct sockaddr_in6 remote;
    char host[STOQ_ADDRESS_TEXT_BYTES];
    struct stoq_link *link;
    struct stoq_pipe *pipe;
    bool ours = true;

    int code = stoq_address_parse(options->address, CAT_PORT_DEFAULT, &remote, error);
    if (code != 0)
        return code;
    cat_host_of(&remote, host);
    code = stoq_link_connect(caller, &remote, options->name != NULL ? options->name : host,
                             options->timeout_ms, &link, error);
    if (code != 0)
        return code;
    goodbye_up(goodbye);
    tell_peer(options, link);
    code = stoq_pipe_open(link, &stream, options->timeout_ms, &pipe, error);
    if (code == 0) {
        ours = carry_with(goodbye, options, link, pipe, &code, error);
        if (code == 0)
            (void)nanosleep(&last_word, NULL);
    } else {
        code = explain(code, link, error);
    }
    if (ours)
        stoq_link_release(link);
    return code;
}

/* As stoq_pipe_accept, until a signal comes. */
static int accept_pipe(const struct cat_options *options, struct stoq_link *link,
                       struct stoq_pipe **pipe, struct stoq_error *error)
{
    for (int waited = 0;; waited += LOOK_MS) {
        int code = stoq_pipe_accept(link, LOOK_MS, pipe, error);

        if (code != STOQ_ETIMEOUT || waited >= options->timeout_ms || cat_signal_taken() != 0)
            return code;
    }
}

static int listen_and_carry(const struct cat_options *options, struct stoq_caller *caller,
                            struct goodbye *goodbye, struct stoq_error *error)
{
    struct stoq_pipe *pipe, *other;
    struct stoq_link *link;
    bool ours = true;

    cat_say(options, "listening on port %u", stoq_host_port(stoq_caller_host(caller)));
    int code = stoq_link_accept(caller, -1, &link, error);
    if (code != 0)
        return code;
    goodbye_up(goodbye);
    tell_peer(options, link);
    code = accept_pipe(options, link, &pipe, error);
    if (code == 0) {
        ours = carry_with(goodbye, options, link, pipe, &code, error);
        /* The peer hangs up when it has read everything. */
        if (code == 0 && stoq_pipe_accept(link, GOODBYE_MS, &other, NULL) == 0)
            stoq_pipe_release(other);
    }
    if (ours)
        stoq_link_release(link);
    return code;
}

static int permit(void *ctx, struct stoq_conn *conn, struct stoq_bytes tag, bool bidirectional)
{
    const struct cat_options *options = ctx;

    (void)conn;
    if (!bidirectional)
        return STOQ_EPERM;
    return options->tag == NULL ||
                   (strlen(options->tag) == tag.len && hm_equal_ct(options->tag, tag.data, tag.len))
               ? 0
               : STOQ_EPERM;
}

int cat_stream(const struct cat_options *options, const struct stoq_host_config *config,
               struct stoq_error *error)
{
    struct goodbye goodbye = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct stoq_host_config own = *config;
    struct stoq_caller *caller;
    struct cat_watch *watch;

    own.handlers.permit = permit;
    own.handlers.ctx = (void *)(uintptr_t)options;
    int code = stoq_caller_open(&caller, &own, error);
    if (code != 0)
        return code;
    code = cat_watch_open(&watch, say_goodbye, &goodbye, error);
    if (code == 0) {
        code = options->listen ? listen_and_carry(options, caller, &goodbye, error)
                               : connect_and_carry(options, caller, &goodbye, error);
        cat_watch_close(watch);
    }
    stoq_caller_close(caller);
    return code;
}
