/* One connection to the engine's RPC: bytes out, an answer in, within a time. */
#include "engine_rpc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "json.h"

#define RPC_NS_PER_MS  UINT64_C(1000000)
#define RPC_READ_BYTES ((size_t)64 << 10)
#define RPC_CODE_MAX   100 /* codes of CheckTx above it are not ours */

struct engine_rpc {
    char path[ENGINE_RPC_PATH_MAX_BYTES + 1];
    int fd; /* -1: not connected */
    int stop_fd; /* readable for ever once engine_rpc_stop was called */
    bool used; /* the connection has answered before: it may have ended meanwhile */
    uint64_t number; /* of the last call */
    struct hm_buf out, in, body;
};

static uint64_t rpc_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / RPC_NS_PER_MS;
}

/* --- life -------------------------------------------------------------------------------------------------- */

int engine_rpc_new(const char *path, struct engine_rpc **out, struct hm_error *error)
{
    size_t len = strlen(path);

    if (len == 0 || len > ENGINE_RPC_PATH_MAX_BYTES)
        return hm_fail(error, HM_EINVAL, "%s: the path of a socket has 1 to %d bytes, this has %zu",
                       path, ENGINE_RPC_PATH_MAX_BYTES, len);
    struct engine_rpc *rpc = hm_calloc(1, sizeof(*rpc));
    if (rpc == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the engine's client");
    memcpy(rpc->path, path, len + 1);
    rpc->fd = -1;
    rpc->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (rpc->stop_fd < 0) {
        hm_free(rpc);
        return hm_fail_errno(error, HM_EIO, "no descriptor for the engine's client");
    }
    *out = rpc;
    return 0;
}

static void rpc_disconnect(struct engine_rpc *rpc)
{
    if (rpc->fd >= 0)
        close(rpc->fd);
    rpc->fd = -1;
    rpc->used = false;
    hm_buf_clear(&rpc->in);
}

void engine_rpc_free(struct engine_rpc *rpc)
{
    if (rpc == NULL)
        return;
    rpc_disconnect(rpc);
    close(rpc->stop_fd);
    hm_buf_release(&rpc->out);
    hm_buf_release(&rpc->in);
    hm_buf_release(&rpc->body);
    hm_free(rpc);
}

void engine_rpc_stop(struct engine_rpc *rpc)
{
    const uint64_t one = 1;

    (void)!write(rpc->stop_fd, &one, sizeof(one));
}

/* --- bytes ------------------------------------------------------------------------------------------------- */

static int rpc_broken(const struct engine_rpc *rpc, struct hm_error *error)
{
    return hm_fail_errno(error, HM_EIO, "the connection to the engine at %s broke", rpc->path);
}

static int rpc_connect(struct engine_rpc *rpc, struct hm_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (rpc->fd >= 0)
        return 0;
    memcpy(address.sun_path, rpc->path, strlen(rpc->path) + 1);
    rpc->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (rpc->fd < 0)
        return hm_fail_errno(error, HM_EIO, "no socket for the engine's client");
    if (connect(rpc->fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return 0;
    /* A full backlog, too: unix sockets do not wait here. */
    int rc = hm_fail_errno(error, HM_EUNAVAILABLE, "the engine does not answer at %s", rpc->path);
    rpc_disconnect(rpc);
    return rc;
}

/* Until the connection can be read (or written), the time is over, or stop. */
static int rpc_wait(struct engine_rpc *rpc, short events, uint64_t until_ms, struct hm_error *error)
{
    struct pollfd fds[2] = {{.fd = rpc->fd, .events = events},
                            {.fd = rpc->stop_fd, .events = POLLIN}};

    for (;;) {
        uint64_t now_ms = rpc_now_ms();
        int wait_ms = now_ms < until_ms ? (int)(until_ms - now_ms) : 0;
        int ready = poll(fds, 2, wait_ms);

        if (ready < 0 && errno != EINTR)
            return hm_fail_errno(error, HM_EIO, "cannot wait for the engine");
        if (ready > 0 && fds[1].revents != 0)
            return hm_fail(error, HM_ECANCELLED, "the node is stopping");
        if (ready > 0)
            return 0;
        if (ready == 0 && wait_ms == 0)
            return hm_fail(error, HM_ETIMEOUT, "the engine did not answer in time at %s",
                           rpc->path);
    }
}

static int rpc_send(struct engine_rpc *rpc, uint64_t until_ms, struct hm_error *error)
{
    size_t sent = 0;
    int rc = 0;

    while (rc == 0 && sent < rpc->out.len) {
        ssize_t n = send(rpc->fd, rpc->out.data + sent, rpc->out.len - sent, MSG_NOSIGNAL);

        if (n >= 0)
            sent += (size_t)n;
        else if (errno == EAGAIN)
            rc = rpc_wait(rpc, POLLOUT, until_ms, error);
        else if (errno != EINTR)
            rc = rpc_broken(rpc, error);
    }
    return rc;
}

/* Appends what has arrived. */
static int rpc_receive(struct engine_rpc *rpc, uint64_t until_ms, struct hm_error *error)
{
    if (hm_buf_reserve(&rpc->in, RPC_READ_BYTES) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for the engine's answer");
    for (;;) {
        int rc = rpc_wait(rpc, POLLIN, until_ms, error);

        if (rc != 0)
            return rc;
        ssize_t n = recv(rpc->fd, rpc->in.data + rpc->in.len, RPC_READ_BYTES, 0);
        if (n > 0) {
            rpc->in.len += (size_t)n;
            return 0;
        }
        if (n == 0)
            return hm_fail(error, HM_EIO, "the engine closed its connection at %s", rpc->path);
        if (errno != EAGAIN && errno != EINTR)
            return rpc_broken(rpc, error);
    }
}

static int rpc_answer(struct engine_rpc *rpc, uint64_t until_ms, struct hm_error *error)
{
    struct engine_http_answer answer;
    int rc = 0;

    hm_buf_clear(&rpc->body);
    while (rc == 0) {
        rc = rpc_receive(rpc, until_ms, error);
        if (rc == 0)
            rc = engine_http_parse(hm_buf_slice(&rpc->in), &answer, &rpc->body, error);
    }
    if (rc < 0)
        return rc;
    if (!answer.keep || answer.bytes != rpc->in.len)
        rpc_disconnect(rpc);
    else
        rpc->used = true;
    return 0;
}

/* The request in `out`, its answer's body in `body`. */
static int rpc_exchange(struct engine_rpc *rpc, uint64_t timeout_ms, struct hm_error *error)
{
    uint64_t until_ms = rpc_now_ms() + timeout_ms;
    bool used = rpc->used;

    hm_buf_clear(&rpc->in);
    int rc = rpc_connect(rpc, error);

    if (rc == 0)
        rc = rpc_send(rpc, until_ms, error);
    if (rc == 0)
        rc = rpc_answer(rpc, until_ms, error);
    if (rc == 0)
        return 0;
    bool idle = used && rpc->in.len == 0 && rc == HM_EIO;
    rpc_disconnect(rpc);
    return idle ? rpc_exchange(rpc, timeout_ms, error) : rc;
}

/* --- JSON-RPC ---------------------------------------------------------------------------------------------- */

static int rpc_request(struct engine_rpc *rpc, const char *method, struct hm_slice params)
{
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    int rc = hm_buf_printf(&body, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"method\":\"%s\",\"params\":",
                           (unsigned long long)++rpc->number, method);

    if (rc == 0)
        rc = hm_buf_append(&body, params.data, params.len);
    if (rc == 0)
        rc = hm_buf_append_str(&body, "}");
    hm_buf_clear(&rpc->out);
    if (rc == 0)
        rc = hm_buf_printf(&rpc->out,
                           "POST / HTTP/1.1\r\nHost: engine\r\nContent-Type: application/json\r\n"
                           "Content-Length: %zu\r\n\r\n",
                           body.len);
    return rc == 0 ? hm_buf_append(&rpc->out, body.data, body.len) : rc;
}

const char *engine_rpc_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text == NULL ? "" : text;
}

uint64_t engine_rpc_number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    uint64_t number = 0;

    if (json_is_integer(value))
        return json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
    if (!json_is_string(value) || hm_u64_parse(json_string_value(value), &number, NULL) != 0)
        return 0;
    return number;
}

/* {"jsonrpc", "id", "result"} or {..., "error": {"code", "message", "data"}}. */
static int rpc_unwrap(const struct engine_rpc *rpc, json_t **result, struct hm_error *error)
{
    HM_CLEANUP(json) json_t *root = NULL;
    int rc = json_read(hm_buf_slice(&rpc->body), ENGINE_RPC_DEPTH_MAX, "the engine's answer", &root,
                       error);

    if (rc != 0)
        return rc == HM_ENOMEM ? rc : hm_error_prefix(error, HM_EPARSE, "the engine's RPC");
    if (engine_rpc_number(root, "id") != rpc->number)
        return hm_fail(error, HM_EPARSE, "the engine's RPC answers something else than was asked");
    const json_t *fault = json_object_get(root, "error");
    if (json_is_object(fault)) {
        const char *data = engine_rpc_text(fault, "data");

        (void)hm_fail(error, HM_ECONFLICT, "%.100s%s%.250s", engine_rpc_text(fault, "message"),
                      data[0] != '\0' ? ": " : "", data);
        if (error != NULL)
            hm_text_clean(error->text);
        return HM_ECONFLICT;
    }
    json_t *value = json_object_get(root, "result");
    if (!json_is_object(value))
        return hm_fail(error, HM_EPARSE, "the engine's RPC answers without a result");
    *result = json_incref(value);
    return 0;
}

int engine_rpc_call(struct engine_rpc *rpc, const char *method, struct hm_slice params,
                    uint64_t timeout_ms, json_t **result, struct hm_error *error)
{
    if (rpc_request(rpc, method, params) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to ask the engine");
    int rc = rpc_exchange(rpc, timeout_ms, error);
    if (rc == 0)
        rc = rpc_unwrap(rpc, result, error);
    if (rc == HM_EPARSE || rc == HM_ELIMIT)
        rpc_disconnect(rpc);
    return rc;
}

/* --- broadcast --------------------------------------------------------------------------------------------- */

/* The engine's own words (its mempool/errors.go, mempool/mempool.go). */
static const struct {
    const char *words;
    enum engine_rpc_fate fate;
    int code;
} rpc_refusals[] = {
    {"tx already exists in cache", ENGINE_RPC_TAKEN, 0},
    {"mempool is full", ENGINE_RPC_FULL, 0},
    {"considered as full", ENGINE_RPC_FULL, 0},
    {"Tx too large", ENGINE_RPC_REFUSED, HM_ELIMIT},
    {"tx pre check", ENGINE_RPC_REFUSED, HM_ELIMIT},
    {"tx size is too big", ENGINE_RPC_REFUSED, HM_ELIMIT},
};

static int rpc_fate_of_refusal(const struct hm_error *error, enum engine_rpc_fate *fate, int *code)
{
    for (size_t i = 0; i < HM_COUNT_OF(rpc_refusals); i++) {
        if (strstr(error->text, rpc_refusals[i].words) == NULL)
            continue;
        *fate = rpc_refusals[i].fate;
        *code = rpc_refusals[i].code;
        return 0;
    }
    return HM_ECONFLICT;
}

static int rpc_broadcast_params(struct hm_slice item, struct hm_buf *out)
{
    int rc = hm_buf_append_str(out, "{\"tx\":\"");

    if (rc == 0)
        rc = hm_base64_encode(item.data, item.len, out);
    return rc == 0 ? hm_buf_append_str(out, "\"}") : rc;
}

int engine_rpc_broadcast(struct engine_rpc *rpc, struct hm_slice item, uint64_t timeout_ms,
                         enum engine_rpc_fate *fate, int *code, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf params = {0};
    HM_CLEANUP(json) json_t *result = NULL;
    struct hm_error own = {0};

    if (error == NULL)
        error = &own;
    if (rpc_broadcast_params(item, &params) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to hand a batch to the engine");
    int rc = engine_rpc_call(rpc, "broadcast_tx_sync", hm_buf_slice(&params), timeout_ms, &result,
                             error);
    if (rc == HM_ECONFLICT)
        return rpc_fate_of_refusal(error, fate, code);
    if (rc != 0)
        return rc;
    uint64_t refused = engine_rpc_number(result, "code");
    *fate = refused == 0 ? ENGINE_RPC_TAKEN : ENGINE_RPC_REFUSED;
    if (refused == 0)
        return 0;
    *code = refused < RPC_CODE_MAX ? -(int)refused : HM_EINVAL;
    (void)hm_fail(error, *code, "%.300s", engine_rpc_text(result, "log"));
    hm_text_clean(error->text);
    return 0;
}
