/* One request through the library: its head, its body, the answer. What only reads a snapshot is
 * answered by the thread that polls. Otherwise its connection sleeps: the commonest acts go on without any
 * thread and come back to this one; what waits goes to the pool. */
#include "api_body.h"
#include "api_server.h"

#define DISCARD_MAX_BYTES \
    (4 * API_BODY_MAX_BYTES) /* read past the limit so that the client sees the refusal */

/* What is known of one request while it arrives, and while it is worked on. */
struct visit {
    struct api_work work; /* first: what the pool sees */
    struct api_server *server;
    struct api_door *door;
    struct api_loop *loop;
    struct MHD_Connection *connection;
    struct api_conn *conn;
    char *target;
    struct hm_buf body;
    uint64_t received; /* bytes, kept or not */
    uint64_t started_ns;
    bool begun; /* headers are here */
    bool judged; /* manner is known */
    enum api_manner manner;
    bool busy;
    bool away; /* with the pool, or its act goes on; set before */
    /* an act that goes on: what the loop is left to do */
    struct api_later later;
    struct api_task lead, done;
    struct api_pending *pending;
    struct api_request request;
    struct api_response answer; /* the pool's, until the connection is resumed */
};

/* --- connections ------------------------------------------------------------------------------ */

static struct api_conn *conn_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

void api_visit_on_connection(void *ctx, struct MHD_Connection *connection, void **context,
                             enum MHD_ConnectionNotificationCode code)
{
    struct api_loop *loop = ctx;
    struct api_door *door = loop->door;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        atomic_fetch_add(&door->connections, 1);
        atomic_fetch_add(&door->server->core.metrics.connections, 1);
        *context = api_conn_open(&door->server->care, loop, door->transport, connection);
    } else {
        atomic_fetch_sub(&loop->connections, 1);
        atomic_fetch_sub(&door->connections, 1);
        atomic_fetch_sub(&door->server->core.metrics.connections, 1);
        api_conn_close(&door->server->care, *context);
        *context = NULL;
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

static struct MHD_Response *stream_response(struct visit *visit, struct api_response *answer)
{
    struct MHD_Response *response = api_pump_response(&visit->server->care, visit->conn,
                                                      answer->stream);

    if (response)
        answer->stream = NULL; /* the response's now */
    return response;
}

static void free_body(void *data)
{
    hm_free(data);
}

static void free_secret(void *ctx)
{
    struct hm_buf *body = ctx;

    hm_wipe(body->data, body->cap);
    hm_buf_release(body);
    hm_free(body);
}

static struct MHD_Response *secret_response(struct api_response *answer)
{
    struct hm_buf *body = hm_malloc(sizeof(*body));
    struct MHD_Response *response;

    if (!body)
        return NULL;
    *body = answer->body;
    response = MHD_create_response_from_buffer_with_free_callback_cls(body->len, body->data,
                                                                      free_secret, body);
    if (response)
        answer->body = (struct hm_buf){0}; /* the response's now */
    else
        hm_free(body);
    return response;
}

static struct MHD_Response *body_response(struct api_response *answer)
{
    struct MHD_Response *response;

    if (answer->body.len == 0)
        return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (answer->secret)
        return secret_response(answer);
    response = MHD_create_response_from_buffer_with_free_callback(answer->body.len,
                                                                  answer->body.data, free_body);
    if (response)
        answer->body = (struct hm_buf){0}; /* the response's now */
    return response;
}

static void put_number(struct MHD_Response *response, const char *name, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    (void)MHD_add_response_header(response, name, text);
}

static void put_headers(struct MHD_Response *response, const struct api_response *answer, bool last)
{
    static const char retry_after[] = {'0' + API_RETRY_AFTER_S, '\0'};

    (void)MHD_add_response_header(response, "Content-Type", answer->content_type);
    (void)MHD_add_response_header(response, "Cache-Control",
                                  answer->etag[0] ? "no-cache" : "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (answer->etag[0])
        (void)MHD_add_response_header(response, "ETag", answer->etag);
    if (answer->fresh) {
        put_number(response, "X-HyperMesh-Height", answer->read_at.height);
        put_number(response, "X-HyperMesh-Block-Time", answer->read_at.time_ms);
        put_number(response, "X-HyperMesh-Block-Age", answer->age_ms);
    }
    if (answer->replayed)
        (void)MHD_add_response_header(response, "Idempotency-Replayed", "true");
    if (answer->allow)
        (void)MHD_add_response_header(response, "Allow", answer->allow);
    if (answer->ask_token)
        (void)MHD_add_response_header(response, "WWW-Authenticate", "Bearer realm=\"hypermesh\"");
    if (answer->status == 429 || answer->status == 503 || answer->retry)
        (void)MHD_add_response_header(response, "Retry-After", retry_after);
    if (last)
        (void)MHD_add_response_header(response, "Connection", "close");
}

static enum MHD_Result queue_answer(struct visit *visit, struct MHD_Connection *connection,
                                    struct api_response *answer, bool last)
{
    struct MHD_Response *response = answer->stream ? stream_response(visit, answer)
                                                   : body_response(answer);
    enum MHD_Result queued;

    if (!response)
        return MHD_NO; /* out of memory: the connection closes */
    put_headers(response, answer, last);
    queued = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return queued;
}

/* --- requests --------------------------------------------------------------------------------- */

static const char *header_of(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

struct header_slot {
    const char *name;
    const char **slot;
};

/* One pass over the headers instead of a search for each. The first of several counts. */
static enum MHD_Result take_header(void *ctx, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    struct header_slot *slots = ctx;

    (void)kind;
    for (struct header_slot *at = slots; at->name; at++) {
        if (!*at->slot && strcasecmp(at->name, name) == 0) {
            *at->slot = value ? value : "";
            break;
        }
    }
    return MHD_YES;
}

/* Pointers into the connection's memory, good until the request is over. */
static void request_of(struct visit *visit, struct MHD_Connection *connection, const char *method,
                       struct api_request *out)
{
    struct header_slot slots[] = {{"Host", &out->host},
                                  {"Origin", &out->origin},
                                  {"Authorization", &out->authorization},
                                  {"Content-Type", &out->content_type},
                                  {"If-Match", &out->if_match},
                                  {"If-None-Match", &out->if_none_match},
                                  {"Last-Event-ID", &out->last_event_id},
                                  {"Idempotency-Key", &out->idempotency_key},
                                  {"traceparent", &out->traceparent},
                                  {NULL, NULL}};

    *out = (struct api_request){
        .method = method,
        .target = visit->target,
        .transport = visit->door->transport,
        .peer_known = visit->conn && visit->conn->known,
        .peer_uid = visit->conn ? visit->conn->uid : (uid_t)-1,
        .gone = visit->conn ? &visit->conn->gone : NULL,
        .body = hm_buf_slice(&visit->body),
    };
    (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, take_header, slots);
}

static enum MHD_Result count_header(void *ctx, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    unsigned *count = ctx;

    (void)kind;
    (void)name;
    (void)value;
    (*count)++;
    return MHD_YES;
}

/* False: *answer is the refusal. What does not even fit the connection's memory the library
 * refuses by itself, with the same status. */
static bool head_is_small(struct MHD_Connection *connection, struct api_response *answer)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    unsigned count = 0;
    char sentence[96];

    (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, count_header, &count);
    if (count <= API_HEADERS_MAX && info && info->header_size <= API_HEADER_MAX_BYTES)
        return true;
    (void)snprintf(sentence, sizeof(sentence),
                   "a request has at most %d headers of %d bytes together", API_HEADERS_MAX,
                   API_HEADER_MAX_BYTES);
    api_core_refuse(answer, 431, HM_ELIMIT, sentence, NULL);
    return false;
}

/* Requests that say how much will come are refused before it comes. */
static enum MHD_Result request_begin(struct visit *visit, struct MHD_Connection *connection,
                                     const char *method)
{
    const char *announced = header_of(connection, "Content-Length");
    struct api_response answer = {0};
    enum MHD_Result queued = MHD_YES;
    uint64_t length = 0;

    visit->begun = true;
    api_conn_enter(visit->conn, API_PHASE_BODY);
    visit->started_ns = hm_mono_ns(visit->server->core.clock);
    if (announced && hm_u64_parse(announced, &length, NULL))
        length = UINT64_MAX;
    if (!head_is_small(connection, &answer)) {
        queued = queue_answer(visit, connection, &answer, true);
        api_response_release(&answer);
        return queued;
    }
    if (length == 0 && !header_of(connection, "Transfer-Encoding"))
        return MHD_YES;
    request_of(visit, connection, method, &visit->request);
    visit->judged = true;
    if (!api_core_admit(&visit->server->core, &visit->request, length, &answer, &visit->manner))
        queued = queue_answer(visit, connection, &answer, true);
    api_response_release(&answer);
    return queued;
}

static enum MHD_Result request_receive(struct visit *visit, const char *data, size_t *size)
{
    visit->received += *size;
    if (visit->received > DISCARD_MAX_BYTES)
        return MHD_NO;
    if (visit->received <= API_BODY_MAX_BYTES && api_body_append(&visit->body, data, *size))
        return MHD_NO;
    *size = 0;
    return MHD_YES;
}

static void refuse(struct api_server *server, unsigned status, int code, const char *sentence,
                   struct api_response *answer)
{
    api_core_refuse(answer, status, code, sentence, NULL);
    api_metrics_count(&server->core.metrics, API_METRIC_NO_ROUTE, status, 0);
}

/* More connections than there should be, of all or of this peer: only what watches the node is answered, and they close. */
static bool door_is_full(const struct visit *visit)
{
    unsigned max = visit->server->connections_max;

    return atomic_load(&visit->door->connections) > max ||
           (visit->conn &&
            atomic_load(&visit->conn->peer->connections) > max - max / API_PEER_SPARE);
}

static bool watches_the_node(const char *target)
{
    return strcmp(target, "/livez") == 0 || strcmp(target, "/readyz") == 0;
}

/* What is refused whatever is asked for. False: *answer is the refusal. */
static bool may_enter(struct visit *visit, struct api_response *answer)
{
    struct api_server *server = visit->server;
    uint64_t caller = (uint64_t)visit->door->transport << 32 |
                      (visit->conn && visit->conn->known ? visit->conn->uid : 0);

    if (visit->received > API_BODY_MAX_BYTES)
        refuse(server, 413, HM_ELIMIT, "the body is longer than 2 MiB", answer);
    else if (door_is_full(visit) && !watches_the_node(visit->target))
        refuse(server, 503, HM_EBUSY,
               "too many connections are open; close some, or ask again later", answer);
    else if (atomic_load(&server->core.closing))
        refuse(server, 503, HM_EBUSY, "the node is stopping", answer);
    else if (!watches_the_node(visit->target) &&
             !api_rate_take(&server->rate, caller, visit->started_ns))
        refuse(server, 429, HM_ELIMIT, "too many requests; ask again in a second", answer);
    else
        return true;
    return false;
}
_Static_assert(API_BODY_MAX_BYTES == (size_t)2 << 20, "may_enter says how much");

/* On a thread of the pool. The connection sleeps: the visit is ours until it is resumed. */
static void visit_work(struct api_work *work)
{
    struct visit *visit = (struct visit *)(void *)work;

    api_core_handle(&visit->server->core, &visit->request, &visit->answer);
    api_loop_resume(visit->loop, visit->connection);
}

static void refuse_more(struct visit *visit)
{
    refuse(visit->server, 503, HM_EBUSY, "the node has too many requests under way; ask again",
           &visit->answer);
}

/* The connection sleeps, and comes back for the answer. */
static void put_into_pool(struct visit *visit)
{
    visit->work.run = visit_work;
    if (api_pool_put(visit->server->pool, &visit->work) == 0)
        return;
    refuse_more(visit);
    api_loop_resume(visit->loop, visit->connection);
}

static void hand_to_pool(struct visit *visit)
{
    visit->away = true;
    MHD_suspend_connection(visit->connection);
    put_into_pool(visit);
}

/* --- acts that go on without a thread --------------------------------------------------------- */

static struct visit *visit_of_later(struct api_later *later)
{
    return (struct visit *)(void *)((char *)later - offsetof(struct visit, later));
}

static void later_leads(struct api_later *later)
{
    struct visit *visit = visit_of_later(later);

    api_loop_post(visit->loop, &visit->lead);
}

static void later_is_done(struct api_later *later)
{
    struct visit *visit = visit_of_later(later);

    api_loop_post(visit->loop, &visit->done);
}

static void lead_task(struct api_task *task)
{
    struct visit *visit = (struct visit *)(void *)((char *)task - offsetof(struct visit, lead));
    const struct api_backend *backend = visit->server->core.backend;

    backend->later_lead(backend->ctx, &visit->later);
}

static void done_task(struct api_task *task)
{
    struct visit *visit = (struct visit *)(void *)((char *)task - offsetof(struct visit, done));

    struct api_server *server = visit->server;

    if (api_core_end(HM_TAKE(visit->pending)))
        api_loop_resume(visit->loop, visit->connection);
    else
        put_into_pool(visit);
    atomic_fetch_sub(&server->later, 1);
}

/* True: the connection sleeps, or will. False: the answer is there. */
static bool begin_later(struct visit *visit)
{
    struct api_server *server = visit->server;

    visit->later = (struct api_later){.lead = later_leads, .done = later_is_done};
    visit->lead.run = lead_task;
    visit->done.run = done_task;
    if (atomic_fetch_add(&server->later, 1) >= API_LATER_MAX) {
        atomic_fetch_sub(&server->later, 1);
        refuse_more(visit);
        return false;
    }
    switch (api_core_begin(&server->core, &visit->request, &visit->answer, &visit->later,
                           &visit->pending)) {
    case API_BEGUN: /* what it leaves to this loop comes after this turn */
        visit->away = true;
        MHD_suspend_connection(visit->connection);
        return true;
    case API_WAITS:
        atomic_fetch_sub(&server->later, 1);
        hand_to_pool(visit);
        return true;
    default:
        atomic_fetch_sub(&server->later, 1);
        return false;
    }
}

static enum MHD_Result send_answer(struct visit *visit)
{
    bool last = atomic_load(&visit->server->core.closing) || door_is_full(visit);
    enum MHD_Result queued;

    api_conn_enter(visit->conn, API_PHASE_SEND);
    queued = queue_answer(visit, visit->connection, &visit->answer, last);
    api_response_release(&visit->answer);
    return queued;
}

static enum MHD_Result request_finish(struct visit *visit, struct MHD_Connection *connection,
                                      const char *method)
{
    struct api_server *server = visit->server;

    if (visit->away) { /* resumed: the answer is there */
        visit->away = false;
        return send_answer(visit);
    }
    visit->busy = true;
    api_conn_enter(visit->conn, API_PHASE_WORK);
    atomic_fetch_add(&server->busy, 1);
    request_of(visit, connection, method, &visit->request);
    if (!may_enter(visit, &visit->answer))
        return send_answer(visit);
    switch (visit->judged ? visit->manner : api_core_manner(&visit->request)) {
    case API_MANNER_QUICK:
        api_core_handle(&server->core, &visit->request, &visit->answer);
        return send_answer(visit);
    case API_MANNER_LATER:
        return begin_later(visit) ? MHD_YES : send_answer(visit);
    default:
        hand_to_pool(visit);
        return MHD_YES;
    }
}

enum MHD_Result api_visit_on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                     const char *method, const char *version, const char *data,
                                     size_t *size, void **context)
{
    struct visit *visit = *context;

    (void)ctx;
    (void)url;
    (void)version;
    if (!visit || !visit->target || !visit->conn)
        return MHD_NO; /* no memory for it */
    if (!visit->begun)
        return request_begin(visit, connection, method);
    if (*size > 0)
        return request_receive(visit, data, size);
    return request_finish(visit, connection, method);
}

/* First sight of a request: its target as it was sent. */
void *api_visit_on_target(void *ctx, const char *target, struct MHD_Connection *connection)
{
    struct visit *visit = hm_calloc(1, sizeof(*visit));

    if (!visit)
        return NULL;
    visit->loop = ctx;
    visit->door = visit->loop->door;
    visit->server = visit->door->server;
    visit->connection = connection;
    visit->conn = conn_of(connection);
    visit->target = hm_strdup(target);
    api_conn_enter(visit->conn, API_PHASE_HEADER);
    return visit;
}

void api_visit_on_completed(void *ctx, struct MHD_Connection *connection, void **context,
                            enum MHD_RequestTerminationCode how)
{
    struct visit *visit = *context;

    (void)ctx;
    (void)connection;
    (void)how;
    if (!visit)
        return;
    api_conn_enter(visit->conn, API_PHASE_IDLE);
    if (visit->busy)
        atomic_fetch_sub(&visit->server->busy, 1);
    api_response_release(&visit->answer);
    api_body_release(&visit->body);
    hm_free(visit->target);
    hm_free(visit);
    *context = NULL;
}
