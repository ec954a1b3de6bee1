/* Who calls: push and pull. One connection of references, and one of patterns when there are any to bring. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>

#include "crypto.h"
#include "sync/packetfs_peer.h"
#include "sync/packetfs_sync_volume.h"

#define TRANSFER_TIMEOUT_MS 60000
#define TRANSFER_CONNECT_MS 10000

/* One connection from our side. */
struct line {
    struct packetfs_peer *peer;
    struct packetfs_stream *stream;
    struct packetfs_talk talk;
};

struct transfer {
    const struct packetfs_transfer_options *options;
    const struct packetfs_watch *watch;
    enum packetfs_wire_role role;
    struct packetfs_sync_volume volume;
    struct line lines[PACKETFS_KINDS];
    struct sockaddr_in6 remote;
    struct packetfs_wire_hello peer; /* its label is not kept */
    atomic_bool stopping; /* the other line failed, or somebody said stop */
    /* push: who answers on the connection of patterns */
    pthread_t answerer;
    bool answering;
    int answer_code;
    struct hm_error answer_error;
};

static bool transfer_stopped(void *ctx)
{
    struct transfer *transfer = ctx;
    const struct packetfs_watch *watch = transfer->watch;
    const struct packetfs_progress nothing = {
        .stage = transfer->role == PACKETFS_WIRE_SINK ? "receive" : "send"};

    if (transfer->stopping)
        return true;
    /* The connection of patterns is waited at by another thread; progress is told by one. */
    if (transfer->role == PACKETFS_WIRE_SOURCE && watch != NULL && watch->progress != NULL &&
        transfer->lines[PACKETFS_PATTERN].stream == NULL && !watch->progress(watch->ctx, &nothing))
        transfer->stopping = true;
    return transfer->stopping;
}

/* --- lines --------------------------------------------------------------------------------------------------------------- */

static int line_hello(struct transfer *transfer, struct line *line, struct hm_error *error)
{
    const char *label = transfer->options->label;
    struct packetfs_wire_hello hello = {.role = transfer->role,
                                        .sequence = transfer->volume.sequence,
                                        .newest_only = transfer->options->newest_only};
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};

    memcpy(hello.volume_id, transfer->volume.volume->keys.volume_id, sizeof(hello.volume_id));
    memcpy(hello.replica, transfer->volume.side.replica, sizeof(hello.replica));
    memcpy(hello.session, transfer->peer.session, sizeof(hello.session));
    if (label != NULL && line == &transfer->lines[PACKETFS_REFERENCE])
        hello.label = hm_slice_str(label);
    if (packetfs_wire_hello_write(&hello, &body) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a greeting");
    return packetfs_talk_send(&line->talk, PACKETFS_WIRE_HELLO, hm_buf_slice(&body), error);
}

static int line_open(struct transfer *transfer, enum packetfs_kind kind, bool many,
                     struct hm_error *error)
{
    struct line *line = &transfer->lines[kind];
    const struct packetfs_peer_options options = {
        .keys = &transfer->volume.volume->keys, .kind = kind, .bulk = many};
    unsigned patience = transfer->options->timeout_ms;
    int rc = packetfs_peer_open(&options, &line->peer, error);

    if (kind == PACKETFS_PATTERN)
        transfer->remote.sin6_port = htons(many ? transfer->peer.bulk_port
                                                : transfer->peer.pattern_port);
    if (rc == 0)
        rc = packetfs_peer_connect(line->peer, &transfer->remote, TRANSFER_CONNECT_MS,
                                   &line->stream, error);
    if (rc != 0)
        return rc;
    packetfs_talk_init(&line->talk, packetfs_stream_channel(line->stream),
                       patience != 0 ? (int)patience : TRANSFER_TIMEOUT_MS);
    line->talk.stopped = transfer_stopped;
    line->talk.stopped_ctx = transfer;
    return line_hello(transfer, line, error);
}

static void line_close(struct line *line, struct packetfs_transfer_result *result)
{
    packetfs_talk_release(&line->talk);
    packetfs_stream_free(line->stream);
    packetfs_peer_bytes(line->peer, &result->bytes_sent, &result->bytes_received);
    packetfs_peer_free(line->peer);
}

/* --- pull ------------------------------------------------------------------------------------------------------------------ */

static int pull_patterns(void *ctx, bool many, struct packetfs_talk **out, struct hm_error *error)
{
    struct transfer *transfer = ctx;
    int rc = line_open(transfer, PACKETFS_PATTERN, many, error);

    if (rc == 0)
        *out = &transfer->lines[PACKETFS_PATTERN].talk;
    return rc;
}

static int pull(struct transfer *transfer, struct packetfs_wire_done *done, struct hm_error *error)
{
    struct packetfs_sink sink = {
        .side = &transfer->volume.side,
        .references = &transfer->lines[PACKETFS_REFERENCE].talk,
        .patterns = pull_patterns,
        .patterns_ctx = transfer,
        .peer = &transfer->peer,
        .accept_rollback = transfer->options->accept_rollback,
        .only = transfer->options->snapshot,
        .watch = transfer->watch,
    };
    uint8_t digest[CRYPTO_HASH_BYTES];
    int rc;

    crypto_hash_keyed(transfer->volume.volume->keys.path, transfer->options->remote,
                      strlen(transfer->options->remote), digest);
    memcpy(sink.place, digest, sizeof(sink.place));
    rc = packetfs_sync_sink(&sink, error);
    *done = sink.done;
    return rc;
}

/* --- push ------------------------------------------------------------------------------------------------------------------ */

static void *answer_patterns(void *arg)
{
    struct transfer *transfer = arg;
    struct line *line = &transfer->lines[PACKETFS_PATTERN];
    struct packetfs_source source = {
        .side = &transfer->volume.side, .kind = PACKETFS_PATTERN, .watch = transfer->watch};

    transfer->answer_code = packetfs_sync_source(&source, &line->talk, &transfer->answer_error);
    if (transfer->answer_code != 0)
        packetfs_talk_fail(&line->talk, &transfer->answer_error);
    return NULL;
}

/* The sink asks for the other connection. */
static int push_patterns(void *ctx, bool many, struct hm_error *error)
{
    struct transfer *transfer = ctx;
    int rc;

    if (transfer->answering)
        return hm_fail(error, HM_EPARSE, "the peer asks for a second connection of patterns");
    rc = line_open(transfer, PACKETFS_PATTERN, many, error);
    if (rc == 0)
        rc = packetfs_talk_flush(&transfer->lines[PACKETFS_PATTERN].talk, error);
    if (rc == 0 && pthread_create(&transfer->answerer, NULL, answer_patterns, transfer) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no thread for the connection of patterns");
    transfer->answering = rc == 0;
    return rc;
}

static int push(struct transfer *transfer, struct packetfs_wire_done *done, struct hm_error *error)
{
    const char *label = transfer->options->label;
    struct packetfs_source source = {
        .side = &transfer->volume.side,
        .kind = PACKETFS_REFERENCE,
        .choice = {.label = label != NULL ? hm_slice_str(label) : (struct hm_slice){0},
                   .newest_only = transfer->options->newest_only},
        .patterns = push_patterns,
        .patterns_ctx = transfer,
    };
    int rc = packetfs_sync_source(&source, &transfer->lines[PACKETFS_REFERENCE].talk, error);

    transfer->stopping = true; /* the sink's last word is there already, or will not come */
    if (transfer->answering) {
        (void)pthread_join(transfer->answerer, NULL);
        /* What broke there is the cause of what broke here. */
        if (rc == HM_EUNAVAILABLE && transfer->answer_code != 0 &&
            transfer->answer_code != HM_ECANCELLED)
            rc = hm_fail(error, transfer->answer_code, "%s", transfer->answer_error.text);
    }
    *done = source.done;
    return rc;
}

/* --- both ------------------------------------------------------------------------------------------------------------------ */

static int greet(struct transfer *transfer, struct hm_error *error)
{
    struct packetfs_talk *talk = &transfer->lines[PACKETFS_REFERENCE].talk;
    struct hm_slice body;
    int rc = packetfs_talk_expect(talk, PACKETFS_WIRE_HELLO, &body, error);

    if (rc == 0)
        rc = packetfs_wire_hello_read(body, &transfer->peer, error);
    transfer->peer.label = (struct hm_slice){0};
    if (rc == 0 && memcmp(transfer->peer.volume_id, transfer->volume.volume->keys.volume_id,
                          PACKETFS_VOLUME_ID_BYTES) != 0)
        rc = hm_fail(error, HM_EAUTH, "the peer serves another volume");
    return rc;
}

static void result_add(struct packetfs_transfer_result *result,
                       const struct packetfs_wire_done *done)
{
    result->snapshots += done->snapshots;
    result->references += done->references;
    result->patterns += done->patterns;
    result->deltas += done->deltas;
    result->bytes_plain += done->plain_bytes;
    result->round_trips += done->round_trips;
}

static int transfer_run(struct transfer *transfer, struct packetfs_wire_done *done,
                        struct hm_error *error)
{
    int rc = packetfs_peer_address(transfer->options->remote, false, &transfer->remote, error);

    if (rc == 0)
        rc = line_open(transfer, PACKETFS_REFERENCE, false, error);
    if (rc == 0)
        rc = greet(transfer, error);
    if (rc == 0)
        rc = transfer->role == PACKETFS_WIRE_SINK ? pull(transfer, done, error)
                                                  : push(transfer, done, error);
    if (rc != 0 && error->code != 0)
        for (int kind = 0; kind < PACKETFS_KINDS; kind++)
            if (transfer->lines[kind].stream != NULL &&
                (kind == PACKETFS_REFERENCE || transfer->role == PACKETFS_WIRE_SINK))
                packetfs_talk_fail(&transfer->lines[kind].talk, error);
    return rc;
}

static int transfer_do(struct packetfs_volume *volume, enum packetfs_wire_role role,
                       const struct packetfs_transfer_options *options,
                       const struct packetfs_watch *watch, struct packetfs_transfer_result *result,
                       struct hm_error *error)
{
    struct transfer transfer = {.options = options, .watch = watch, .role = role};
    struct packetfs_wire_done done = {0};
    struct hm_error own = {0};
    int rc;

    if (options->label != NULL && strlen(options->label) > PACKETFS_LABEL_MAX_BYTES)
        return hm_fail(error, HM_EINVAL, "the label is longer than %d bytes",
                       PACKETFS_LABEL_MAX_BYTES);
    rc = packetfs_sync_volume_open(&transfer.volume, volume, role == PACKETFS_WIRE_SINK, error);
    if (rc != 0)
        return rc;
    rc = transfer_run(&transfer, &done, &own);
    for (int kind = 0; kind < PACKETFS_KINDS; kind++)
        line_close(&transfer.lines[kind], result);
    packetfs_sync_volume_release(&transfer.volume);
    result_add(result, &done);
    return rc != 0 ? hm_fail(error, rc, "%s", own.text) : 0;
}

/* result NULL: nobody wants to know. */
static int transfer_roles(struct packetfs_volume *volume, const enum packetfs_wire_role *roles,
                          size_t count, const struct packetfs_transfer_options *options,
                          const struct packetfs_watch *watch,
                          struct packetfs_transfer_result *result, struct packetfs_error *error)
{
    struct packetfs_transfer_result sum = {0};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = transfer_do(volume, roles[i], options, watch, &sum, packetfs_error_own(error));
    if (result != NULL)
        *result = sum;
    return rc;
}

int packetfs_push(struct packetfs_volume *volume, const struct packetfs_transfer_options *options,
                  const struct packetfs_watch *watch, struct packetfs_transfer_result *result,
                  struct packetfs_error *error)
{
    static const enum packetfs_wire_role roles[] = {PACKETFS_WIRE_SOURCE};

    return transfer_roles(volume, roles, 1, options, watch, result, error);
}

int packetfs_pull(struct packetfs_volume *volume, const struct packetfs_transfer_options *options,
                  const struct packetfs_watch *watch, struct packetfs_transfer_result *result,
                  struct packetfs_error *error)
{
    static const enum packetfs_wire_role roles[] = {PACKETFS_WIRE_SINK};

    return transfer_roles(volume, roles, 1, options, watch, result, error);
}

int packetfs_sync(struct packetfs_volume *volume, const struct packetfs_transfer_options *options,
                  const struct packetfs_watch *watch, struct packetfs_transfer_result *result,
                  struct packetfs_error *error)
{
    static const enum packetfs_wire_role roles[] = {PACKETFS_WIRE_SINK, PACKETFS_WIRE_SOURCE};

    return transfer_roles(volume, roles, 2, options, watch, result, error);
}
