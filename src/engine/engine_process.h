/* CometBFT as a process: found, its version asked, started, watched, started again, stopped. Public part of this room
 * (engine.h includes it).
 *
 * One thread a process supervises it: it sleeps until the process says something, ends, or is told to end. A process that
 * ends is started again, after a while that grows; one whose disk is full, when there is room. One whose consensus has failed goes on running and answering, and makes
 * no more blocks: that is read from its log, and it is started again, too. What fails at the same height again and again
 * is not tried for ever: the data stays as it is and on_failure says why.
 *
 * Never: writes its configuration (engine_config.h), touches its data, speaks ABCI. When this program dies the engine ends
 * by itself, because its connection to the application is gone.
 * Start reading with engine_process_start, then process_main in engine_process.c. */
#ifndef HM_ENGINE_PROCESS_H
#define HM_ENGINE_PROCESS_H

#include "base.h"

#define ENGINE_PROCESS_VERSION "0.38.25" /* the one that this adapter was tried with */
#define ENGINE_PROCESS_NAME    "cometbft"

/* --- before it is started -------------------------------------------------------------------------------- */

/* The binary: `given` when not NULL; else PREFIX/libexec/hypermesh/cometbft beside PREFIX/bin of the running program;
 * .deps/cluster/bin/cometbft in a folder above it (what scripts/setup --cluster makes); PATH. In the arena. HM_ENOTFOUND says how
 * to get one. */
int engine_process_find(const char *given, struct hm_arena *arena, const char **out,
                        struct hm_error *error);
#define ENGINE_PROCESS_VERSION_BYTES 32
/* What `PROGRAM version` says. HM_EIO: does not run; HM_ETIMEOUT; HM_EUNSUPPORTED: another version than ENGINE_PROCESS_VERSION. */
int engine_process_check(const char *program, char version[ENGINE_PROCESS_VERSION_BYTES],
                         struct hm_error *error);

/* --- its log --------------------------------------------------------------------------------------------- */

enum engine_process_event {
    ENGINE_PROCESS_NOTHING,
    ENGINE_PROCESS_CONSENSUS_FAILED, /* no more blocks until a restart */
    ENGINE_PROCESS_PANICKED, /* it is about to end */
    /* More than two thirds of the power have decided a block that does not follow from what our application answered for the
     * one before: no start mends that. */
    ENGINE_PROCESS_STATE_DIFFERS,
};
struct engine_process_line {
    enum hm_log_level level;
    enum engine_process_event event;
    bool no_space; /* it may be that a disk is full, or a quota; a peer can have it said */
    const char *module; /* "consensus"; "" */
    const char *text; /* the message, cleaned */
    const char
        *fields; /* the rest as "height=5 err=..."; without time, stack and caller; cleaned */
};
#define ENGINE_PROCESS_LINE_MAX_BYTES   ((size_t)64 << 10) /* of a line; the rest is not read */
#define ENGINE_PROCESS_FIELDS_MAX_BYTES 1000
#define ENGINE_PROCESS_LINES_PER_S      200 /* handed on; how many were left out is told */
/* One line, JSON or not, without its end. Everything in the arena. HM_ENOMEM. Pure. */
int engine_process_line_read(struct hm_slice line, struct hm_arena *arena,
                             struct engine_process_line *out, struct hm_error *error);

/* --- the process ----------------------------------------------------------------------------------------- */

struct engine_process;

/* What the application knows of it. */
struct engine_process_look {
    uint64_t height; /* of the last block that came from it */
    bool waiting; /* something should be in a block by now, and enough peers are there */
};

struct engine_process_options {
    const char *program;
    const char *home; /* absolute; `PROGRAM start --home HOME` */
    const char *const
        *stale; /* sockets that a killed engine leaves behind: removed before each start */
    size_t stale_count;
    const char *const *
        environment; /* "NAME=VALUE" beside this program's own, without the engine's own (CMT*, TM*) */
    size_t environment_count;
    /* All on the supervisor's thread, none may block; NULL is fine. */
    void (*on_line)(void *ctx, const struct engine_process_line *line);
    void (*on_start)(void *ctx, int64_t pid);
    /* Once: it is not started any more. HM_ECONFLICT: ENGINE_PROCESS_STATE_DIFFERS, at the height that `look` gives; HM_EUNAVAILABLE: it
     * fails again and again. */
    void (*on_failure)(void *ctx, const struct hm_error *error);
    void (*look)(void *ctx, struct engine_process_look *out);
    void *ctx;
    uint64_t pause_min_ms,
        pause_max_ms; /* between an end and the next start; 0: the values below */
    uint64_t grace_ms; /* between SIGTERM and SIGKILL */
    uint64_t lost_ms; /* between engine_process_lost and SIGKILL */
    uint64_t settled_ms; /* who ran so long starts without a history */
    /* Waiting, with no new height for so long: started again. Twice as long each time that this happens at one height, up to
     * 32 times. */
    uint64_t stuck_ms;
    unsigned
        failures_max; /* at one height; who is killed from outside, is lost, is stuck, or has a full disk, has not failed */
};
/* HOME/tmp: its temporary files (a snapshot's chunks in state sync), emptied before each start; a killed engine leaves some. */
#define ENGINE_PROCESS_TEMPORARY    "tmp"
#define ENGINE_PROCESS_PAUSE_MIN_MS UINT64_C(200)
#define ENGINE_PROCESS_PAUSE_MAX_MS UINT64_C(5000)
#define ENGINE_PROCESS_GRACE_MS     UINT64_C(10000)
#define ENGINE_PROCESS_LOST_MS      UINT64_C(300)
#define ENGINE_PROCESS_SETTLED_MS   UINT64_C(60000)
#define ENGINE_PROCESS_STUCK_MS     UINT64_C(10000)
#define ENGINE_PROCESS_FAILURES_MAX 3

/* It is started when its disk has so much free, or a sixteenth of it where that is less. */
#define ENGINE_PROCESS_ROOM_BYTES (UINT64_C(64) << 20)
/* Has the disk of the folder room to go on? Also true when that cannot be told. */
bool engine_process_has_room(const char *folder);

/* Starts the thread, which starts the process. Texts are copied, functions and ctx are kept. HM_ENOMEM. */
int engine_process_start(const struct engine_process_options *options, struct engine_process **out,
                         struct hm_error *error);
/* SIGTERM, after grace_ms SIGKILL; joins the thread. NULL is fine. */
void engine_process_stop(struct engine_process *process);
/* Ends it and starts it again. `why` goes to the log. Thread-safe. */
void engine_process_restart(struct engine_process *process, const char *why);

/* A connection of the one with this pid to the application has ended. It ends then by itself, but v0.38.25 hangs while it stops when
 * a call was just on its way: so it is killed if it takes longer than lost_ms. Nothing when another one runs. Thread-safe. */
void engine_process_lost(struct engine_process *process, int64_t pid);

struct engine_process_status {
    bool running;
    int64_t pid; /* 0: none now */
    uint64_t starts; /* so far; restarts are one less */
    uint64_t started_ms; /* on the monotonic clock */
    bool given_up;
    bool waits_for_room; /* its disk is full; it is started when there is room again */
    char problem[HM_ERROR_TEXT_BYTES]; /* why it ended last; "" */
};
void engine_process_get_status(struct engine_process *process, struct engine_process_status *out);

/* --- its metrics ----------------------------------------------------------------------------------------- */

#define ENGINE_PROCESS_METRICS_MAX_BYTES  ((size_t)1 << 20)
#define ENGINE_PROCESS_METRICS_TIMEOUT_MS 1000
/* Appends what the engine says at http://LISTEN/metrics ("127.0.0.1:PORT"), of its own names hypermesh_engine_* only.
 * HM_EUNAVAILABLE, HM_ETIMEOUT, HM_ELIMIT, HM_EPARSE; nothing is appended then. */
int engine_process_metrics(const char *listen, struct hm_buf *out, struct hm_error *error);
/* The part after the wire: an HTTP/1.x answer, whole. Pure. */
int engine_process_metrics_read(struct hm_slice answer, struct hm_buf *out, struct hm_error *error);

#endif
