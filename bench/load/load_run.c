#include "load_run.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>

#define LOAD_EVENTS  256
#define LOAD_POLL_MS 50
#define LOAD_DRAIN_NS \
    UINT64_C(10000000000) /* for the last answers; a commit may take long under load */
#define LOAD_SEED UINT64_C(0x9e3779b97f4a7c15)

struct load_shared {
    const struct load_plan *plan;
    _Atomic uint64_t next_n;
    uint64_t counted_from_ns, counted_to_ns; /* without a limit in requests */
};

struct load_thread {
    pthread_t handle;
    struct load_shared *shared;
    struct load_conn *conns;
    size_t count;
    int epoll_fd;
    size_t waiting;
    uint64_t random_state;
    uint64_t last_ns;
    struct load_result result;
    struct hm_error error;
    int rc;
};

int load_request_write(const struct load_plan *plan, const struct load_values *values,
                       struct hm_buf *out, struct hm_error *error)
{
    static _Thread_local struct hm_buf body; /* reused by every request of the thread */
    int rc;

    hm_buf_clear(&body);
    rc = plan->has_body ? load_text_write(&plan->body, values, &body) : 0;
    if (rc == 0)
        rc = hm_buf_append_str(out, plan->method);
    if (rc == 0)
        rc = hm_buf_append_str(out, " ");
    if (rc == 0)
        rc = load_text_write(&plan->path, values, out);
    if (rc == 0)
        rc = hm_buf_append_str(out, " HTTP/1.1\r\nHost: ");
    if (rc == 0)
        rc = hm_buf_append_str(out, plan->address.host);
    if (rc == 0)
        rc = hm_buf_append_str(out, "\r\n");
    if (rc == 0 && plan->headers.len > 0)
        rc = hm_buf_append(out, plan->headers.data, plan->headers.len);
    if (rc == 0 && plan->has_body)
        rc = hm_buf_printf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                           body.len);
    if (rc == 0)
        rc = hm_buf_append_str(out, "\r\n");
    if (rc == 0 && body.len > 0)
        rc = hm_buf_append(out, body.data, body.len);
    if (rc != 0)
        return hm_fail(error, rc, "a request could not be written (%s)", hm_error_name(rc));
    return 0;
}

/* --- one thread ----------------------------------------------------------------------------------- */

static bool load_over(const struct load_thread *thread, uint64_t now_ns)
{
    const struct load_plan *plan = thread->shared->plan;

    if (thread->result.errors > LOAD_ERRORS_MAX)
        return true;
    if (plan->requests > 0)
        return atomic_load(&thread->shared->next_n) >= plan->first_n + plan->requests;
    return now_ns >= thread->shared->counted_to_ns;
}

/* Sends the client's next request, or nothing when the run is over. */
static int load_next(struct load_thread *thread, struct load_conn *conn, uint64_t now_ns)
{
    const struct load_plan *plan = thread->shared->plan;

    if (load_over(thread, now_ns))
        return 0;
    uint64_t n = atomic_fetch_add(&thread->shared->next_n, 1);
    if (plan->requests > 0 && n >= plan->first_n + plan->requests)
        return 0;
    const struct load_values values = {.n = n,
                                       .client = conn->number,
                                       .range = plan->range,
                                       .random_state = &thread->random_state,
                                       .lines = &plan->lines};
    hm_buf_clear(&conn->out);
    int rc = load_request_write(plan, &values, &conn->out, &thread->error);
    if (rc == 0)
        rc = load_conn_send(conn, &thread->error);
    if (rc == 0)
        thread->waiting++;
    return rc;
}

static void load_count_error(struct load_thread *thread, const char *text, unsigned status)
{
    struct load_result *result = &thread->result;

    if (result->errors++ == 0)
        (void)snprintf(result->first_error, sizeof(result->first_error), "%u %s", status, text);
}

static void load_answered(struct load_thread *thread, const struct load_conn *conn, uint64_t now_ns)
{
    const struct load_shared *shared = thread->shared;

    thread->last_ns = now_ns;
    thread->result.answered++;
    if (conn->http.status / 100 != 2) {
        load_count_error(thread, conn->body, conn->http.status);
        return;
    }
    if (shared->plan->requests == 0 &&
        (now_ns < shared->counted_from_ns || now_ns > shared->counted_to_ns))
        return;
    load_hist_record(&thread->result.hist, now_ns - conn->began_ns);
}

static int load_reopen(struct load_thread *thread, struct load_conn *conn)
{
    thread->result.reopened++;
    thread->result.bytes_in += conn->bytes_in;
    conn->bytes_in = 0;
    return load_conn_open(conn, &thread->shared->plan->address, thread->epoll_fd, &thread->error);
}

static int load_event(struct load_thread *thread, struct load_conn *conn)
{
    bool was_waiting = conn->waiting;
    int rc = load_conn_step(conn, &thread->error);
    uint64_t now_ns = load_now_ns();

    if (rc == 0)
        return 0;
    if (was_waiting)
        thread->waiting--;
    if (rc < 0) { /* closed on us: a fault only when an answer was due */
        if (was_waiting)
            load_count_error(thread, thread->error.text, 0);
        conn->waiting = false;
        rc = load_reopen(thread, conn);
    } else {
        load_answered(thread, conn, now_ns);
        rc = conn->http.closes ? load_reopen(thread, conn) : 0;
    }
    return rc != 0 ? rc : load_next(thread, conn, now_ns);
}

static int load_thread_loop(struct load_thread *thread)
{
    struct epoll_event events[LOAD_EVENTS];
    uint64_t give_up_ns = 0;
    int rc = 0;

    for (size_t i = 0; i < thread->count && rc == 0; i++)
        rc = load_next(thread, &thread->conns[i], load_now_ns());
    while (rc == 0 && thread->waiting > 0) {
        int ready = epoll_wait(thread->epoll_fd, events, LOAD_EVENTS, LOAD_POLL_MS);

        for (int i = 0; i < ready && rc == 0; i++)
            rc = load_event(thread, events[i].data.ptr);
        uint64_t now_ns = load_now_ns();
        if (rc == 0 && give_up_ns == 0 && load_over(thread, now_ns))
            give_up_ns = now_ns + LOAD_DRAIN_NS;
        if (give_up_ns != 0 && now_ns > give_up_ns) {
            load_count_error(thread, "answers are missing", 0);
            break;
        }
    }
    return rc;
}

static void *load_thread_main(void *arg)
{
    struct load_thread *thread = arg;

    thread->rc = load_thread_loop(thread);
    return NULL;
}

static int load_thread_open(struct load_thread *thread, size_t first, size_t count)
{
    int rc = 0;

    thread->count = count;
    thread->random_state = LOAD_SEED * (first + 1);
    thread->conns = hm_calloc(count, sizeof(*thread->conns));
    thread->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (thread->conns == NULL || thread->epoll_fd < 0)
        return hm_fail(&thread->error, HM_ENOMEM, "no memory for %zu clients", count);
    for (size_t i = 0; i < count; i++)
        thread->conns[i].fd = -1;
    for (size_t i = 0; i < count && rc == 0; i++) {
        thread->conns[i].number = first + i;
        rc = load_conn_open(&thread->conns[i], &thread->shared->plan->address, thread->epoll_fd,
                            &thread->error);
    }
    return rc;
}

static void load_thread_close(struct load_thread *thread)
{
    for (size_t i = 0; thread->conns != NULL && i < thread->count; i++) {
        thread->result.bytes_in += thread->conns[i].bytes_in;
        load_conn_release(&thread->conns[i]);
    }
    hm_free(thread->conns);
    hm_fd_release(&thread->epoll_fd);
}

/* --- all of them ---------------------------------------------------------------------------------- */

static void load_result_add(struct load_result *into, const struct load_result *from)
{
    load_hist_add(&into->hist, &from->hist);
    if (into->errors == 0)
        memcpy(into->first_error, from->first_error, sizeof(into->first_error));
    into->answered += from->answered;
    into->errors += from->errors;
    into->reopened += from->reopened;
    into->bytes_in += from->bytes_in;
}

static int load_run_threads(struct load_thread *threads, size_t count, struct hm_error *error)
{
    size_t started = 0;
    int rc = 0;

    while (rc == 0 && started < count) {
        if (pthread_create(&threads[started].handle, NULL, load_thread_main, &threads[started]) !=
            0)
            rc = hm_fail(error, HM_ENOMEM, "a thread could not be started");
        else
            started++;
    }
    for (size_t i = 0; i < started; i++) {
        pthread_join(threads[i].handle, NULL);
        if (rc == 0 && threads[i].rc != 0)
            rc = hm_fail(error, threads[i].rc, "%s", threads[i].error.text);
    }
    return rc;
}

int load_run(const struct load_plan *plan, struct load_result *result, struct hm_error *error)
{
    struct load_shared shared = {.plan = plan, .next_n = plan->first_n};
    size_t count = plan->threads < plan->clients ? plan->threads : plan->clients;
    struct load_thread *threads = hm_calloc(count, sizeof(*threads));
    size_t first = 0, ready = 0;
    int rc = 0;

    if (threads == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for %zu threads", count);
    while (ready < count && rc == 0) {
        size_t clients = (plan->clients - first) / (count - ready);

        threads[ready].shared = &shared;
        rc = load_thread_open(&threads[ready], first, clients);
        if (rc != 0)
            (void)hm_fail(error, rc, "%s", threads[ready].error.text);
        first += clients;
        ready++;
    }
    uint64_t start_ns = load_now_ns();
    shared.counted_from_ns = start_ns + (uint64_t)(plan->warmup_s * 1e9);
    shared.counted_to_ns = shared.counted_from_ns + (uint64_t)(plan->seconds * 1e9);
    if (rc == 0)
        rc = load_run_threads(threads, count, error);
    uint64_t last_ns = start_ns;
    for (size_t i = 0; i < ready; i++) {
        load_thread_close(&threads[i]);
        load_result_add(result, &threads[i].result);
        if (threads[i].last_ns > last_ns)
            last_ns = threads[i].last_ns;
    }
    result->seconds = plan->requests > 0 ? (double)(last_ns - start_ns) / 1e9 : plan->seconds;
    hm_free(threads);
    return rc;
}
