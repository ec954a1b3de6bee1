/* One peer of a server: what it takes or brings. */
#include <stdio.h>
#include <time.h>

#include "sync/packetfs_serve.h"

#define SESSION_PATTERNS_S 30 /* so long a peer may take to make its second connection */
#define SESSION_LOOK_NS    200000000L

void packetfs_serve_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;

    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(cond, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

/* Under the lock: waits a little. */
static void session_wait(struct packetfs_serve *serve)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SESSION_LOOK_NS;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    (void)pthread_cond_timedwait(&serve->news, &serve->lock, &until);
}

static void session_enter(struct packetfs_serve *serve, struct packetfs_session *session)
{
    (void)pthread_mutex_lock(&serve->lock);
    session->after = serve->sessions;
    serve->sessions = session;
    (void)pthread_mutex_unlock(&serve->lock);
}

/* Nobody finds it any more, and nobody is still at it. */
static void session_leave(struct packetfs_serve *serve, struct packetfs_session *session)
{
    (void)pthread_mutex_lock(&serve->lock);
    for (struct packetfs_session **at = &serve->sessions; *at != NULL; at = &(*at)->after)
        if (*at == session) {
            *at = session->after;
            break;
        }
    session->over = true;
    (void)pthread_cond_broadcast(&serve->news);
    while (session->users > 0)
        session_wait(serve);
    (void)pthread_mutex_unlock(&serve->lock);
}

/* --- the connection of patterns ------------------------------------------------------------------------------------------- */

static struct packetfs_session *session_find(struct packetfs_serve *serve,
                                             const struct packetfs_wire_hello *hello)
{
    struct packetfs_session *session;

    (void)pthread_mutex_lock(&serve->lock);
    for (session = serve->sessions; session != NULL; session = session->after)
        if (session->role == hello->role && !session->over &&
            hm_equal_ct(session->id, hello->session, sizeof(session->id))) {
            session->users++;
            break;
        }
    (void)pthread_mutex_unlock(&serve->lock);
    return session;
}

static bool session_stopped(void *ctx)
{
    struct packetfs_session *session = ctx;

    return session->over || session->serve->stopping;
}

/* The sink of the other thread uses talk until its session is over. */
static int session_lend(struct packetfs_serve *serve, struct packetfs_session *session,
                        struct packetfs_talk *talk, struct hm_error *error)
{
    bool second;

    (void)pthread_mutex_lock(&serve->lock);
    second = session->patterns != NULL;
    if (!second) {
        session->patterns = talk;
        (void)pthread_cond_broadcast(&serve->news);
        while (!session->over)
            session_wait(serve);
    }
    (void)pthread_mutex_unlock(&serve->lock);
    return second ? hm_fail(error, HM_ECONFLICT, "this session has its patterns' connection") : 0;
}

int packetfs_serve_patterns(struct packetfs_serve *serve, struct packetfs_talk *talk,
                            const struct packetfs_wire_hello *hello, struct hm_error *error)
{
    struct packetfs_session *session = session_find(serve, hello);
    int rc;

    if (session == NULL)
        return hm_fail(error, HM_ENOTFOUND, "there is no such session");
    talk->stopped = session_stopped;
    talk->stopped_ctx = session;
    if (session->role == PACKETFS_WIRE_SINK) {
        struct packetfs_source source = {.side = &session->volume->side, .kind = PACKETFS_PATTERN};

        rc = packetfs_sync_source(&source, talk, error);
    } else {
        rc = session_lend(serve, session, talk, error);
    }
    talk->stopped = packetfs_serve_stopped;
    talk->stopped_ctx = serve;
    (void)pthread_mutex_lock(&serve->lock);
    session->users--;
    (void)pthread_cond_broadcast(&serve->news);
    (void)pthread_mutex_unlock(&serve->lock);
    return rc;
}

/* --- the connection of references ----------------------------------------------------------------------------------------- */

struct bringing { /* a peer that brings: our sink's way to its patterns */
    struct packetfs_serve *serve;
    struct packetfs_session *session;
    struct packetfs_talk *references;
};

static int bringing_patterns(void *ctx, bool many, struct packetfs_talk **out,
                             struct hm_error *error)
{
    struct bringing *bringing = ctx;
    struct packetfs_serve *serve = bringing->serve;
    int looks = SESSION_PATTERNS_S * (int)(1000000000L / SESSION_LOOK_NS);
    const uint8_t body = many ? 1 : 0;
    int rc = packetfs_talk_send(bringing->references, PACKETFS_WIRE_PATTERNS, hm_slice_of(&body, 1),
                                error);

    if (rc == 0)
        rc = packetfs_talk_flush(bringing->references, error);
    if (rc != 0)
        return rc;
    (void)pthread_mutex_lock(&serve->lock);
    while (bringing->session->patterns == NULL && !serve->stopping && looks-- > 0)
        session_wait(serve);
    *out = bringing->session->patterns;
    (void)pthread_mutex_unlock(&serve->lock);
    return *out != NULL ? 0
                        : hm_fail(error, HM_ETIMEOUT,
                                  "the peer did not make its second connection, for patterns");
}

static int bring(struct packetfs_serve *serve, struct packetfs_session *session,
                 struct packetfs_talk *talk, const struct packetfs_wire_hello *hello,
                 struct packetfs_wire_done *done, struct hm_error *error)
{
    struct bringing bringing = {serve, session, talk};
    struct packetfs_sink sink = {.side = &session->volume->side,
                                 .references = talk,
                                 .patterns = bringing_patterns,
                                 .patterns_ctx = &bringing,
                                 .peer = hello};
    int rc = packetfs_sync_sink(&sink, error);

    if (rc != 0 && session->patterns != NULL)
        packetfs_talk_fail(session->patterns, error);
    *done = sink.done;
    return rc;
}

static int take(struct packetfs_session *session, struct packetfs_talk *talk,
                const struct packetfs_wire_hello *hello, struct hm_slice label,
                struct packetfs_wire_done *done, struct hm_error *error)
{
    struct packetfs_source source = {
        .side = &session->volume->side,
        .kind = PACKETFS_REFERENCE,
        .choice = {.label = label, .newest_only = hello->newest_only},
    };
    int rc = packetfs_sync_source(&source, talk, error);

    *done = source.done;
    return rc;
}

static int session_greet(struct packetfs_serve *serve, struct packetfs_session *session,
                         struct packetfs_talk *talk, struct hm_error *error)
{
    struct packetfs_wire_hello hello = {
        .role = PACKETFS_WIRE_SERVER,
        .sequence = session->volume->sequence,
        .pattern_port = packetfs_peer_port(serve->peers[PACKETFS_PATTERN]),
        .bulk_port = packetfs_peer_port(serve->peers[PACKETFS_BULK])};
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};

    memcpy(hello.session, session->id, sizeof(hello.session));
    memcpy(hello.volume_id, serve->volume->keys.volume_id, sizeof(hello.volume_id));
    memcpy(hello.replica, session->volume->side.replica, sizeof(hello.replica));
    if (packetfs_wire_hello_write(&hello, &body) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a greeting");
    return packetfs_talk_send(talk, PACKETFS_WIRE_HELLO, hm_buf_slice(&body), error);
}

static void session_tell(const struct packetfs_serve *serve, const char *address, bool bring,
                         const struct packetfs_wire_done *done)
{
    char sentence[256];

    if (serve->options->event == NULL)
        return;
    (void)snprintf(sentence, sizeof(sentence), "%s %s %llu snapshots, %llu objects, %llu bytes",
                   address, bring ? "brought" : "took", (unsigned long long)done->snapshots,
                   (unsigned long long)(done->references + done->patterns),
                   (unsigned long long)done->plain_bytes);
    serve->options->event(serve->options->ctx, sentence);
}

int packetfs_serve_references(struct packetfs_serve *serve, struct packetfs_talk *talk,
                              const struct packetfs_wire_hello *hello, const char *address,
                              struct hm_error *error)
{
    bool brings = hello->role == PACKETFS_WIRE_SOURCE;
    struct packetfs_sync_volume volume;
    struct packetfs_session session = {.serve = serve, .role = hello->role, .volume = &volume};
    struct packetfs_wire_done done = {0};
    char label[PACKETFS_LABEL_MAX_BYTES];
    size_t label_len = hello->label.len;
    int rc;

    if (label_len > 0)
        memcpy(label, hello->label.data, label_len);
    if (brings ? serve->options->no_push || serve->volume->read_only : serve->options->no_pull)
        return hm_fail(error, HM_EPERM, "nothing may be %s here", brings ? "brought" : "taken");
    rc = packetfs_sync_volume_open(&volume, serve->volume, brings, error);
    if (rc != 0)
        return rc;
    /* before others can find it */
    if (hm_random_system()->fill(NULL, session.id, sizeof(session.id)) != 0) {
        packetfs_sync_volume_release(&volume);
        return hm_fail(error, HM_EIO, "the source of random bytes failed");
    }
    session_enter(serve, &session);
    rc = session_greet(serve, &session, talk, error);
    if (rc == 0)
        rc = brings ? bring(serve, &session, talk, hello, &done, error)
                    : take(&session, talk, hello, hm_slice_of(label, label_len), &done, error);
    session_leave(serve, &session);
    packetfs_sync_volume_release(&volume);
    if (rc == 0)
        session_tell(serve, address, brings, &done);
    return rc;
}
