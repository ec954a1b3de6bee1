/* A script in the engine's place, that does what each test writes down for it, and the supervisor over it. */
#ifndef HM_FAKE_ENGINE_H
#define HM_FAKE_ENGINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "engine_process.h"

#define FAKE_WAIT_MAX_MS 20000
#define FAKE_STEP_MS     10
#define FAKE_FAILED_LINE                                      \
    "{\"_msg\":\"CONSENSUS FAILURE!!!\",\"err\":\"wrong app " \
    "hash\",\"level\":\"error\",\"module\":\"consensus\","    \
    "\"stack\":\"goroutine 1\",\"ts\":\"t\"}"

struct fake {
    char *folder, *program, *version_path, *mode_path, *starts_path;
    struct engine_process_options options;
    struct engine_process *process;
    pthread_mutex_t lock; /* guards what the functions note */
    struct hm_buf log;
    unsigned lines, failures, started;
    int64_t pid;
    struct hm_error failure, error;
    _Atomic uint64_t height, height_step; /* added at each look */
    atomic_bool waiting;
};

int fake_setup(void **state);
int fake_teardown(void **state);
void fake_look(void *ctx, struct engine_process_look *out); /* for options.look */
/* mode: what HOME/mode is, in sh: "$home", and "$starts", counted from 1. */
void fake_start(struct fake *fake, const char *mode);
void fake_put(const char *path, const char *text, mode_t mode);
void fake_pause_ms(unsigned ms);
unsigned fake_starts(struct fake *fake);
/* They fail the test when it does not come to pass. */
void fake_wait_starts(struct fake *fake, unsigned count);
void fake_wait_said(struct fake *fake, const char *text);
struct hm_error fake_wait_failure(struct fake *fake);
bool fake_said(struct fake *fake, const char *text);
void fake_has(const char *text, const char *part);

#endif
