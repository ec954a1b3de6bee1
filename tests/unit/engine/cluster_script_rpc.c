/* The scripted engine's RPC: HTTP/1.1 on a unix socket, a few methods. */
#include "cluster_script.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RPC_CONNECTIONS 4
#define RPC_MESSAGE_MAX ((size_t)16 << 20)

struct conn {
    int fd; /* -1: none */
    struct hm_buf in;
};

/* --- answers --------------------------------------------------------------------------------------------------- */

static void send_all(int fd, const void *data, size_t len)
{
    size_t sent = 0;

    while (sent < len) {
        ssize_t n = send(fd, (const char *)data + sent, len - sent, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        sent += (size_t)n;
    }
}

static void send_answer(struct script_rpc *rpc, int fd, const char *body)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    size_t len = strlen(body);

    if (rpc->chunked) {
        assert_int_equal(hm_buf_append_str(&out,
                                           "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                           "Transfer-Encoding: chunked\r\n\r\n"),
                         0);
        for (size_t at = 0; at < len; at += 7) {
            size_t piece = len - at < 7 ? len - at : 7;

            assert_int_equal(hm_buf_printf(&out, "%zx\r\n%.*s\r\n", piece, (int)piece, body + at),
                             0);
        }
        assert_int_equal(hm_buf_append_str(&out, "0\r\n\r\n"), 0);
    } else {
        assert_int_equal(
            hm_buf_printf(&out, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", len, body), 0);
    }
    send_all(fd, out.data, out.len);
}

static void send_result(struct script_rpc *rpc, int fd, json_int_t id, const char *result)
{
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};

    assert_int_equal(hm_buf_printf(&body, "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"result\":%s}",
                                   (long long)id, result),
                     0);
    send_answer(rpc, fd, hm_buf_cstr(&body));
}

static void send_error(struct script_rpc *rpc, int fd, json_int_t id, const char *data)
{
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};

    assert_int_equal(hm_buf_printf(&body,
                                   "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"error\":{\"code\":-32603,"
                                   "\"message\":\"Internal error\",\"data\":\"%s\"}}",
                                   (long long)id, data),
                     0);
    send_answer(rpc, fd, hm_buf_cstr(&body));
}

/* --- broadcast_tx_sync ------------------------------------------------------------------------------------------- */

static bool cache_has(const struct script_rpc *rpc, struct hm_slice item)
{
    for (size_t i = 0; i < rpc->cache_count; i++)
        if (hm_slice_equal(hm_buf_slice(&rpc->cache[i]), item))
            return true;
    return false;
}

/* Under the lock. */
static void pool_add(struct script_rpc *rpc, struct hm_slice item, bool pool)
{
    if (rpc->cache_count < SCRIPT_ITEMS_MAX)
        (void)!hm_buf_append(&rpc->cache[rpc->cache_count++], item.data, item.len);
    if (!pool || rpc->item_count >= SCRIPT_ITEMS_MAX)
        return;
    rpc->items[rpc->item_count] = (struct hm_buf){0};
    (void)!hm_buf_append(&rpc->items[rpc->item_count++], item.data, item.len);
    rpc->taken++;
}

static uint32_t check_tx(struct script_rpc *rpc, struct hm_slice item, char *log, size_t log_size)
{
    Hypermesh__Abci__RequestCheckTx request = HYPERMESH__ABCI__REQUEST_CHECK_TX__INIT;
    Hypermesh__Abci__ResponseCheckTx answer = HYPERMESH__ABCI__RESPONSE_CHECK_TX__INIT;
    struct hm_arena arena;
    struct hm_error error = {0};

    hm_arena_init(&arena, 0);
    request.tx = wire_bytes(item.data, item.len);
    pthread_mutex_lock(&rpc->calls);
    if (rpc->handlers != NULL &&
        rpc->handlers->check_tx(rpc->handlers->ctx, &request, &arena, &answer, &error) != 0)
        answer.code = 99;
    pthread_mutex_unlock(&rpc->calls);
    snprintf(log, log_size, "%s", answer.log);
    hm_arena_release(&arena);
    return answer.code;
}

static enum script_mood take_mood(struct script_rpc *rpc)
{
    enum script_mood mood = rpc->mood_left > 0 ? rpc->mood : SCRIPT_GOOD;

    if (rpc->mood_left > 0)
        rpc->mood_left--;
    return mood;
}

static void answer_broadcast(struct script_rpc *rpc, struct conn *conn, json_int_t id,
                             struct hm_slice item)
{
    char log[HM_ERROR_TEXT_BYTES], result[HM_ERROR_TEXT_BYTES + 100];
    uint32_t code = 0;

    pthread_mutex_lock(&rpc->lock);
    enum script_mood mood = take_mood(rpc);
    bool known = cache_has(rpc, item);
    pthread_mutex_unlock(&rpc->lock);
    log[0] = '\0';
    if (mood == SCRIPT_REFUSES) {
        code = (uint32_t)-HM_EPROOF_SPACE;
        snprintf(log, sizeof(log), "the script says no");
    } else if (mood != SCRIPT_FULL && !known) {
        code = check_tx(rpc, item, log, sizeof(log));
    }
    pthread_mutex_lock(&rpc->lock);
    rpc->broadcasts++;
    rpc->notes += ledger_item_is_note(item);
    if (code == 0 && !known && mood != SCRIPT_FULL)
        pool_add(rpc, item, mood != SCRIPT_FORGETS);
    pthread_cond_broadcast(&rpc->changed);
    pthread_mutex_unlock(&rpc->lock);
    snprintf(result, sizeof(result), "{\"code\":%u,\"data\":\"\",\"log\":\"%s\",\"hash\":\"AB\"}",
             code, log);
    if (mood == SCRIPT_FULL)
        send_error(rpc, conn->fd, id,
                   "mempool is full: number of txs 5000 (max: 5000), total txs bytes 1 (max: 2)");
    else if (mood == SCRIPT_RUBBISH)
        send_all(conn->fd, "what?\r\n\r\n", 9);
    else if (mood == SCRIPT_DROPS)
        shutdown(conn->fd, SHUT_RDWR);
    else if (mood == SCRIPT_MUTE)
        return;
    else if (known)
        send_error(rpc, conn->fd, id, "tx already exists in cache");
    else
        send_result(rpc, conn->fd, id, result);
}

static void answer_method(struct script_rpc *rpc, struct conn *conn, const json_t *root)
{
    const char *method = json_string_value(json_object_get(root, "method"));
    const json_t *params = json_object_get(root, "params");
    json_int_t id = json_integer_value(json_object_get(root, "id"));
    HM_CLEANUP(hm_buf) struct hm_buf item = {0};

    assert_non_null(method);
    if (strcmp(method, "broadcast_tx_sync") == 0) {
        const char *tx = json_string_value(json_object_get(params, "tx"));

        assert_int_equal(hm_base64_decode(tx, strlen(tx), &item, NULL), 0);
        answer_broadcast(rpc, conn, id, hm_buf_slice(&item));
    } else if ((strcmp(method, "commit") == 0 && rpc->no_commits) ||
               (strcmp(method, "status") == 0 && rpc->no_status)) {
        atomic_fetch_add(&rpc->unanswered, 1);
    } else if (strcmp(method, "status") == 0) {
        send_result(
            rpc, conn->fd, id,
            rpc->retired
                ? "{\"node_info\":{\"version\":\"0.38.25\"},\"sync_info\":{\"latest_block_height\":"
                  "\"77\",\"catching_up\":true},\"validator_info\":{\"voting_power\":\"0\"}}"
                : "{\"node_info\":{\"version\":\"0.38.25\"},\"sync_info\":{\"latest_block_height\":"
                  "\"77\",\"catching_up\":true},\"validator_info\":{\"voting_power\":\"10\"}}");
    } else if (strcmp(method, "net_info") == 0) {
        send_result(rpc, conn->fd, id, "{\"listening\":true,\"n_peers\":\"3\",\"peers\":[]}");
    } else if (strcmp(method, "commit") == 0 && rpc->answer_commit[0] != '\0') {
        send_result(rpc, conn->fd, id, rpc->answer_commit);
    } else if (strcmp(method, "consensus_state") == 0 && rpc->answer_round[0] != '\0') {
        atomic_fetch_add(&rpc->rounds, 1);
        send_result(rpc, conn->fd, id, rpc->answer_round);
    } else if (strcmp(method, "validators") == 0 && rpc->answer_validators[0] != '\0') {
        send_result(rpc, conn->fd, id, rpc->answer_validators);
    } else {
        send_error(rpc, conn->fd, id,
                   "height 5 must be less than or equal to the current height 4");
    }
}

/* --- the server --------------------------------------------------------------------------------------------------- */

/* One request when it is whole; bytes of it, or 0. */
static size_t serve_request(struct script_rpc *rpc, struct conn *conn)
{
    const char *text = hm_buf_cstr(&conn->in);
    const char *end = strstr(text, "\r\n\r\n");
    const char *length = strstr(text, "Content-Length: ");

    if (end == NULL || length == NULL)
        return 0;
    size_t head = (size_t)(end - text) + 4;
    size_t body = strtoul(length + 16, NULL, 10);
    if (conn->in.len < head + body)
        return 0;
    json_t *root = json_loadb(text + head, body, 0, NULL);
    assert_non_null(root);
    answer_method(rpc, conn, root);
    json_decref(root);
    if (rpc->impatient)
        shutdown(conn->fd, SHUT_RDWR);
    return head + body;
}

static void conn_close(struct conn *conn)
{
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
    hm_buf_release(&conn->in);
}

static void conn_read(struct script_rpc *rpc, struct conn *conn)
{
    ssize_t n = -1;

    if (hm_buf_reserve(&conn->in, 65536) == 0)
        n = recv(conn->fd, conn->in.data + conn->in.len, 65536, 0);
    if (n <= 0 || conn->in.len > RPC_MESSAGE_MAX) {
        conn_close(conn);
        return;
    }
    conn->in.len += (size_t)n;
    size_t used = serve_request(rpc, conn);
    memmove(conn->in.data, conn->in.data + used, conn->in.len - used);
    conn->in.len -= used;
}

static void *rpc_main(void *arg)
{
    struct conn conns[RPC_CONNECTIONS];
    struct script_rpc *rpc = arg;
    bool stopping = false;

    for (size_t i = 0; i < RPC_CONNECTIONS; i++)
        conns[i] = (struct conn){.fd = -1};
    while (!stopping) {
        struct pollfd fds[RPC_CONNECTIONS + 2] = {{.fd = rpc->stop[0], .events = POLLIN},
                                                  {.fd = rpc->listener, .events = POLLIN}};

        for (size_t i = 0; i < RPC_CONNECTIONS; i++)
            fds[i + 2] = (struct pollfd){.fd = conns[i].fd, .events = POLLIN};
        if (poll(fds, RPC_CONNECTIONS + 2, -1) < 0)
            continue;
        stopping = fds[0].revents != 0;
        for (size_t i = 0; i < RPC_CONNECTIONS; i++)
            if (conns[i].fd >= 0 && fds[i + 2].revents != 0)
                conn_read(rpc, &conns[i]);
        if (fds[1].revents == 0)
            continue;
        size_t free_conn = 0;
        while (free_conn < RPC_CONNECTIONS && conns[free_conn].fd >= 0)
            free_conn++;
        if (free_conn == RPC_CONNECTIONS)
            conn_close(&conns[--free_conn]);
        conns[free_conn].fd = accept(rpc->listener, NULL, NULL);
    }
    for (size_t i = 0; i < RPC_CONNECTIONS; i++)
        conn_close(&conns[i]);
    return NULL;
}

void script_rpc_open(struct script *script)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct script_rpc *rpc = &script->rpc;

    memcpy(address.sun_path, rpc->path, strlen(rpc->path) + 1);
    rpc->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(rpc->listener >= 0);
    (void)unlink(rpc->path);
    assert_int_equal(bind(rpc->listener, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(rpc->listener, 16), 0);
    assert_int_equal(pipe(rpc->stop), 0);
    assert_int_equal(pthread_create(&rpc->thread, NULL, rpc_main, rpc), 0);
    rpc->open = true;
}

void script_rpc_close(struct script *script)
{
    struct script_rpc *rpc = &script->rpc;

    if (!rpc->open)
        return;
    assert_int_equal(write(rpc->stop[1], "x", 1), 1);
    pthread_join(rpc->thread, NULL);
    close(rpc->stop[0]);
    close(rpc->stop[1]);
    close(rpc->listener);
    (void)unlink(rpc->path);
    rpc->open = false;
}

void script_mood(struct script *script, enum script_mood mood, unsigned times)
{
    pthread_mutex_lock(&script->rpc.lock);
    script->rpc.mood = mood;
    script->rpc.mood_left = times;
    pthread_mutex_unlock(&script->rpc.lock);
}

void script_wait_items(struct script *script, size_t count)
{
    pthread_mutex_lock(&script->rpc.lock);
    while (script->rpc.item_count < count)
        pthread_cond_wait(&script->rpc.changed, &script->rpc.lock);
    pthread_mutex_unlock(&script->rpc.lock);
}

void script_wait_broadcasts(struct script *script, unsigned count)
{
    pthread_mutex_lock(&script->rpc.lock);
    while (script->rpc.broadcasts < count)
        pthread_cond_wait(&script->rpc.changed, &script->rpc.lock);
    pthread_mutex_unlock(&script->rpc.lock);
}

unsigned script_broadcasts(struct script *script)
{
    pthread_mutex_lock(&script->rpc.lock);
    unsigned count = script->rpc.broadcasts;
    pthread_mutex_unlock(&script->rpc.lock);
    return count;
}

unsigned script_notes(struct script *script)
{
    pthread_mutex_lock(&script->rpc.lock);
    unsigned count = script->rpc.notes;
    pthread_mutex_unlock(&script->rpc.lock);
    return count;
}

void script_add_item(struct script *script, struct hm_slice item)
{
    pthread_mutex_lock(&script->rpc.lock);
    pool_add(&script->rpc, item, true);
    pthread_mutex_unlock(&script->rpc.lock);
}
