/* A job's log as a stream: what is in its file, and with follow what comes until the job has
 * ended. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "api_frames.h"
#include "api_handlers.h"

struct log_stream {
    struct api_stream base; /* first: the interface */
    struct api_core *core;
    struct hm_arena arena; /* of one look at the job */
    char id[API_FOLLOW_ID_MAX_CHARS];
    struct api_follower follower;
    int fd; /* -1 while there is no file yet */
    uint64_t offset;
    uint64_t limit; /* read no further; without follow: the size at the start */
    bool text;
    bool follow;
    bool ended; /* the node says that no more frames come */
    struct api_frames frames;
};

/* The node's word on the log; opens the file when it is there. */
static int log_look(struct log_stream *log, Hypermesh__JobState *state, struct hm_error *error)
{
    const struct api_backend *backend = log->core->backend;
    Hypermesh__JobRecord *record = NULL;
    struct api_log at = {0};
    int rc;

    hm_arena_clear(&log->arena);
    rc = backend->job(backend->ctx, log->id, &log->arena, &record, error);
    if (rc == 0)
        rc = backend->job_log(backend->ctx, log->id, &log->arena, &at, error);
    if (rc)
        return rc;
    if (log->fd < 0 && at.path) {
        log->fd = open(at.path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (log->fd < 0 && errno != ENOENT)
            return hm_fail_errno(error, HM_EIO, "cannot read the log of job %s", log->id);
    }
    log->ended = at.ended;
    *state = record->state;
    return 0;
}

/* Bytes there now: their count, 0 at the end of the file, or HM_E*. */
static int log_read_file(struct log_stream *log, uint8_t *out, size_t size)
{
    uint64_t left = log->limit - log->offset;
    size_t kept = 0;
    ssize_t got;

    while (log->fd >= 0 && left > 0) {
        do {
            got = pread(log->fd, out, left < size ? (size_t)left : size, (off_t)log->offset);
        } while (got < 0 && errno == EINTR);
        if (got < 0)
            return HM_EIO;
        if (got == 0)
            break;
        log->offset += (uint64_t)got;
        left = log->limit - log->offset;
        if (!log->text)
            return (int)got;
        if (api_frames_strip(&log->frames, out, (size_t)got, &kept, NULL))
            return HM_ECORRUPT;
        if (kept > 0)
            return (int)kept;
    }
    return 0;
}

static int log_read(struct api_stream *stream, uint8_t *out, size_t size)
{
    struct log_stream *log = (struct log_stream *)(void *)stream;
    Hypermesh__JobState state = HYPERMESH__JOB_STATE__JOB_NONE;
    size_t part = size < API_STREAM_MAX ? size : API_STREAM_MAX;
    int got = log_read_file(log, out, part);
    int rc;

    if (got != 0)
        return got;
    /* Only an end of the file seen after the node's "ended" is the end. */
    if (!log->follow || log->ended)
        return API_STREAM_END;
    rc = log_look(log, &state, NULL);
    if (rc)
        return rc;
    got = log_read_file(log, out, part);
    if (got != 0)
        return got;
    return log->ended ? API_STREAM_END : API_STREAM_WAIT;
}

static void log_attach(struct api_stream *stream, void (*wake)(void *wake_ctx), void *wake_ctx)
{
    struct log_stream *log = (struct log_stream *)(void *)stream;

    api_follow_attach(&log->core->follows, &log->follower, wake, wake_ctx);
}

static void log_release(struct api_stream *stream)
{
    struct log_stream *log = (struct log_stream *)(void *)stream;

    api_follow_end(&log->core->follows, &log->follower);
    hm_fd_release(&log->fd);
    hm_arena_release(&log->arena);
    hm_free(log);
}

static int log_new(struct api_call *call, const char *id, struct log_stream **out,
                   struct hm_error *error)
{
    struct log_stream *log;

    if (strlen(id) >= sizeof(log->id))
        return hm_fail(error, HM_EINTERNAL, "the job's id is too long");
    log = hm_calloc(1, sizeof(*log));
    if (!log)
        return api_no_memory(error);
    log->base = (struct api_stream){.read = log_read, .release = log_release};
    log->core = call->core;
    log->fd = -1;
    log->limit = UINT64_MAX;
    hm_arena_init(&log->arena, API_ARENA_MAX_BYTES);
    memcpy(log->id, id, strlen(id) + 1);
    *out = log;
    return 0;
}

/* News of the job wake the stream; where too many jobs are followed, it is polled. */
static void log_follow(struct log_stream *log)
{
    log->follow = true;
    if (api_follow_begin(&log->core->follows, log->id, &log->follower, NULL) == 0)
        log->base.attach = log_attach;
}

int api_handle_job_logs(struct api_call *call, struct hm_error *error)
{
    const char *format = api_text_or(&call->query, "format", "text");
    Hypermesh__JobState state = HYPERMESH__JOB_STATE__JOB_NONE;
    Hypermesh__JobRecord *record = NULL;
    struct log_stream *log = NULL;
    struct stat info;
    int rc;

    if (strcmp(format, "text") != 0 && strcmp(format, "frames") != 0)
        return hm_fail(error, HM_EINVAL, "format is text or frames");
    rc = call->backend->job(call->backend->ctx, call->param.text, &call->arena, &record, error);
    if (rc == 0)
        rc = log_new(call, record->id, &log, error);
    if (rc)
        return rc;
    call->response->stream = &log->base;
    log->text = strcmp(format, "text") == 0;
    if (api_number_or(&call->query, "follow", 0) != 0)
        log_follow(log);
    if (!log->text)
        call->response->content_type = "application/vnd.hypermesh.frames";
    rc = log_look(log, &state, error);
    if (rc == 0 && !log->follow && log->fd >= 0 && fstat(log->fd, &info) == 0)
        log->limit = (uint64_t)info.st_size;
    return rc;
}
