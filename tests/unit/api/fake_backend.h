/* A node of glass: answers what it was set to, remembers what it was asked. Thread-safe. */
#ifndef FAKE_BACKEND_H
#define FAKE_BACKEND_H

#include <pthread.h>

#include "api.h"

#define FAKE_ASSETS      5 /* ids: all bytes 0xa0, 0xa1, ... ; owner: the node */
#define FAKE_LEASES      3 /* ids: all bytes 0xb0, ... ; consumer: user; on asset 0 */
#define FAKE_BLOCKS      7 /* heights 1 to 7 */
#define FAKE_NETWORKS    3 /* ids: all bytes 0x90, ... ; owner: the node */
#define FAKE_JOB         "j0123456789ab"
#define FAKE_TICKET      "hmjoin1text"
#define FAKE_SUBSCRIBERS 128
#define FAKE_LATER       8192 /* acts that go on without a thread, at most */

struct fake {
    struct api_backend backend; /* pass &fake->backend; ctx is the fake */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under lock */
    bool ready;
    bool stopped;
    bool held; /* submit blocks while it is set */
    bool status_held; /* the same of status */
    bool no_later; /* submit_later begins nothing */
    bool later_again; /* later_end says that submit is to be used */
    bool later_held; /* acts that have begun do not end while it is set */
    unsigned later_count; /* that have begun and not ended */
    struct api_later *later_list[FAKE_LATER];
    int fail; /* submit and status fail with this code, when not 0 */
    unsigned waiting; /* what blocks now */
    unsigned submits;
    char account[80]; /* of the last submit or job */
    struct hm_buf
        op; /* packed first operation of the last submit; bytes of the last submit_signed */
    uint64_t duration_seen;
    Hypermesh__JobState job_state;
    uint64_t log_bytes;
    unsigned verify_steps; /* what verify_chain reports */
    bool verify_fails;
    bool cancelled;
    char log_path[128]; /* "": no file yet */
    unsigned more_blocks; /* beyond FAKE_BLOCKS, for events */
    bool no_light; /* nobody signs its blocks */
    bool no_links; /* nothing is seen of others yet, nor a link of delays made */
    bool makes_blocks; /* when it is asked for them */
    unsigned asked; /* how often it was */
    size_t event_bytes; /* that each block's events take in the arena, beside themselves */
    struct fake_kv *kv;
};

void fake_init(struct fake *fake);
void fake_release(struct fake *fake);
void fake_id(uint8_t first, uint8_t out[32]); /* all bytes the same */
void fake_set_ready(struct fake *fake, bool ready);
void fake_hold(struct fake *fake, bool held);
void fake_hold_status(struct fake *fake, bool held);
unsigned fake_waiting(struct fake *fake);
unsigned fake_later_count(struct fake *fake);
/* Ends those that have begun, or lets them be held from here on. */
void fake_hold_later(struct fake *fake, bool held);
/* Appends a frame to the job's log, making its file; then state, and wakes who waits. */
void fake_log(struct fake *fake, uint8_t stream, const char *text);
void fake_job_state(struct fake *fake, Hypermesh__JobState state);
void fake_add_blocks(struct fake *fake, unsigned count); /* and wakes subscribers */
unsigned fake_subscribers(struct fake *fake);

#endif
