#include "nexus_follow.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "nexus_frames.h"
#include "nexus_interrupt.h"

/* Room that poll(2) promises a pipe has when it is writable. */
#define WRITE_STEP_BYTES 4096
#define WAIT_SECONDS     30
#define FOLLOW_ENOUGH    (-101) /* nobody reads our output any more */

struct stream {
    struct nexus_follow *follow;
    struct nexus_frames frames;
    bool closed[3]; /* our descriptor 1 or 2 has no reader left */
};

static int cancel(struct nexus_follow *follow, struct hm_error *error)
{
    struct nexus_call *call = follow->call;
    const char *path;
    int rc;

    if (!nexus_interrupt_take() || !follow->cancels || follow->cancelled)
        return 0;
    follow->cancelled = true;
    path = hm_arena_printf(call->arena, "/jobs/%s", nexus_part(call, follow->id));
    if (!path)
        return hm_fail(error, HM_ENOMEM, "out of memory");
    rc = nexus_client_call(call->client, "DELETE", path, NULL, NULL, error);
    if (rc == HM_ECONFLICT) /* it ended by itself in between */
        return 0;
    /* Said when it is done: who then leaves at once leaves no job behind. */
    if (!rc)
        nexus_say("cancelling %s; Ctrl-C again leaves at once", follow->id);
    return rc;
}

static int on_wake(void *ctx, struct hm_error *error)
{
    return cancel(((struct stream *)ctx)->follow, error);
}

/* Waits until fd takes more; Ctrl-C is heard meanwhile. */
static int wait_writable(struct stream *stream, int fd, struct hm_error *error)
{
    for (;;) {
        struct pollfd watched[2] = {{.fd = fd, .events = POLLOUT},
                                    {.fd = nexus_interrupt_fd(), .events = POLLIN}};
        int ready = poll(watched, 2, -1);

        if (ready < 0 && errno != EINTR)
            return hm_fail_errno(error, HM_EIO, "cannot wait for standard output");
        if (ready > 0 && watched[1].revents) {
            int rc = cancel(stream->follow, error);

            if (rc)
                return rc;
        }
        if (ready > 0 && watched[0].revents)
            return 0;
    }
}

static int write_some(struct stream *stream, int fd, const uint8_t *data, size_t len,
                      size_t *written, struct hm_error *error)
{
    ssize_t got;
    int rc = wait_writable(stream, fd, error);

    if (rc)
        return rc;
    got = write(fd, data, len < WRITE_STEP_BYTES ? len : WRITE_STEP_BYTES);
    if (got < 0 && errno != EINTR && errno != EAGAIN) {
        if (errno != EPIPE)
            return hm_fail_errno(error, HM_EIO, "cannot write the job's output");
        stream->closed[fd] = true;
        *written = len;
        return stream->follow->ends_at_pipe ? FOLLOW_ENOUGH : 0;
    }
    *written = got > 0 ? (size_t)got : 0;
    return 0;
}

static int take_payload(void *ctx, int fd, const uint8_t *data, size_t len, struct hm_error *error)
{
    struct stream *stream = ctx;

    while (len > 0 && !stream->closed[fd]) {
        size_t written = 0;
        int rc = write_some(stream, fd, data, len, &written, error);

        if (rc)
            return rc;
        data += written;
        len -= written;
    }
    return 0;
}

static int take_bytes(void *ctx, const uint8_t *data, size_t len, struct hm_error *error)
{
    struct stream *stream = ctx;

    return nexus_frames_feed(&stream->frames, data, len, take_payload, stream, error);
}

int nexus_follow_output(struct nexus_follow *follow)
{
    struct nexus_call *call = follow->call;
    struct stream stream = {.follow = follow};
    struct nexus_request request = {
        .method = "GET",
        .path = hm_arena_printf(call->arena, "/jobs/%s/logs?format=frames%s",
                                nexus_part(call, follow->id), follow->grow ? "&follow=1" : ""),
        .take = take_bytes,
        .wake_fd = nexus_interrupt_fd(),
        .woken = on_wake,
        .ctx = &stream};
    int rc;

    if (!request.path)
        return nexus_no_memory(call);
    rc = nexus_client_send(call->client, &request, NULL, &call->error);
    if (rc == FOLLOW_ENOUGH)
        return 0;
    return rc ? rc : nexus_frames_end(&stream.frames, &call->error);
}

static int wait_once(struct stream *stream, uint64_t timeout_ms, json_t **record)
{
    struct nexus_call *call = stream->follow->call;
    struct nexus_request request = {.method = "GET",
                                    .path = hm_arena_printf(call->arena,
                                                            "/jobs/%s/wait?timeout=%llums",
                                                            nexus_part(call, stream->follow->id),
                                                            (unsigned long long)timeout_ms),
                                    .wake_fd = nexus_interrupt_fd(),
                                    .woken = on_wake,
                                    .ctx = stream};

    if (!request.path)
        return nexus_no_memory(call);
    return nexus_client_send(call->client, &request, record, &call->error);
}

int nexus_follow_end(struct nexus_follow *follow, uint64_t deadline_ms, json_t **record)
{
    struct stream stream = {.follow = follow};

    for (;;) {
        NEXUS_AUTOJSON json_t *seen = NULL;
        uint64_t now_ms = hm_mono_ns(hm_clock_system()) / 1000000;
        uint64_t left_ms = WAIT_SECONDS * 1000;
        int rc;

        if (deadline_ms && deadline_ms <= now_ms)
            left_ms = 1; /* one look is due in any case */
        else if (deadline_ms && deadline_ms - now_ms < left_ms)
            left_ms = deadline_ms - now_ms;
        rc = wait_once(&stream, left_ms, &seen);
        if (rc)
            return rc;
        if (strcmp(nexus_json_text(seen, "state"), "done") == 0)
            return nexus_ask(follow->call, "GET", NULL, record, "/jobs/%s",
                             nexus_part(follow->call, follow->id));
        if (deadline_ms && hm_mono_ns(hm_clock_system()) / 1000000 >= deadline_ms)
            return hm_fail(&follow->call->error, HM_ETIMEOUT, "job %s is %s still", follow->id,
                           nexus_json_text(seen, "state"));
    }
}

int nexus_job_status(const json_t *record)
{
    const char *outcome = nexus_json_text(record, "outcome");
    int64_t code = nexus_json_i64(record, "exit_code");

    if (strcmp(outcome, "finished") == 0)
        return code >= 0 && code <= 255 ? (int)code : NEXUS_EXIT_JOB_NOT_RUN;
    if (strcmp(outcome, "timed-out") == 0 || strcmp(outcome, "expired") == 0)
        return NEXUS_EXIT_JOB_TIMED_OUT;
    if (strcmp(outcome, "cancelled") == 0)
        return NEXUS_EXIT_INTERRUPTED;
    /* Failed: the command's own failure keeps its code; where it never ran there is none. */
    return code > 0 && code <= 255 ? (int)code : NEXUS_EXIT_JOB_NOT_RUN;
}
