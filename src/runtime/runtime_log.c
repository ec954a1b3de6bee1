#include "runtime_log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

int runtime_log_open(const char *path, struct runtime_log *out, struct hm_error *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return hm_fail_errno(error, errno == EEXIST ? HM_EEXIST : HM_EIO, "cannot make the log %s",
                             path);
    *out = (struct runtime_log){.fd = fd};
    return 0;
}

void runtime_log_release(struct runtime_log *log)
{
    hm_fd_release(&log->fd);
    log->fd = -1;
}

static int log_frame(struct runtime_log *log, uint8_t stream, const uint8_t *data, size_t len,
                     struct hm_error *error)
{
    uint8_t header[RUNTIME_LOG_FRAME_HEADER_BYTES] = {stream};
    struct iovec parts[2] = {{header, sizeof(header)}, {(void *)(uintptr_t)data, len}};
    ssize_t done;

    hm_put_be32(header + 4, (uint32_t)len);
    do
        done = writev(log->fd, parts, 2);
    while (done < 0 && errno == EINTR);
    if (done == (ssize_t)(sizeof(header) + len)) {
        log->bytes += sizeof(header) + len;
        return 0;
    }
    /* A full disk may have taken half a frame: readers see whole ones only. */
    if (ftruncate(log->fd, (off_t)log->bytes) != 0)
        return hm_fail_errno(error, HM_EIO, "the job's log is damaged");
    log->dropped = true;
    return 0;
}

int runtime_log_append(struct runtime_log *log, uint8_t stream, const void *data, size_t len,
                       struct hm_error *error)
{
    const uint8_t *at = data;

    log->payload += len;
    while (len > 0 && !log->dropped) {
        size_t part = len < RUNTIME_LOG_FRAME_MAX_BYTES ? len : RUNTIME_LOG_FRAME_MAX_BYTES;
        int rc;

        if (log->bytes + RUNTIME_LOG_FRAME_HEADER_BYTES + part > RUNTIME_LOG_MAX_BYTES) {
            log->dropped = true;
            break;
        }
        rc = log_frame(log, stream, at, part, error);
        if (rc != 0)
            return rc;
        at += part;
        len -= part;
    }
    return 0;
}
