/* Who is called: listens on a port for each kind, and a third for patterns when they are many, and puts the two connections of a peer together by the number that
 * it was given on the first. */
#include "sync/packetfs_serve.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <time.h>

#define SERVE_LOOK_MS     200
#define SERVE_GREETING_MS 10000
#define SERVE_PATIENCE_MS 120000
#define SERVE_PATTERNS_MS 30000
#define SERVE_THREADS     64
#define SERVE_THREADS_MAX 1024

static void serve_say(const struct packetfs_serve *serve, const char *sentence)
{
    if (serve->options->event != NULL)
        serve->options->event(serve->options->ctx, sentence);
}

bool packetfs_serve_stopped(void *ctx)
{
    struct packetfs_serve *serve = ctx;

    return serve->stopping;
}

/* --- threads -------------------------------------------------------------------------------------------------------------- */

struct guest { /* a connection that was just accepted */
    struct packetfs_serve *serve;
    enum packetfs_kind kind;
    struct packetfs_stream *stream;
};

static int guest_greet(struct guest *guest, struct packetfs_talk *talk,
                       struct packetfs_wire_hello *hello, struct hm_error *error)
{
    struct hm_slice body;
    int rc = packetfs_stream_begin(guest->stream, SERVE_GREETING_MS, error);

    if (rc != 0)
        return rc;
    packetfs_talk_init(talk, packetfs_stream_channel(guest->stream), SERVE_GREETING_MS);
    talk->stopped = packetfs_serve_stopped;
    talk->stopped_ctx = guest->serve;
    rc = packetfs_talk_expect(talk, PACKETFS_WIRE_HELLO, &body, error);
    if (rc == 0)
        rc = packetfs_wire_hello_read(body, hello, error);
    if (rc == 0 && hello->role == PACKETFS_WIRE_SERVER)
        rc = hm_fail(error, HM_EPARSE, "the peer does not say whether it brings or takes");
    if (rc == 0 && memcmp(hello->volume_id, guest->serve->volume->keys.volume_id,
                          PACKETFS_VOLUME_ID_BYTES) != 0)
        rc = hm_fail(error, HM_EAUTH, "another volume is served here");
    talk->patience_ms = SERVE_PATIENCE_MS;
    return rc;
}

static void *guest_main(void *arg)
{
    struct guest guest = *(struct guest *)arg;
    struct packetfs_serve *serve = guest.serve;
    struct packetfs_talk talk = {0};
    struct packetfs_wire_hello hello;
    struct hm_error error = {0};
    char sentence[512];
    char address[STOQ_ADDRESS_TEXT_BYTES];
    int rc;

    hm_free(arg);
    packetfs_stream_address(guest.stream, address);
    rc = guest_greet(&guest, &talk, &hello, &error);
    if (rc == 0)
        rc = guest.kind == PACKETFS_REFERENCE
                 ? packetfs_serve_references(serve, &talk, &hello, address, &error)
                 : packetfs_serve_patterns(serve, &talk, &hello, &error);
    if (rc != 0) {
        if (talk.channel.ctx != NULL)
            packetfs_talk_fail(&talk, &error);
        (void)snprintf(sentence, sizeof(sentence), "%s%s: %s", address,
                       guest.kind == PACKETFS_REFERENCE ? "" : " (patterns)", error.text);
        serve_say(serve, sentence);
    }
    packetfs_talk_release(&talk);
    packetfs_stream_free(guest.stream);
    (void)pthread_mutex_lock(&serve->lock);
    serve->threads--;
    (void)pthread_cond_broadcast(&serve->news);
    (void)pthread_mutex_unlock(&serve->lock);
    return NULL;
}

/* A thread for a connection; there are never more than threads_max. */
static bool guest_start(struct packetfs_serve *serve, enum packetfs_kind kind,
                        struct packetfs_stream *stream)
{
    struct guest *guest = hm_malloc(sizeof(*guest));
    pthread_attr_t attributes;
    pthread_t thread;
    bool started;

    if (guest == NULL)
        return false;
    *guest = (struct guest){serve, kind, stream};
    (void)pthread_mutex_lock(&serve->lock);
    started = serve->threads < serve->threads_max;
    serve->threads += started;
    (void)pthread_mutex_unlock(&serve->lock);
    if (!started || pthread_attr_init(&attributes) != 0) {
        hm_free(guest);
        return false;
    }
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    started = pthread_create(&thread, &attributes, guest_main, guest) == 0;
    (void)pthread_attr_destroy(&attributes);
    if (!started) {
        hm_free(guest);
        (void)pthread_mutex_lock(&serve->lock);
        serve->threads--;
        (void)pthread_mutex_unlock(&serve->lock);
    }
    return started;
}

static void accept_until_stopped(struct packetfs_serve *serve, int door)
{
    enum packetfs_kind kind = door == PACKETFS_REFERENCE ? PACKETFS_REFERENCE : PACKETFS_PATTERN;

    while (!serve->stopping) {
        struct packetfs_stream *stream = NULL;
        struct hm_error error = {0};
        int rc = packetfs_peer_accept(serve->peers[door], SERVE_LOOK_MS, &stream, &error);

        if (rc == HM_ETIMEOUT)
            continue;
        if (rc == HM_ENOMEM) {
            (void)nanosleep(&(struct timespec){.tv_nsec = SERVE_LOOK_MS * 1000000L}, NULL);
            continue;
        }
        if (rc != 0)
            break;
        if (!guest_start(serve, kind, stream))
            packetfs_stream_free(stream);
    }
}

static void *accept_patterns(void *arg)
{
    accept_until_stopped(arg, PACKETFS_PATTERN);
    return NULL;
}

static void *accept_bulk(void *arg)
{
    accept_until_stopped(arg, PACKETFS_BULK);
    return NULL;
}

static void *accept_references(void *arg)
{
    accept_until_stopped(arg, PACKETFS_REFERENCE);
    return NULL;
}

/* --- beginning and end ------------------------------------------------------------------------------------------------------ */

static int serve_listen(struct packetfs_serve *serve, struct hm_error *error)
{
    struct packetfs_peer_options options = {
        .keys = &serve->volume->keys, .kind = PACKETFS_REFERENCE, .server = true};
    uint16_t port;
    int rc = packetfs_peer_address(serve->options->address, true, &options.bind, error);

    if (rc == 0)
        rc = packetfs_peer_open(&options, &serve->peers[PACKETFS_REFERENCE], error);
    if (rc != 0)
        return rc;
    port = ntohs(options.bind.sin6_port);
    options.kind = PACKETFS_PATTERN;
    for (int door = 0; rc == 0 && door < PACKETFS_DOORS; door++) {
        if (door == PACKETFS_REFERENCE)
            continue;
        options.bulk = door == PACKETFS_BULK;
        options.bind.sin6_port = htons(port != 0 ? (uint16_t)(port + (options.bulk ? 2 : 1)) : 0);
        rc = packetfs_peer_open(&options, &serve->peers[door], error);
    }
    return rc;
}

static void serve_ready(struct packetfs_serve *serve)
{
    struct sockaddr_in6 address;
    char text[STOQ_ADDRESS_TEXT_BYTES];

    if (serve->options->ready == NULL ||
        packetfs_peer_address(serve->options->address, true, &address, NULL) != 0)
        return;
    address.sin6_port = htons(packetfs_peer_port(serve->peers[PACKETFS_REFERENCE]));
    stoq_address_text(&address, text);
    serve->options->ready(serve->options->ctx, text);
}

/* Asks whoever watches, until it has had enough. */
static void serve_wait(const struct packetfs_watch *watch)
{
    const struct packetfs_progress nothing = {.stage = "serve"};

    while (watch == NULL || watch->progress == NULL || watch->progress(watch->ctx, &nothing))
        (void)nanosleep(&(struct timespec){.tv_nsec = SERVE_LOOK_MS * 1000000L}, NULL);
}

static void serve_end(struct packetfs_serve *serve)
{
    serve->stopping = true;
    (void)pthread_mutex_lock(&serve->lock);
    (void)pthread_cond_broadcast(&serve->news);
    while (serve->threads > 0)
        (void)pthread_cond_wait(&serve->news, &serve->lock);
    (void)pthread_mutex_unlock(&serve->lock);
}

static int serve_run(struct packetfs_serve *serve, const struct packetfs_watch *watch,
                     struct hm_error *error)
{
    void *(*const mains[PACKETFS_DOORS])(void *) = {[PACKETFS_PATTERN] = accept_patterns,
                                                    [PACKETFS_REFERENCE] = accept_references,
                                                    [PACKETFS_BULK] = accept_bulk};
    pthread_t acceptors[PACKETFS_DOORS];
    int started = 0;
    int rc = serve_listen(serve, error);

    while (rc == 0 && started < PACKETFS_DOORS) {
        if (pthread_create(&acceptors[started], NULL, mains[started], serve) != 0)
            rc = hm_fail(error, HM_ENOMEM, "no thread to listen with");
        else
            started++;
    }
    if (rc == 0) {
        serve_ready(serve);
        serve_wait(watch);
    }
    serve->stopping = true;
    while (started > 0)
        (void)pthread_join(acceptors[--started], NULL);
    serve_end(serve);
    return rc;
}

int packetfs_serve(struct packetfs_volume *volume, const struct packetfs_serve_options *options,
                   const struct packetfs_watch *watch, struct packetfs_error *error)
{
    static const struct packetfs_serve_options none;
    struct packetfs_serve serve = {.volume = volume, .options = options != NULL ? options : &none};
    unsigned peers = serve.options->threads_max;
    int rc;

    if (peers > SERVE_THREADS_MAX)
        return hm_fail(packetfs_error_own(error), HM_EINVAL, "threads_max is %u, at most %d go",
                       peers, SERVE_THREADS_MAX);
    serve.threads_max = 2 * (peers != 0 ? peers : SERVE_THREADS);
    (void)pthread_mutex_init(&serve.lock, NULL);
    packetfs_serve_cond_init(&serve.news);
    rc = serve_run(&serve, watch, packetfs_error_own(error));
    for (int door = 0; door < PACKETFS_DOORS; door++)
        packetfs_peer_free(serve.peers[door]);
    (void)pthread_cond_destroy(&serve.news);
    (void)pthread_mutex_destroy(&serve.lock);
    return rc;
}
