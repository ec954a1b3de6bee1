/* The fake's jobs and images. */
#include "fake_parts.h"

#include <errno.h>
#include <time.h>

#define FAKE_JOBS 3

static Hypermesh__JobRecord *make_job(struct fake *fake, unsigned index, struct hm_arena *arena)
{
    Hypermesh__JobRecord *record = hm_arena_alloc(arena, sizeof(*record));

    hypermesh__job_record__init(record);
    record->id = index == 0 ? fake_text(arena, FAKE_JOB) : hm_arena_printf(arena, "j%012u", index);
    record->state = index == 0 ? fake->job_state : HYPERMESH__JOB_STATE__JOB_DONE;
    if (index == 0) {
        record->lease = fake_bytes(arena, 0xb0);
        record->allocate_tx = fake_bytes(arena, 0xd0);
        record->consumer = fake_bytes(arena, 1);
    }
    record->exit_code = -1;
    return record;
}

static int fake_job(void *ctx, const char *id, struct hm_arena *arena, Hypermesh__JobRecord **out,
                    struct hm_error *error)
{
    struct fake *fake = ctx;

    if (strcmp(id, FAKE_JOB) != 0 && strcmp(id, "latest") != 0)
        return hm_fail(error, HM_ENOTFOUND, "there is no job '%.40s'", id);
    (void)pthread_mutex_lock(&fake->lock);
    *out = make_job(fake, 0, arena);
    (void)pthread_mutex_unlock(&fake->lock);
    return 0;
}

static int fake_jobs(void *ctx, const char *after, size_t limit, struct hm_arena *arena,
                     Hypermesh__JobRecord ***out, size_t *count, struct hm_error *error)
{
    Hypermesh__JobRecord **list = hm_arena_alloc(arena, FAKE_JOBS * sizeof(*list));
    struct fake *fake = ctx;
    bool begun = after == NULL;

    (void)error;
    *count = 0;
    (void)pthread_mutex_lock(&fake->lock);
    for (unsigned i = 0; i < FAKE_JOBS && *count < limit; i++) {
        Hypermesh__JobRecord *record = make_job(fake, i, arena);

        if (begun)
            list[(*count)++] = record;
        else
            begun = strcmp(record->id, after) == 0;
    }
    (void)pthread_mutex_unlock(&fake->lock);
    *out = list;
    return 0;
}

static int fake_job_create(void *ctx, const Hypermesh__JobSpec *spec, const char *account,
                           struct hm_arena *arena, Hypermesh__JobRecord **out,
                           struct hm_error *error)
{
    struct fake *fake = ctx;

    (void)error;
    (void)pthread_mutex_lock(&fake->lock);
    (void)snprintf(fake->account, sizeof(fake->account), "%s", account);
    fake->duration_seen = spec->timeout_ms;
    *out = make_job(fake, 0, arena);
    (void)pthread_mutex_unlock(&fake->lock);
    return 0;
}

static int fake_job_cancel(void *ctx, const char *id, struct hm_error *error)
{
    struct fake *fake = ctx;

    if (strcmp(id, FAKE_JOB) != 0)
        return hm_fail(error, HM_ENOTFOUND, "there is no job '%.40s'", id);
    (void)pthread_mutex_lock(&fake->lock);
    fake->cancelled = true;
    (void)pthread_mutex_unlock(&fake->lock);
    return 0;
}

static int fake_job_wait(void *ctx, const char *id, Hypermesh__JobState seen_state,
                         uint64_t seen_log_bytes, unsigned timeout_ms, struct hm_error *error)
{
    struct fake *fake = ctx;
    struct timespec until;
    int timed_out = 0;

    (void)id;
    (void)error;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&fake->lock);
    while (timed_out != ETIMEDOUT && fake->job_state == seen_state &&
           fake->log_bytes <= seen_log_bytes)
        timed_out = pthread_cond_timedwait(&fake->changed, &fake->lock, &until);
    (void)pthread_mutex_unlock(&fake->lock);
    return 0;
}

static int fake_job_log(void *ctx, const char *id, struct hm_arena *arena, struct api_log *out,
                        struct hm_error *error)
{
    struct fake *fake = ctx;

    (void)id;
    (void)error;
    (void)pthread_mutex_lock(&fake->lock);
    out->path = fake->log_path[0] != '\0' ? fake_text(arena, fake->log_path) : NULL;
    out->ended = fake->job_state == HYPERMESH__JOB_STATE__JOB_DONE;
    (void)pthread_mutex_unlock(&fake->lock);
    return 0;
}

static int fake_image(struct hm_arena *arena, const char *name, struct api_image *out)
{
    *out = (struct api_image){.name = fake_text(arena, name),
                              .digest = "sha256:00",
                              .bytes = 10,
                              .stored_bytes = 7,
                              .layers = 1};
    return 0;
}

static int fake_images(void *ctx, struct hm_arena *arena, struct api_image **out, size_t *count,
                       struct hm_error *error)
{
    (void)ctx;
    (void)error;
    *out = hm_arena_alloc(arena, sizeof(**out));
    *count = 1;
    return fake_image(arena, "busybox", *out);
}

static int fake_image_import(void *ctx, const char *path, const char *name, struct hm_arena *arena,
                             struct api_image *out, struct hm_error *error)
{
    (void)ctx;
    (void)path;
    (void)error;
    return fake_image(arena, name ? name : "its-own", out);
}

static int fake_image_base(void *ctx, struct hm_arena *arena, struct api_image *out,
                           struct hm_error *error)
{
    (void)ctx;
    (void)error;
    return fake_image(arena, "busybox", out);
}

static int fake_image_remove(void *ctx, const char *name, struct hm_error *error)
{
    (void)ctx;
    return strcmp(name, "busybox") == 0
               ? 0
               : hm_fail(error, HM_ENOTFOUND, "there is no image '%.40s'", name);
}

void fake_jobs_fill(struct api_backend *backend)
{
    backend->job = fake_job;
    backend->jobs = fake_jobs;
    backend->job_create = fake_job_create;
    backend->job_cancel = fake_job_cancel;
    backend->job_wait = fake_job_wait;
    backend->job_log = fake_job_log;
    backend->images = fake_images;
    backend->image_import = fake_image_import;
    backend->image_build_base = fake_image_base;
    backend->image_remove = fake_image_remove;
}
