/* A job from request to receipt: what node_jobs.c (table, records) and node_job_run.c (the run) share. */
#ifndef HM_NODE_JOB_H
#define HM_NODE_JOB_H

#include "node_private.h"

#define NODE_JOB_ID_CHARS \
    13 /* "j" + 12 hex digits: milliseconds and a counter, so ids sort by age */
#define NODE_JOBS_LIVE_MAX        256
#define NODE_JOBS_KEPT_MAX        1000 /* ended ones; the oldest goes, with its log */
#define NODE_JOB_RECORD_MAX_BYTES ((size_t)1 << 20)
#define NODE_JOB_STORE_TABLE      0 /* NODE_TABLE_JOB */

/* A job that has not ended. Its record belongs to its thread; everyone else reads the store. */
struct node_job {
    struct node_job *next;
    struct node *node;
    char id[NODE_JOB_ID_CHARS + 1];
    char account[TRUST_NAME_MAX + 1]; /* who pays */
    int cancel_fd; /* eventfd */
    uint64_t log_bytes; /* under jobs.lock, as is the next */
    Hypermesh__JobState stored; /* the state that readers of the store see */
    struct hm_arena arena; /* the record's memory */
    Hypermesh__JobRecord record;
    pthread_t thread;
};

/* Writes the record and wakes who waits for it. A failure is logged: the job goes on. */
void node_job_save(struct node_job *job);
int node_job_write(struct node *node, const Hypermesh__JobRecord *record, struct hm_error *error);
/* The first record after this id, in the arena, that can be read; HM_ENOTFOUND at the end. */
int node_job_after(struct node *node, const char *id, struct hm_arena *arena,
                   Hypermesh__JobRecord **out, struct hm_error *error);
void node_job_folder(const struct node *node, const char *id, char out[NODE_PATH_MAX_BYTES]);
bool node_job_cancelled(const struct node_job *job);
/* The thread's function; frees the job. */
void *node_job_main(void *job);
/* Ends a lease with what was used; fills the record's settlement. */
int node_job_settle(struct node *node, Hypermesh__JobRecord *record,
                    const Hypermesh__JobUsage *used, struct hm_arena *arena,
                    struct hm_error *error);
/* Takes the job off the live list and frees it. */
void node_job_end(struct node_job *job);

/* What the lease of a job names it by. */
void node_job_digest(const Hypermesh__JobSpec *spec, uint8_t out[CRYPTO_HASH_BYTES]);

/* The API's side; see api.h. account is a name of the keystore. */
int node_job_create(struct node *node, const Hypermesh__JobSpec *spec, const char *account,
                    struct hm_arena *arena, Hypermesh__JobRecord **out, struct hm_error *error);
int node_job_get(struct node *node, const char *id, struct hm_arena *arena,
                 Hypermesh__JobRecord **out, struct hm_error *error);
int node_job_list(struct node *node, const char *after, size_t limit, struct hm_arena *arena,
                  Hypermesh__JobRecord ***out, size_t *count, struct hm_error *error);
int node_job_cancel(struct node *node, const char *id, struct hm_error *error);
void node_job_wait(struct node *node, const char *id, Hypermesh__JobState seen_state,
                   uint64_t seen_log_bytes, unsigned timeout_ms);

#endif
