#include "nexus_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>

#include "nexus.h"
#include "nexus_json.h"
#include "nexus_wipe.h"

#define WAIT_STEP_MS 1000

struct nexus_client {
    const struct nexus_place *place;
    char *authorization; /* header line; NULL on the socket */
    struct {
        uint64_t height, age_ms;
        bool has_height, has_age;
    } read_at; /* as the last answer's headers say */
};

/* One request on its way. */
struct exchange {
    struct nexus_client *client;
    const struct nexus_request *request;
    CURL *easy;
    struct curl_slist *headers;
    struct hm_buf sent;
    struct hm_buf body; /* collected: everything without `take`, refusals always */
    int rc; /* of a callback */
    struct hm_error *error;
};

static int token_read(const struct nexus_place *place, struct nexus_client *client,
                      struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    size_t len;
    int rc = hm_file_read(place->token_path, NEXUS_TOKEN_MAX_BYTES, &text, error);

    if (rc)
        return hm_error_prefix(error, rc, "the token for %s", place->url);
    len = text.len;
    while (len > 0 && (text.data[len - 1] == '\n' || text.data[len - 1] == '\r'))
        len--;
    for (size_t i = 0; i < len && !rc; i++)
        if (text.data[i] < 0x21 || text.data[i] > 0x7E)
            rc = hm_fail(error, HM_EPARSE, "%s does not hold a token", place->token_path);
    if (!rc && len == 0)
        rc = hm_fail(error, HM_EPARSE, "%s is empty", place->token_path);
    if (!rc) {
        client->authorization = hm_asprintf("Authorization: Bearer %.*s", (int)len,
                                            (const char *)text.data);
        if (!client->authorization)
            rc = hm_fail(error, HM_ENOMEM, "no memory for the token");
    }
    if (text.data)
        hm_wipe(text.data, text.len);
    return rc;
}

int nexus_client_open(const struct nexus_place *place, struct nexus_client **out,
                      struct hm_error *error)
{
    struct nexus_client *client = hm_calloc(1, sizeof(*client));
    int rc = 0;

    if (!client)
        return hm_fail(error, HM_ENOMEM, "no memory for the connection");
    client->place = place;
    /* No TLS here, so its start-up is saved. */
    if (curl_global_init_mem(CURL_GLOBAL_NOTHING, hm_malloc, nexus_wipe_free, hm_realloc, hm_strdup,
                             hm_calloc) != CURLE_OK)
        rc = hm_fail(error, HM_EINTERNAL, "libcurl does not start");
    if (!rc && place->url && place->token_path)
        rc = token_read(place, client, error);
    if (rc) {
        nexus_client_close(client);
        return rc;
    }
    *out = client;
    return 0;
}

void nexus_client_close(struct nexus_client *client)
{
    if (!client)
        return;
    if (client->authorization)
        hm_wipe(client->authorization, strlen(client->authorization));
    hm_free(client->authorization);
    hm_free(client);
    curl_global_cleanup();
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct exchange *x = ctx;
    size_t len = size * count;
    long status = 0;

    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    if (x->request->take && status < 300)
        x->rc = x->request->take(x->request->ctx, (const uint8_t *)data, len, x->error);
    else if (len > NEXUS_REPLY_MAX_BYTES - x->body.len)
        x->rc = hm_fail(x->error, HM_ELIMIT, "the node's answer is longer than %zu MiB",
                        NEXUS_REPLY_MAX_BYTES >> 20);
    else if ((!x->body.data && hm_buf_reserve(&x->body, NEXUS_WIPE_ROOM_BYTES) != 0) ||
             hm_buf_append(&x->body, data, len) != 0)
        x->rc = hm_fail(x->error, HM_ENOMEM, "no memory for the node's answer");
    return x->rc ? 0 : len;
}

static int add_header(struct exchange *x, const char *line)
{
    struct curl_slist *list = curl_slist_append(x->headers, line);

    if (!list)
        return hm_fail(x->error, HM_ENOMEM, "no memory for a request");
    x->headers = list;
    return 0;
}

static int set_body(struct exchange *x)
{
    const struct nexus_request *request = x->request;
    char type[128];
    int rc = 0;

    if (request->json) {
        char *text = json_dumps(request->json, JSON_COMPACT | JSON_ENCODE_ANY);

        if (!text || hm_buf_append_str(&x->sent, text) != 0)
            rc = hm_fail(x->error, HM_ENOMEM, "no memory for a request");
        nexus_wipe_free(text);
    } else if (request->bytes.len > 0) {
        if (hm_buf_append(&x->sent, request->bytes.data, request->bytes.len) != 0)
            rc = hm_fail(x->error, HM_ENOMEM, "no memory for a request");
    } else if (strcmp(request->method, "GET") == 0 || strcmp(request->method, "DELETE") == 0) {
        return 0;
    }
    if (rc)
        return rc;
    snprintf(type, sizeof(type), "Content-Type: %s",
             request->json || !request->type ? "application/json" : request->type);
    curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, x->sent.data ? (char *)x->sent.data : "");
    curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->sent.len);
    rc = add_header(x, "Expect:");
    return rc ? rc : add_header(x, type);
}

static bool header_number(struct hm_slice line, const char *name, uint64_t *out)
{
    size_t len = strlen(name);
    char digits[24];

    if (line.len <= len || strncasecmp((const char *)line.data, name, len) != 0)
        return false;
    const char *at = (const char *)line.data + len, *end = (const char *)line.data + line.len;
    while (at < end && *at == ' ')
        at++;
    while (end > at && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' '))
        end--;
    if ((size_t)(end - at) >= sizeof(digits))
        return false;
    memcpy(digits, at, (size_t)(end - at));
    digits[end - at] = '\0';
    return hm_u64_parse(digits, out, NULL) == 0;
}

/* One line; libcurl's form. */
static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
    struct hm_slice line = hm_slice_of((const uint8_t *)data, size * count);
    struct exchange *x = ctx;

    if (header_number(line, "X-HyperMesh-Height:", &x->client->read_at.height))
        x->client->read_at.has_height = true;
    if (header_number(line, "X-HyperMesh-Block-Age:", &x->client->read_at.age_ms))
        x->client->read_at.has_age = true;
    return size * count;
}

static int exchange_set_up(struct exchange *x, long timeout_ms)
{
    const struct nexus_place *place = x->client->place;
    HM_AUTOFREE char *url = hm_asprintf("%s%s", place->url ? place->url : "http://localhost",
                                        x->request->path);
    int rc;

    x->easy = curl_easy_init();
    if (!x->easy || !url)
        return hm_fail(x->error, HM_ENOMEM, "no memory for a request");
    rc = set_body(x);
    if (!rc && x->client->authorization)
        rc = add_header(x, x->client->authorization);
    if (rc)
        return rc;
    curl_easy_setopt(x->easy, CURLOPT_URL, url);
    curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, x->request->method);
    if (!place->url)
        curl_easy_setopt(x->easy, CURLOPT_UNIX_SOCKET_PATH, place->socket_path);
    curl_easy_setopt(x->easy, CURLOPT_PROXY, ""); /* the node is never behind one */
    curl_easy_setopt(x->easy, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(x->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(x->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)NEXUS_CONNECT_TIMEOUT_MS);
    curl_easy_setopt(x->easy, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(x->easy, CURLOPT_USERAGENT, "nexus/" HM_VERSION);
    curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers);
    curl_easy_setopt(x->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(x->easy, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(x->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(x->easy, CURLOPT_HEADERDATA, x);
    return 0;
}

static int unreachable(const struct exchange *x)
{
    const struct nexus_place *place = x->client->place;
    long os_error = 0;

    curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &os_error);
    if (place->url)
        return hm_fail(x->error, NEXUS_EUNREACHABLE, "no node answers at %s", place->url);
    if (os_error == EACCES || os_error == EPERM)
        return hm_fail(x->error, HM_EPERM,
                       "%s belongs to another user: only who runs the node, and root, may use it",
                       place->socket_path);
    return hm_fail(x->error, NEXUS_EUNREACHABLE, "no node answers on %s", place->socket_path);
}

static int transfer_failed(const struct exchange *x, CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        return unreachable(x);
    case CURLE_OPERATION_TIMEDOUT:
        return hm_fail(x->error, HM_ETIMEOUT, "the node did not answer in time");
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
        return hm_fail(x->error, NEXUS_EUNREACHABLE,
                       "the node hung up in the middle of its answer");
    case CURLE_OUT_OF_MEMORY:
        return hm_fail(x->error, HM_ENOMEM, "no memory for a request");
    default:
        return hm_fail(x->error, HM_EIO, "the request failed: %s", curl_easy_strerror(code));
    }
}

/* Drives the transfer to its end; the caller's descriptor is watched beside it. */
static int exchange_run(struct exchange *x, CURLM *multi)
{
    const struct nexus_request *request = x->request;
    int running = 1;

    while (running > 0) {
        struct curl_waitfd extra = {.fd = request->wake_fd, .events = CURL_WAIT_POLLIN};
        bool watch = request->woken != NULL && request->wake_fd >= 0;

        if (curl_multi_perform(multi, &running) != CURLM_OK ||
            (running > 0 && curl_multi_poll(multi, watch ? &extra : NULL, watch ? 1 : 0,
                                            WAIT_STEP_MS, NULL) != CURLM_OK))
            return hm_fail(x->error, HM_EIO, "libcurl failed to wait for the node");
        if (watch && (extra.revents & CURL_WAIT_POLLIN)) {
            int rc = request->woken(request->ctx, x->error);

            if (rc)
                return rc;
        }
    }
    for (int left = 1; left > 0;) {
        const CURLMsg *message = curl_multi_info_read(multi, &left);

        if (message && message->msg == CURLMSG_DONE && !x->rc && message->data.result != CURLE_OK)
            return transfer_failed(x, message->data.result);
    }
    return x->rc;
}

static int reply_read(struct exchange *x, json_t **reply)
{
    json_error_t fault;
    long status = 0;
    int rc;

    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status >= 300)
        return nexus_problem_read(status, hm_buf_slice(&x->body), x->error);
    if (!reply)
        return 0;
    if (x->request->take || x->body.len == 0) {
        *reply = NULL;
        return 0;
    }
    rc = hm_json_parse(hm_buf_slice(&x->body), JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, reply,
                       &fault);
    if (rc == HM_ENOMEM)
        return hm_fail(x->error, rc, "no memory to read the node's answer");
    return rc ? hm_fail(x->error, rc, "the node's answer is not JSON (%s)", fault.text) : 0;
}

int nexus_client_send(struct nexus_client *client, const struct nexus_request *request,
                      json_t **reply, struct hm_error *error)
{
    struct exchange x = {.client = client, .request = request, .error = error};
    long timeout_ms = request->timeout_ms ? (long)request->timeout_ms
                      : request->take     ? 0
                                          : NEXUS_REPLY_TIMEOUT_MS;
    CURLM *multi = curl_multi_init();
    int rc;

    memset(&client->read_at, 0, sizeof(client->read_at));
    if (!multi)
        rc = hm_fail(error, HM_ENOMEM, "no memory for a request");
    else
        rc = exchange_set_up(&x, timeout_ms);
    if (!rc && curl_multi_add_handle(multi, x.easy) != CURLM_OK)
        rc = hm_fail(error, HM_ENOMEM, "no memory for a request");
    if (!rc) {
        rc = exchange_run(&x, multi);
        if (!rc)
            rc = reply_read(&x, reply);
        curl_multi_remove_handle(multi, x.easy);
    }
    curl_easy_cleanup(x.easy);
    curl_multi_cleanup(multi);
    for (struct curl_slist *line = x.headers; line; line = line->next)
        hm_wipe(line->data, strlen(line->data)); /* the token is among them */
    curl_slist_free_all(x.headers);
    nexus_wipe_release(&x.sent);
    nexus_wipe_release(&x.body);
    return rc;
}

int nexus_client_call(struct nexus_client *client, const char *method, const char *path,
                      const json_t *body, json_t **reply, struct hm_error *error)
{
    struct nexus_request request = {.method = method, .path = path, .json = body, .wake_fd = -1};

    return nexus_client_send(client, &request, reply, error);
}

bool nexus_client_read_at(const struct nexus_client *client, uint64_t *height, uint64_t *age_ms)
{
    *height = client->read_at.height;
    *age_ms = client->read_at.age_ms;
    return client->read_at.has_height && client->read_at.has_age;
}

const char *nexus_escape(const char *text, struct hm_arena *arena)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    static const char digits[] = "0123456789ABCDEF";
    char *out = hm_arena_alloc(arena, strlen(text) * 3 + 1);
    char *at = out;

    for (; out && *text; text++) {
        unsigned char byte = (unsigned char)*text;

        if (strchr(plain, *text)) {
            *at++ = *text;
        } else {
            *at++ = '%';
            *at++ = digits[byte >> 4];
            *at++ = digits[byte & 15];
        }
    }
    return out;
}
