#include "load_watch.h"

#include <stdlib.h>
#include <sys/epoll.h>

#define WATCH_EVENTS      512
#define WATCH_MARK        "\"mod_revision\"" /* once in each event of etcd's JSON */
#define WATCH_MARK_BYTES  (sizeof(WATCH_MARK) - 1)
#define WATCH_PATIENCE_NS UINT64_C(15000000000)
#define WATCH_POLL_MS     20

/* A connection that watches, or one that puts; the connection comes first so that an event's pointer is both. */
struct watch_peer {
    struct load_conn conn;
    struct watch_run *run;
    bool watches, standing;
    uint64_t events;
    size_t tail_len; /* end of the last piece: a mark may go on in the next */
    char tail[WATCH_MARK_BYTES - 1];
};

struct watch_run {
    const struct load_watch_plan *plan;
    struct watch_peer *peers; /* watchers, then put->clients that put */
    size_t count;
    int epoll_fd;
    size_t standing;
    uint64_t events; /* of all watchers */
    uint64_t next_n;
    uint64_t answered; /* puts */
    size_t putting; /* on their way */
    uint64_t random_state;
    uint64_t flood_ends_ns; /* 0: no flood */
    uint64_t put_ns; /* when the last put's answer was there */
    uint64_t *arrivals; /* when in a round which event came: watchers of them */
    size_t arrived;
};

/* --- counting events -------------------------------------------------------------------------------- */

static size_t watch_marks(const char *data, size_t len)
{
    const char *end = data + len;
    size_t count = 0;

    for (const char *at = data;
         (at = memmem(at, (size_t)(end - at), WATCH_MARK, WATCH_MARK_BYTES)) != NULL;
         at += WATCH_MARK_BYTES)
        count++;
    return count;
}

/* Marks that begin in the last piece and end in this one. */
static size_t watch_marks_across(struct watch_peer *peer, struct hm_slice piece)
{
    char both[2 * WATCH_MARK_BYTES];
    size_t take = piece.len < WATCH_MARK_BYTES - 1 ? piece.len : WATCH_MARK_BYTES - 1;

    memcpy(both, peer->tail, peer->tail_len);
    memcpy(both + peer->tail_len, piece.data, take);
    return watch_marks(both, peer->tail_len + take);
}

static void watch_tail_keep(struct watch_peer *peer, struct hm_slice piece)
{
    const size_t room = sizeof(peer->tail);

    if (piece.len >= room) {
        memcpy(peer->tail, piece.data + piece.len - room, room);
        peer->tail_len = room;
        return;
    }
    size_t keep = peer->tail_len < room - piece.len ? peer->tail_len : room - piece.len;
    memmove(peer->tail, peer->tail + peer->tail_len - keep, keep);
    memcpy(peer->tail + keep, piece.data, piece.len);
    peer->tail_len = keep + piece.len;
}

static void watch_body(void *ctx, struct hm_slice piece)
{
    struct watch_peer *peer = ctx;
    struct watch_run *run = peer->run;

    if (!peer->standing) {
        peer->standing = true;
        run->standing++;
    }
    size_t found = watch_marks((const char *)piece.data, piece.len) +
                   watch_marks_across(peer, piece);
    watch_tail_keep(peer, piece);
    peer->events += found;
    run->events += found;
    uint64_t now_ns = found > 0 && run->arrivals != NULL ? load_now_ns() : 0;
    for (size_t i = 0; i < found && run->arrivals != NULL && run->arrived < run->plan->watchers;
         i++)
        run->arrivals[run->arrived++] = now_ns;
}

/* --- sending ----------------------------------------------------------------------------------------- */

static int watch_put(struct watch_run *run, struct watch_peer *peer, struct hm_error *error)
{
    const struct load_plan *plan = run->plan->put;
    const struct load_values values = {.n = run->next_n++,
                                       .client = peer->conn.number,
                                       .range = plan->range,
                                       .random_state = &run->random_state,
                                       .lines = &plan->lines};

    hm_buf_clear(&peer->conn.out);
    int rc = load_request_write(plan, &values, &peer->conn.out, error);
    if (rc == 0)
        rc = load_conn_send(&peer->conn, error);
    if (rc == 0)
        run->putting++;
    return rc;
}

static int watch_ask(struct watch_run *run, struct watch_peer *peer, struct hm_error *error)
{
    struct load_plan plan = *run->plan->put;
    const struct load_values values = {
        .client = peer->conn.number, .range = 1, .random_state = &run->random_state};

    plan.method = "POST";
    plan.path = run->plan->path;
    plan.body = run->plan->body;
    plan.has_body = true;
    int rc = load_request_write(&plan, &values, &peer->conn.out, error);
    return rc != 0 ? rc : load_conn_send(&peer->conn, error);
}

static int watch_open(struct watch_run *run, struct hm_error *error)
{
    int rc = 0;

    for (size_t i = 0; i < run->count && rc == 0; i++) {
        struct watch_peer *peer = &run->peers[i];

        peer->run = run;
        peer->conn.number = i;
        peer->watches = i < run->plan->watchers;
        if (peer->watches) {
            peer->conn.http.body = watch_body;
            peer->conn.http.ctx = peer;
        }
        rc = load_conn_open(&peer->conn, &run->plan->put->address, run->epoll_fd, error);
        if (rc == 0 && peer->watches)
            rc = watch_ask(run, peer, error);
    }
    return rc;
}

/* --- waiting ----------------------------------------------------------------------------------------- */

static int watch_put_answered(struct watch_run *run, struct watch_peer *peer,
                              struct hm_error *error)
{
    uint64_t now_ns = load_now_ns();

    run->putting--;
    run->answered++;
    run->put_ns = now_ns;
    if (peer->conn.http.status / 100 != 2)
        return hm_fail(error, HM_EIO, "a put was refused: %u %.200s", peer->conn.http.status,
                       peer->conn.body);
    return now_ns < run->flood_ends_ns ? watch_put(run, peer, error) : 0;
}

static int watch_event(struct watch_run *run, struct watch_peer *peer, struct hm_error *error)
{
    int rc = load_conn_step(&peer->conn, error);

    if (rc < 0)
        return hm_error_prefix(error, rc, peer->watches ? "a watch" : "a put");
    if (rc == 0)
        return 0;
    if (peer->watches)
        return hm_fail(error, HM_EIO, "a watch ended with status %u", peer->conn.http.status);
    return watch_put_answered(run, peer, error);
}

/* One turn; 1 when nothing came for as long as patience lasts. */
static int watch_turn(struct watch_run *run, uint64_t give_up_ns, struct hm_error *error)
{
    struct epoll_event events[WATCH_EVENTS];
    int ready = epoll_wait(run->epoll_fd, events, WATCH_EVENTS, WATCH_POLL_MS);
    int rc = 0;

    for (int i = 0; i < ready && rc == 0; i++)
        rc = watch_event(run, events[i].data.ptr, error);
    return rc != 0 ? rc : load_now_ns() > give_up_ns;
}

static int watch_late(int rc, const char *what, struct hm_error *error)
{
    return rc <= 0 ? rc : hm_fail(error, HM_ETIMEOUT, "%s did not come in 15 s", what);
}

static int watch_wait_standing(struct watch_run *run, struct hm_error *error)
{
    uint64_t give_up_ns = load_now_ns() + 2 * WATCH_PATIENCE_NS;
    int rc = 0;

    while (rc == 0 && run->standing < run->plan->watchers)
        rc = watch_turn(run, give_up_ns, error);
    return watch_late(rc, "the first answer of every watch", error);
}

/* --- the two measurements ---------------------------------------------------------------------------- */

static int watch_by_time(const void *a, const void *b)
{
    uint64_t left, right;

    memcpy(&left, a, sizeof(left));
    memcpy(&right, b, sizeof(right));
    return (left > right) - (left < right);
}

static int watch_round(struct watch_run *run, struct load_watch_result *result,
                       struct hm_error *error)
{
    const size_t watchers = run->plan->watchers;
    uint64_t want = run->events + watchers;
    uint64_t start_ns = load_now_ns();

    run->arrived = 0;
    int rc = watch_put(run, &run->peers[watchers], error);
    while (rc == 0 && (run->events < want || run->putting > 0))
        rc = watch_turn(run, start_ns + WATCH_PATIENCE_NS, error);
    if (rc != 0)
        return watch_late(rc, "an event to every watcher", error);
    qsort(run->arrivals, watchers, sizeof(*run->arrivals), watch_by_time);
    load_hist_record(&result->put, run->put_ns - start_ns);
    load_hist_record(&result->first, run->arrivals[0] - start_ns);
    load_hist_record(&result->median, run->arrivals[watchers / 2] - start_ns);
    load_hist_record(&result->last, run->arrivals[watchers - 1] - start_ns);
    return 0;
}

static int watch_flood(struct watch_run *run, struct load_watch_result *result,
                       struct hm_error *error)
{
    const size_t watchers = run->plan->watchers;
    uint64_t start_ns = load_now_ns(), last_ns = start_ns;
    uint64_t before = run->events, puts_before = run->answered;
    int rc = 0;

    run->flood_ends_ns = start_ns + (uint64_t)(run->plan->put->seconds * 1e9);
    for (size_t i = watchers; i < run->count && rc == 0; i++)
        rc = watch_put(run, &run->peers[i], error);
    while (rc == 0) {
        uint64_t seen = run->events;

        rc = watch_turn(run, UINT64_MAX, error);
        uint64_t now_ns = load_now_ns();
        if (run->events > seen)
            last_ns = now_ns;
        if (run->putting == 0 && run->events - before >= (run->answered - puts_before) * watchers)
            break;
        if (now_ns > run->flood_ends_ns && now_ns - last_ns > WATCH_PATIENCE_NS)
            break;
    }
    result->puts = run->answered - puts_before;
    result->events = run->events - before;
    result->missing = result->puts * watchers - result->events;
    result->seconds = (double)(last_ns - start_ns) / 1e9;
    return rc;
}

static int watch_run_all(struct watch_run *run, struct load_watch_result *result,
                         struct hm_error *error)
{
    uint64_t start_ns = load_now_ns();
    int rc = watch_open(run, error);

    if (rc == 0)
        rc = watch_wait_standing(run, error);
    result->open_seconds = (double)(load_now_ns() - start_ns) / 1e9;
    HM_AUTOFREE uint64_t *arrivals = hm_calloc(run->plan->watchers, sizeof(*arrivals));
    if (rc == 0 && arrivals == NULL)
        rc = hm_fail(error, HM_ENOMEM, "no memory for arrivals");
    run->arrivals = arrivals;
    for (size_t i = 0; i < run->plan->rounds && rc == 0; i++)
        rc = watch_round(run, result, error);
    run->arrivals = NULL;
    return rc != 0 || run->plan->put->seconds <= 0 ? rc : watch_flood(run, result, error);
}

int load_watch(const struct load_watch_plan *plan, struct load_watch_result *result,
               struct hm_error *error)
{
    struct watch_run run = {.plan = plan,
                            .count = plan->watchers + plan->put->clients,
                            .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
                            .next_n = plan->put->first_n,
                            .random_state = 1};
    int rc;

    run.peers = hm_calloc(run.count, sizeof(*run.peers));
    if (run.peers == NULL || run.epoll_fd < 0)
        return hm_fail(error, HM_ENOMEM, "no memory for %zu connections", run.count);
    for (size_t i = 0; i < run.count; i++)
        run.peers[i].conn.fd = -1;
    rc = watch_run_all(&run, result, error);
    for (size_t i = 0; i < run.count; i++)
        load_conn_release(&run.peers[i].conn);
    hm_free(run.peers);
    hm_fd_release(&run.epoll_fd);
    return rc;
}
