/* Handing over, the side that has: puts what is to be sent into a volume of its own, listens, lets in who shows that it is meant for him, and serves the
 * volume to him. packetfs_send_proof.c has who that is, packetfs_serve.c the transfer. */
#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "access/packetfs_volume_key.h"
#include "store/packetfs_volume.h"
#include "sync/packetfs_code.h"
#include "sync/packetfs_peer.h"
#include "sync/packetfs_send_proof.h"
#include "sync/packetfs_send_state.h"

#define SEND_LABEL         "send"
#define SEND_ADDRESS       "[::]:0"
#define SEND_LOOK_MS       200
#define SEND_GREETING_MS   10000 /* for each message until he is let in */
#define SEND_GREETING_S    30 /* and for all of them */
#define SEND_PATIENCE_MS   600000 /* afterwards: he tells how far he is, now and then */
#define SEND_WAIT_S        3600
#define SEND_GUESTS_MAX    16
#define SEND_FILE_MAX      PACKETFS_HANDOVER_VOLUME_FILE_MAX_BYTES
#define SEND_ADDRESS_BYTES STOQ_ADDRESS_TEXT_BYTES

struct sending {
    const struct packetfs_send_options *options;
    const struct packetfs_watch *watch;
    struct packetfs_state state;
    struct packetfs_volume *volume;
    struct packetfs_snapshot snapshot;
    struct hm_buf volume_file;
    struct packetfs_offer offer;
    char code[PACKETFS_CODE_MAX_BYTES];
    struct packetfs_gate gate;
    struct packetfs_peer *door;
    struct sockaddr_in6 bind;
    /* the thread that serves the volume */
    pthread_t server;
    bool serving;
    int serve_code;
    struct packetfs_error serve_error;
    atomic_bool serve_over;
    atomic_bool stopping;
    pthread_mutex_t lock; /* over the rest */
    pthread_cond_t news;
    uint16_t port; /* of the served volume; 0: not yet */
    unsigned guests; /* threads */
    unsigned inside; /* of those, let in */
    bool anybody; /* was ever let in: what is offered is kept when it breaks off */
    bool taken;
    uint64_t idle_since_ns; /* nobody is inside since then */
    struct packetfs_handover_progress progress;
};

static void say(const struct sending *sending, const char *sentence)
{
    if (sending->options->event != NULL)
        sending->options->event(sending->options->ctx, sentence);
}

static uint64_t now_ns(void)
{
    return hm_mono_ns(hm_clock_system());
}

/* --- the volume ------------------------------------------------------------------------------------------------------- */

/* Names the state by what is sent to whom, so that the same command finds it again, and another's never: who may open a volume
 * keeps its key, and must not find in it what is meant for the next. */
static int state_name(const struct packetfs_send_options *options,
                      uint8_t out[PACKETFS_STATE_NAME_BYTES], struct hm_error *error)
{
    struct crypto_hasher hasher;
    uint8_t digest[CRYPTO_HASH_BYTES];
    const char *whom = options->to != NULL ? options->to->id_text : "code";

    crypto_hasher_init_context(&hasher, "hypermesh packetfs 1 send state");
    crypto_hasher_update(&hasher, whom, strlen(whom) + 1);
    for (size_t i = 0; i < options->path_count; i++) {
        char *real = realpath(options->paths[i], NULL); /* of the system's allocator */

        if (real == NULL)
            return hm_fail_errno(error, HM_ENOTFOUND, "cannot send %.200s", options->paths[i]);
        crypto_hasher_update(&hasher, real, strlen(real) + 1);
        free(real);
    }
    crypto_hasher_final(&hasher, digest);
    memcpy(out, digest, PACKETFS_STATE_NAME_BYTES);
    return 0;
}

/* The code of an earlier try: only who knew it may have that one's volume. */
static bool code_is_here(struct sending *sending)
{
    HM_CLEANUP(hm_buf) struct hm_buf said = {0};
    bool here = hm_file_read(sending->state.code, sizeof(sending->code) - 1, &said, NULL) == 0 &&
                packetfs_code_parse(hm_buf_slice(&said), sending->code, NULL) == 0;

    if (said.data != NULL)
        hm_wipe(said.data, said.cap);
    return here;
}

static int code_make(struct sending *sending, struct hm_error *error)
{
    int rc = packetfs_code_make(hm_random_system(), sending->code, error);

    return rc == 0 ? hm_file_replace(sending->state.code, sending->code, strlen(sending->code),
                                     0600, error)
                   : rc;
}

/* The one of an earlier try of this very offer, or a new one. */
static int volume_make(struct sending *sending, const uint8_t *name, struct hm_error *error)
{
    bool by_code = sending->options->to == NULL;
    const struct packetfs_state *state = &sending->state;
    const struct packetfs_unlock unlock = {.key_file = state->key};
    /* It is not carried as it lies here, and removed when it was taken. */
    const struct packetfs_parameters parameters = {.no_padding = true, .no_dictionaries = true};
    struct packetfs_error *own = (struct packetfs_error *)(void *)error;
    int rc = HM_ENOTFOUND;

    if (packetfs_state_is_for(state, name) && (!by_code || code_is_here(sending)))
        rc = packetfs_volume_open(state->volume, &unlock, false, &sending->volume, own);
    if (rc == 0 || rc == HM_ENOMEM)
        return rc;
    rc = packetfs_state_clear(state, error);
    if (rc == 0)
        rc = packetfs_state_mark(state, name, error);
    if (rc == 0 && by_code)
        rc = code_make(sending, error);
    if (rc == 0)
        rc = packetfs_volume_create(state->volume, &parameters, &unlock, own);
    return rc == 0 ? packetfs_volume_open(state->volume, &unlock, false, &sending->volume, own)
                   : rc;
}

/* Only what is offered can be asked for: what an earlier try held may have been changed for a reason. */
static int volume_forget_others(struct sending *sending, struct hm_error *error)
{
    struct packetfs_error *own = (struct packetfs_error *)(void *)error;
    struct packetfs_snapshot *list = NULL;
    size_t count = 0;
    int rc = packetfs_log(sending->volume, &list, &count, own);

    for (size_t i = 0; rc == 0 && i < count; i++)
        if (memcmp(list[i].id, sending->snapshot.id, sizeof(list[i].id)) != 0)
            rc = packetfs_remove(sending->volume, list[i].id, own);
    packetfs_free(list);
    return rc;
}

static int volume_fill(struct sending *sending, struct packetfs_send_result *result,
                       struct hm_error *error)
{
    const struct packetfs_put_options options = {.paths = sending->options->paths,
                                                 .path_count = sending->options->path_count,
                                                 .label = SEND_LABEL,
                                                 .no_cache = true};
    struct packetfs_put_result put = {0};
    int rc = packetfs_put(sending->volume, &options, sending->watch, &put,
                          (struct packetfs_error *)(void *)error);

    if (rc != 0)
        return rc;
    sending->snapshot = put.snapshot;
    result->files = put.snapshot.files;
    result->folders = put.snapshot.folders;
    result->bytes = put.snapshot.bytes;
    return volume_forget_others(sending, error);
}

/* All of it but the port. */
static int offer_make(struct sending *sending, struct hm_error *error)
{
    struct packetfs_offer *offer = &sending->offer;
    const struct packetfs_unlock unlock = {.key_file = sending->state.key};
    HM_AUTOFREE char *path = hm_asprintf("%s/volume", sending->state.volume);
    HM_AUTOFREE char *opened_by = NULL;
    int rc;

    if (path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an offer");
    rc = hm_file_read(path, SEND_FILE_MAX, &sending->volume_file, error);
    if (rc == 0)
        rc = packetfs_volume_key_find(sending->state.volume, sending->volume->keys.volume_id,
                                      &unlock, offer->volume_key, &opened_by, error);
    if (rc != 0)
        return rc;
    memcpy(offer->snapshot, sending->snapshot.id, sizeof(offer->snapshot));
    offer->files = sending->snapshot.files;
    offer->folders = sending->snapshot.folders;
    offer->bytes = sending->snapshot.bytes;
    offer->volume_file = hm_buf_slice(&sending->volume_file);
    return 0;
}

/* --- serving it ------------------------------------------------------------------------------------------------------- */

static void on_served(void *ctx, const char *address)
{
    struct sending *sending = ctx;
    struct sockaddr_in6 at;

    (void)pthread_mutex_lock(&sending->lock);
    if (packetfs_peer_address(address, true, &at, NULL) == 0)
        sending->port = ntohs(at.sin6_port);
    (void)pthread_cond_broadcast(&sending->news);
    (void)pthread_mutex_unlock(&sending->lock);
}

static bool serves_on(void *ctx, const struct packetfs_progress *progress)
{
    struct sending *sending = ctx;

    (void)progress;
    return !sending->stopping;
}

static void *serve_main(void *arg)
{
    struct sending *sending = arg;
    struct sockaddr_in6 at = sending->bind;
    char address[SEND_ADDRESS_BYTES];
    const struct packetfs_serve_options options = {.address = address,
                                                   .no_push = true,
                                                   .threads_max = SEND_GUESTS_MAX,
                                                   .ready = on_served,
                                                   .ctx = sending};
    const struct packetfs_watch watch = {.progress = serves_on, .ctx = sending};

    if (at.sin6_port != 0)
        at.sin6_port = htons((uint16_t)(ntohs(at.sin6_port) + 1));
    stoq_address_text(&at, address);
    sending->serve_code = packetfs_serve(sending->volume, &options, &watch, &sending->serve_error);
    (void)pthread_mutex_lock(&sending->lock);
    sending->serve_over = true;
    (void)pthread_cond_broadcast(&sending->news);
    (void)pthread_mutex_unlock(&sending->lock);
    return NULL;
}

static int serve_failed(const struct sending *sending, struct hm_error *error)
{
    return sending->serve_code != 0
               ? hm_fail(error, sending->serve_code, "%s", sending->serve_error.text)
               : hm_fail(error, HM_EUNAVAILABLE, "the volume is not served any more");
}

static int serve_begin(struct sending *sending, struct hm_error *error)
{
    if (pthread_create(&sending->server, NULL, serve_main, sending) != 0)
        return hm_fail(error, HM_ENOMEM, "no thread to serve with");
    sending->serving = true;
    (void)pthread_mutex_lock(&sending->lock);
    while (sending->port == 0 && !sending->serve_over)
        (void)pthread_cond_wait(&sending->news, &sending->lock);
    sending->offer.port = sending->port;
    (void)pthread_mutex_unlock(&sending->lock);
    return sending->offer.port != 0 ? 0 : serve_failed(sending, error);
}

static int door_open(struct sending *sending, struct hm_error *error)
{
    struct packetfs_peer_options options = {.server = true, .stranger = true};
    const char *address = sending->options->address != NULL ? sending->options->address
                                                            : SEND_ADDRESS;
    int rc = packetfs_peer_address(address, true, &sending->bind, error);

    options.bind = sending->bind;
    return rc == 0 ? packetfs_peer_open(&options, &sending->door, error) : rc;
}

/* --- guests ----------------------------------------------------------------------------------------------------------- */

struct guest {
    struct sending *sending;
    struct packetfs_stream *stream;
    uint64_t until_ns; /* he must be let in by then; 0: he is */
    bool inside; /* was ever let in */
};

static bool guest_must_go(void *ctx)
{
    const struct guest *guest = ctx;

    return guest->sending->stopping || (guest->until_ns != 0 && now_ns() > guest->until_ns);
}

static void guest_inside(struct sending *sending, bool in)
{
    (void)pthread_mutex_lock(&sending->lock);
    sending->inside += in ? 1u : -1u;
    sending->anybody |= in;
    sending->idle_since_ns = now_ns();
    sending->progress = (struct packetfs_handover_progress){0};
    (void)pthread_mutex_unlock(&sending->lock);
}

/* He has the offer: listens to how far he is, until he has it all. */
static int guest_hear(struct sending *sending, struct packetfs_talk *talk, struct hm_error *error)
{
    struct packetfs_handover_progress progress;
    enum packetfs_wire_type type;
    struct hm_slice body;
    int rc;

    for (;;) {
        rc = packetfs_talk_receive(talk, &type, &body, error);
        if (rc == 0 && type == PACKETFS_WIRE_TAKEN)
            return 0;
        if (rc == 0 && type != PACKETFS_WIRE_PROGRESS)
            rc = hm_fail(error, HM_EPARSE, "the peer sent message %d where none belongs",
                         (int)type);
        if (rc == 0)
            rc = packetfs_handover_progress_read(body, &progress, error);
        if (rc != 0)
            return rc;
        (void)pthread_mutex_lock(&sending->lock);
        sending->progress = progress;
        (void)pthread_mutex_unlock(&sending->lock);
    }
}

static int guest_serve(struct guest *guest, struct packetfs_talk *talk, const char *address,
                       struct hm_error *error)
{
    struct sending *sending = guest->sending;
    struct packetfs_stream *stream = guest->stream;
    uint8_t shown[PACKETFS_SHOWN_BYTES];
    char sentence[SEND_ADDRESS_BYTES + 64];
    int rc = packetfs_stream_begin(stream, SEND_GREETING_MS, error);

    if (rc != 0)
        return rc;
    packetfs_talk_init(talk, packetfs_stream_channel(stream), SEND_GREETING_MS);
    talk->stopped = guest_must_go;
    talk->stopped_ctx = guest;
    guest->until_ns = now_ns() + SEND_GREETING_S * (uint64_t)1000000000u;
    packetfs_stream_shown(stream, shown);
    rc = packetfs_gate_open(&sending->gate, shown, talk, error);
    if (rc == HM_EAUTH && sending->gate.code != NULL) /* so much guessed, it opens no later offer */
        (void)unlink(sending->state.code);
    if (rc != 0)
        return rc;
    guest->inside = true;
    (void)snprintf(sentence, sizeof(sentence), "%s takes it", address);
    say(sending, sentence);
    talk->patience_ms = SEND_PATIENCE_MS;
    guest->until_ns = 0;
    guest_inside(sending, true);
    rc = guest_hear(sending, talk, error);
    guest_inside(sending, false);
    if (rc == 0) {
        (void)pthread_mutex_lock(&sending->lock);
        sending->taken = true;
        (void)pthread_mutex_unlock(&sending->lock);
    }
    return rc;
}

static void *guest_main(void *arg)
{
    struct guest guest = *(struct guest *)arg;
    struct sending *sending = guest.sending;
    struct packetfs_talk talk = {0};
    struct hm_error error = {0};
    char address[SEND_ADDRESS_BYTES], sentence[sizeof(error.text) + SEND_ADDRESS_BYTES + 8];
    int rc;

    hm_free(arg);
    packetfs_stream_address(guest.stream, address);
    rc = guest_serve(&guest, &talk, address, &error);
    if (rc != 0 && !sending->stopping) {
        (void)snprintf(sentence, sizeof(sentence), "%s: %s", address, error.text);
        say(sending, sentence);
    }
    /* For whom it is, he need not know: neither from a sentence nor from which check it was that failed. */
    if (rc != 0 && !guest.inside && sending->gate.to != NULL)
        (void)hm_fail(&error, HM_EAUTH, "this is meant for somebody else");
    if (rc != 0 && talk.channel.ctx != NULL)
        packetfs_talk_fail(&talk, &error);
    packetfs_talk_release(&talk);
    packetfs_stream_free(guest.stream);
    (void)pthread_mutex_lock(&sending->lock);
    sending->guests--;
    (void)pthread_cond_broadcast(&sending->news);
    (void)pthread_mutex_unlock(&sending->lock);
    return NULL;
}

/* A thread for who came; too many at once are sent away. */
static void guest_start(struct sending *sending, struct packetfs_stream *stream)
{
    struct guest *guest = hm_malloc(sizeof(*guest));
    pthread_attr_t attributes;
    pthread_t thread;
    bool started = guest != NULL;

    if (started) {
        *guest = (struct guest){.sending = sending, .stream = stream};
        (void)pthread_mutex_lock(&sending->lock);
        started = sending->guests < SEND_GUESTS_MAX;
        sending->guests += started;
        (void)pthread_mutex_unlock(&sending->lock);
    }
    if (started) {
        (void)pthread_attr_init(&attributes);
        (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        started = pthread_create(&thread, &attributes, guest_main, guest) == 0;
        (void)pthread_attr_destroy(&attributes);
        if (!started) {
            (void)pthread_mutex_lock(&sending->lock);
            sending->guests--;
            (void)pthread_mutex_unlock(&sending->lock);
        }
    }
    if (!started) {
        hm_free(guest);
        packetfs_stream_free(stream);
    }
}

/* --- waiting ---------------------------------------------------------------------------------------------------------- */

static bool watch_goes_on(const struct sending *sending,
                          const struct packetfs_handover_progress *progress, bool inside)
{
    static const char *const stages[PACKETFS_HANDOVER_STAGES] = {
        "wait", [PACKETFS_STAGE_RECEIVE] = "send", [PACKETFS_STAGE_RESTORE] = "they restore"};
    const struct packetfs_progress shown = {.stage = stages[progress->stage],
                                            .files_done = inside ? progress->files_done : 0,
                                            .bytes_done = progress->bytes_done,
                                            .bytes_total = inside ? sending->offer.bytes : 0};

    return sending->watch == NULL || sending->watch->progress == NULL ||
           sending->watch->progress(sending->watch->ctx, &shown);
}

/* 0: go on; 1: it was taken; negative: it ends otherwise. */
static int look(struct sending *sending, struct hm_error *error)
{
    struct packetfs_handover_progress progress;
    unsigned wait_s = sending->options->wait_s != 0 ? sending->options->wait_s : SEND_WAIT_S;
    unsigned inside;
    bool taken, late, over;

    (void)pthread_mutex_lock(&sending->lock);
    progress = sending->progress;
    inside = sending->inside;
    taken = sending->taken;
    late = now_ns() - sending->idle_since_ns >= (uint64_t)wait_s * 1000000000u;
    over = sending->serve_over;
    (void)pthread_mutex_unlock(&sending->lock);
    if (taken)
        return 1;
    if (!watch_goes_on(sending, &progress, inside > 0))
        return hm_fail(error, HM_ECANCELLED, "stopped");
    if (over)
        return serve_failed(sending, error);
    if (inside > 0)
        return 0;
    if (packetfs_gate_wrong(&sending->gate) >= PACKETFS_SEND_GUESSES_MAX)
        return hm_fail(error, HM_EAUTH,
                       "%d wrong codes: the offer has ended; send it again for another code",
                       PACKETFS_SEND_GUESSES_MAX);
    if (late)
        return hm_fail(error, HM_ETIMEOUT, "nobody took it within %u seconds", wait_s);
    return 0;
}

static int wait_for_guests(struct sending *sending, struct hm_error *error)
{
    int rc = 0;

    sending->idle_since_ns = now_ns();
    while (rc == 0) {
        struct packetfs_stream *stream = NULL;

        rc = packetfs_peer_accept(sending->door, SEND_LOOK_MS, &stream, error);
        if (rc == 0)
            guest_start(sending, stream);
        if (rc == HM_ENOMEM)
            (void)nanosleep(&(struct timespec){.tv_nsec = SEND_LOOK_MS * 1000000L}, NULL);
        if (rc == 0 || rc == HM_ETIMEOUT || rc == HM_ENOMEM)
            rc = look(sending, error);
    }
    return rc == 1 ? 0 : rc;
}

static int listen_and_wait(struct sending *sending, struct hm_error *error)
{
    struct sockaddr_in6 at;
    char address[SEND_ADDRESS_BYTES];
    int rc = door_open(sending, error);

    if (rc == 0)
        rc = serve_begin(sending, error);
    if (rc != 0)
        return rc;
    at = sending->bind;
    at.sin6_port = htons(packetfs_peer_port(sending->door));
    stoq_address_text(&at, address);
    if (sending->options->ready != NULL)
        sending->options->ready(sending->options->ctx, sending->gate.code, address);
    return wait_for_guests(sending, error);
}

/* --- all of it -------------------------------------------------------------------------------------------------------- */

static void sending_stop(struct sending *sending)
{
    sending->stopping = true;
    (void)pthread_mutex_lock(&sending->lock);
    while (sending->guests > 0)
        (void)pthread_cond_wait(&sending->news, &sending->lock);
    (void)pthread_mutex_unlock(&sending->lock);
    if (sending->serving)
        (void)pthread_join(sending->server, NULL);
    packetfs_peer_free(sending->door);
}

static int sending_run(struct sending *sending, struct packetfs_send_result *result,
                       struct hm_error *error)
{
    uint8_t name[PACKETFS_STATE_NAME_BYTES];
    int rc = state_name(sending->options, name, error);

    if (rc == 0)
        rc = packetfs_state_open(sending->options->state, "send", name, true, &sending->state,
                                 error);
    if (rc == 0)
        rc = volume_make(sending, name, error);
    if (rc == 0)
        rc = volume_fill(sending, result, error);
    if (rc == 0)
        rc = offer_make(sending, error);
    if (rc == 0)
        rc = listen_and_wait(sending, error);
    return rc;
}

static int options_check(const struct packetfs_send_options *options, struct hm_error *error)
{
    if (options->path_count == 0)
        return hm_fail(error, HM_EINVAL, "nothing was named to be sent");
    if ((options->to != NULL) != (options->identity != NULL))
        return hm_fail(error, HM_EINVAL, "to send to an identity takes ours and theirs");
    return 0;
}

int packetfs_send(const struct packetfs_send_options *options, const struct packetfs_watch *watch,
                  struct packetfs_send_result *result, struct packetfs_error *error)
{
    struct hm_error *own = packetfs_error_own(error);
    struct sending sending = {.options = options, .watch = watch, .state = {.lock = -1}};
    struct packetfs_send_result done = {0};
    int rc = options_check(options, own);

    if (rc != 0)
        return rc;
    (void)pthread_mutex_init(&sending.lock, NULL);
    (void)pthread_cond_init(&sending.news, NULL);
    (void)pthread_mutex_init(&sending.gate.lock, NULL);
    sending.gate.code = options->to == NULL ? sending.code : NULL;
    sending.gate.identity = options->identity;
    sending.gate.to = options->to;
    sending.gate.offer = &sending.offer;
    rc = sending_run(&sending, &done, own);
    sending_stop(&sending);
    done.wrong_guesses = sending.gate.wrong_guesses;
    packetfs_volume_close(sending.volume);
    packetfs_state_close(&sending.state, rc == 0 || !sending.anybody);
    hm_wipe(&sending.offer, sizeof(sending.offer));
    hm_wipe(sending.code, sizeof(sending.code));
    hm_buf_release(&sending.volume_file);
    (void)pthread_mutex_destroy(&sending.gate.lock);
    (void)pthread_cond_destroy(&sending.news);
    (void)pthread_mutex_destroy(&sending.lock);
    if (result != NULL)
        *result = done;
    return rc;
}
