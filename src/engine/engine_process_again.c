/* What follows the end of a life of the engine: a pause and another one, a wait for room on its disk, or nothing. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "engine_process_private.h"

#define AGAIN_ROOM_LOOK_MS UINT64_C(1000) /* between two looks whether there is room */
#define AGAIN_ROOM_PART    16 /* of a small disk that must be free */

bool engine_process_has_room(const char *folder)
{
    struct statvfs disk;

    if (statvfs(folder, &disk) != 0)
        return true;
    uint64_t whole = (uint64_t)disk.f_blocks * disk.f_frsize;
    uint64_t wanted = whole / AGAIN_ROOM_PART < ENGINE_PROCESS_ROOM_BYTES
                          ? whole / AGAIN_ROOM_PART
                          : ENGINE_PROCESS_ROOM_BYTES;

    return (uint64_t)disk.f_bavail * disk.f_frsize >= wanted;
}

/* False: stopping. */
static bool again_pause(struct engine_process *process, uint64_t pause_ms)
{
    uint64_t end_ms = engine_process_now_ms() + pause_ms;

    for (;;) {
        struct pollfd watched = {.fd = process->wake, .events = POLLIN};
        uint64_t now_ms = engine_process_now_ms(), count;

        if (engine_process_stopping(process))
            return false;
        if (now_ms >= end_ms)
            return true;
        if (poll(&watched, 1, (int)(end_ms - now_ms)) > 0 &&
            read(process->wake, &count, sizeof(count)) < 0 && errno != EINTR && errno != EAGAIN)
            return true;
    }
}

/* --- a full disk --------------------------------------------------------------------------------------------- */

static void again_tell_room(struct engine_process *process, bool waits)
{
    pthread_mutex_lock(&process->lock);
    process->status.waits_for_room = waits;
    pthread_mutex_unlock(&process->lock);
}

/* Nothing is lost: it has on its disk what it has answered for. False: stopping. */
static bool again_wait_room(struct engine_process *process)
{
    char text[HM_ERROR_TEXT_BYTES];
    bool go_on = true;

    if (engine_process_has_room(process->home))
        return true;
    snprintf(text, sizeof(text),
             "the disk of %.250s is full: the engine is started again when there is room",
             process->home);
    engine_process_say(process, text);
    again_tell_room(process, true);
    while (go_on && !engine_process_has_room(process->home))
        go_on = again_pause(process, AGAIN_ROOM_LOOK_MS);
    again_tell_room(process, false);
    snprintf(text, sizeof(text), "the disk of %.250s was full and has room again", process->home);
    if (go_on)
        engine_process_say(process, text); /* its log may be on that disk, too */
    return go_on;
}

/* --- which it is --------------------------------------------------------------------------------------------- */

static uint64_t again_next_pause(struct engine_process *process, bool settled)
{
    const struct engine_process_options *options = &process->options;

    if (process->pause_ms == 0 || settled)
        process->pause_ms = options->pause_min_ms;
    else if (process->pause_ms > options->pause_max_ms / 2)
        process->pause_ms = options->pause_max_ms;
    else
        process->pause_ms *= 2;
    return process->pause_ms;
}

/* A life that ended of itself, at the height where the one before did, is a failure more. Who was killed, lost the application
 * or had no room did not fail. True: these are too many. */
static bool again_too_often(struct engine_process *process, uint64_t height, bool settled)
{
    if (height != process->last_height || (settled && !process->failed))
        process->failures = 0;
    process->last_height = height;
    process->failures += !process->blameless;
    return process->failures >= process->options.failures_max;
}

static void again_give_up(struct engine_process *process)
{
    struct hm_error error = {0};

    pthread_mutex_lock(&process->lock);
    process->status.given_up = true;
    if (process->differs)
        hm_fail(&error, HM_ECONFLICT,
                "the others have decided a block that does not follow from this node's state at "
                "height %" PRIu64 ": %.250s",
                process->last_height, process->status.problem);
    else
        hm_fail(&error, HM_EUNAVAILABLE,
                "the engine fails again and again at height %" PRIu64
                ", so it is left alone and its data as it is: %.250s",
                process->last_height, process->status.problem);
    pthread_mutex_unlock(&process->lock);
    if (process->options.on_failure != NULL)
        process->options.on_failure(process->options.ctx, &error);
}

static void again_say(struct engine_process *process, uint64_t pause_ms)
{
    struct engine_process_status status;
    char text[HM_ERROR_TEXT_BYTES];

    engine_process_get_status(process, &status);
    snprintf(text, sizeof(text), "the engine %.300s; it is started again in %" PRIu64 " ms",
             status.problem, pause_ms);
    engine_process_say(process, text);
}

bool engine_process_again(struct engine_process *process, uint64_t began_ms, bool asked)
{
    uint64_t height = engine_process_look_now(process).height;
    bool settled = engine_process_now_ms() - began_ms >= process->options.settled_ms;

    if (asked) {
        process->failures = 0;
        process->pause_ms = 0;
        return true;
    }
    if (again_too_often(process, height, settled) || process->differs) {
        again_give_up(process);
        return false;
    }
    uint64_t pause_ms = again_next_pause(process, settled);
    again_say(process, pause_ms);
    return again_pause(process, pause_ms) && (!process->full || again_wait_room(process));
}
