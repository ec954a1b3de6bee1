/* One call of the engine beside us, for somebody else: the bytes of its answer go on as they are. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "node_private.h"

#define ENGINE_ANSWER_MAX_BYTES ((size_t)16 << 20)
#define ENGINE_HEAD_MAX_BYTES   ((size_t)16 << 10)
#define ENGINE_TIMEOUT_S        10

static int engine_connect(const char *path, struct hm_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = ENGINE_TIMEOUT_S};
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof(address.sun_path))
        return hm_fail(error, HM_EUNAVAILABLE, "the member's engine does not run");
    memcpy(address.sun_path, path, len + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return hm_fail_errno(error, HM_EIO, "no socket for the engine");
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        hm_fail_errno(error, HM_EUNAVAILABLE, "the member's engine does not answer");
        close(fd);
        return HM_EUNAVAILABLE;
    }
    return fd;
}

/* HTTP/1.0: the answer ends with the connection (RFC 9112, section 6.3), whatever its length. */
static int engine_ask(int fd, struct hm_slice json, struct hm_buf *answer, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf request = {0};
    uint8_t bytes[16384];
    ssize_t got;

    if (hm_buf_printf(&request,
                      "POST / HTTP/1.0\r\nHost: engine\r\nContent-Type: application/json\r\n"
                      "Content-Length: %zu\r\n\r\n",
                      json.len) != 0 ||
        hm_buf_append(&request, json.data, json.len) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a read");
    int rc = hm_write_all(fd, request.data, request.len, error);
    while (rc == 0 && (got = read(fd, bytes, sizeof(bytes))) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rc = hm_fail_errno(error, errno == EAGAIN ? HM_ETIMEOUT : HM_EIO,
                               "the member's engine did not answer");
        else if (answer->len + (size_t)got > ENGINE_ANSWER_MAX_BYTES)
            rc = hm_fail(error, HM_ELIMIT, "the engine's answer is over its limit");
        else if (hm_buf_append(answer, bytes, (size_t)got) != 0)
            rc = hm_fail(error, HM_ENOMEM, "no memory for a read");
    }
    return rc;
}

int node_door_engine(const char *rpc_path, struct hm_slice json, struct hm_buf *out,
                     struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf answer = {0};
    HM_AUTOCLOSE int fd = engine_connect(rpc_path, error);
    int rc = fd < 0 ? fd : engine_ask(fd, json, &answer, error);

    if (rc != 0)
        return rc;
    const uint8_t *end = memmem(answer.data, answer.len, "\r\n\r\n", 4);
    if (end == NULL || (size_t)(end - answer.data) > ENGINE_HEAD_MAX_BYTES ||
        answer.len < sizeof("HTTP/1.0 200") || memcmp(answer.data, "HTTP/1.", 7) != 0)
        return hm_fail(error, HM_EIO, "the member's engine answers what is no HTTP");
    /* A refusal of JSON-RPC comes with status 500 and is an answer all the same. */
    size_t head = (size_t)(end - answer.data) + 4;
    if (hm_buf_append(out, answer.data + head, answer.len - head) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a read");
    return 0;
}
