#include "fake_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* "start --home HOME": what to do stands in HOME/mode; each start is counted first. */
#define SCRIPT                                                                \
    "#!/bin/sh\n"                                                             \
    "if [ \"$1\" = version ]; then . \"$0.version\"; exit; fi\n"              \
    "home=$3; echo x >>\"$home/starts\"; starts=$(wc -l <\"$home/starts\")\n" \
    ". \"$home/mode\"\n"

/* --- what the supervisor calls --------------------------------------------------------------------------- */

static void note_line(void *ctx, const struct engine_process_line *line)
{
    struct fake *fake = ctx;

    pthread_mutex_lock(&fake->lock);
    fake->lines++;
    hm_buf_printf(&fake->log, "%d|%s|%s|%s\n", (int)line->level, line->module, line->text,
                  line->fields);
    pthread_mutex_unlock(&fake->lock);
}

static void note_start(void *ctx, int64_t pid)
{
    struct fake *fake = ctx;

    pthread_mutex_lock(&fake->lock);
    fake->started++;
    fake->pid = pid;
    pthread_mutex_unlock(&fake->lock);
}

static void note_failure(void *ctx, const struct hm_error *error)
{
    struct fake *fake = ctx;

    pthread_mutex_lock(&fake->lock);
    fake->failures++;
    fake->failure = *error;
    pthread_mutex_unlock(&fake->lock);
}

void fake_look(void *ctx, struct engine_process_look *out)
{
    struct fake *fake = ctx;

    out->height = atomic_fetch_add(&fake->height, atomic_load(&fake->height_step));
    out->waiting = atomic_load(&fake->waiting);
}

/* --- a folder with a script ------------------------------------------------------------------------------ */

void fake_put(const char *path, const char *text, mode_t mode)
{
    assert_int_equal(hm_file_replace(path, text, strlen(text), mode, NULL), 0);
}

int fake_setup(void **state)
{
    struct fake *fake = hm_calloc(1, sizeof(*fake));
    const char *base = getenv("TMPDIR");

    fake->folder = hm_asprintf("%s/engine-process-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(fake->folder));
    fake->program = hm_asprintf("%s/cometbft", fake->folder);
    fake->version_path = hm_asprintf("%s.version", fake->program);
    fake->mode_path = hm_asprintf("%s/mode", fake->folder);
    fake->starts_path = hm_asprintf("%s/starts", fake->folder);
    fake_put(fake->program, SCRIPT, 0755);
    fake_put(fake->version_path, "echo " ENGINE_PROCESS_VERSION, 0644);
    pthread_mutex_init(&fake->lock, NULL);
    fake->options = (struct engine_process_options){.program = fake->program,
                                                    .home = fake->folder,
                                                    .on_line = note_line,
                                                    .on_start = note_start,
                                                    .on_failure = note_failure,
                                                    .pause_min_ms = 20,
                                                    .pause_max_ms = 100,
                                                    .grace_ms = 300,
                                                    .ctx = fake};
    *state = fake;
    return 0;
}

int fake_teardown(void **state)
{
    struct fake *fake = *state;

    engine_process_stop(fake->process);
    hm_remove_tree(fake->folder, NULL);
    pthread_mutex_destroy(&fake->lock);
    hm_buf_release(&fake->log);
    hm_free(fake->starts_path);
    hm_free(fake->mode_path);
    hm_free(fake->version_path);
    hm_free(fake->program);
    hm_free(fake->folder);
    hm_free(fake);
    return 0;
}

void fake_start(struct fake *fake, const char *mode)
{
    fake_put(fake->mode_path, mode, 0644);
    assert_int_equal(engine_process_start(&fake->options, &fake->process, &fake->error), 0);
}

void fake_pause_ms(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&time, NULL);
}

unsigned fake_starts(struct fake *fake)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};

    return hm_file_read(fake->starts_path, 4096, &text, NULL) == 0 ? (unsigned)text.len / 2 : 0;
}

void fake_wait_starts(struct fake *fake, unsigned count)
{
    for (unsigned ms = 0; ms < FAKE_WAIT_MAX_MS; ms += FAKE_STEP_MS) {
        if (fake_starts(fake) >= count)
            return;
        fake_pause_ms(FAKE_STEP_MS);
    }
    fail_msg("%u starts, wanted %u:\n%s", fake_starts(fake), count, hm_buf_cstr(&fake->log));
}

bool fake_said(struct fake *fake, const char *text)
{
    pthread_mutex_lock(&fake->lock);
    bool found = strstr(hm_buf_cstr(&fake->log), text) != NULL;
    pthread_mutex_unlock(&fake->lock);
    return found;
}

void fake_wait_said(struct fake *fake, const char *text)
{
    for (unsigned ms = 0; ms < FAKE_WAIT_MAX_MS; ms += FAKE_STEP_MS) {
        if (fake_said(fake, text))
            return;
        fake_pause_ms(FAKE_STEP_MS);
    }
    fail_msg("'%s' was not said:\n%s", text, hm_buf_cstr(&fake->log));
}

struct hm_error fake_wait_failure(struct fake *fake)
{
    struct hm_error failure = {0};

    for (unsigned ms = 0; ms < FAKE_WAIT_MAX_MS; ms += FAKE_STEP_MS) {
        pthread_mutex_lock(&fake->lock);
        if (fake->failures > 0)
            failure = fake->failure;
        pthread_mutex_unlock(&fake->lock);
        if (failure.code != 0)
            return failure;
        fake_pause_ms(FAKE_STEP_MS);
    }
    fail_msg("it did not give up:\n%s", hm_buf_cstr(&fake->log));
    return failure;
}

void fake_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' is not in: %s", part, text);
}
