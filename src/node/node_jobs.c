/* The table of jobs: durable records in a store of their own, so that the ledger keeps its one writer, and
 * the list of those that live. */
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "node_job.h"
#include "node_notes.h"

void node_job_folder(const struct node *node, const char *id, char out[NODE_PATH_MAX_BYTES])
{
    /* data_dir was checked at start to leave room for this. */
    snprintf(out, NODE_PATH_MAX_BYTES, "%.4000s/jobs/%.32s", node->data_dir, id);
}

/* A cursor over the records. Both are to be ended by the caller when 0. */
static int node_jobs_cursor(struct node *node, struct store_txn **txn, struct store_cursor **cursor,
                            struct hm_error *error)
{
    int rc = store_begin_read(node->jobs.store, txn, error);

    if (rc != 0)
        return rc;
    rc = store_cursor_open(*txn, NODE_JOB_STORE_TABLE, cursor, error);
    if (rc != 0)
        store_abort(*txn);
    return rc;
}

/* New ids go on after the newest that is there, also when the clock went back. */
static int node_jobs_count_on(struct node *node, struct hm_error *error)
{
    struct store_cursor *cursor;
    struct store_txn *txn;
    struct hm_slice key, value;
    uint64_t number = 0;
    int rc = node_jobs_cursor(node, &txn, &cursor, error);

    if (rc != 0)
        return rc;
    if (store_cursor_seek_last(cursor, &key, &value) == 0)
        for (size_t i = 1; i < key.len; i++)
            number = number << 4 |
                     (uint64_t)(key.data[i] <= '9' ? key.data[i] - '0' : key.data[i] - 'a' + 10);
    node->jobs.last_number = number;
    store_cursor_close(cursor);
    store_abort(txn);
    return 0;
}

int node_jobs_open(struct node *node, struct hm_error *error)
{
    const struct store_options options = {.tables = node_table_names,
                                          .table_count = NODE_TABLE_COUNT};
    char path[NODE_PATH_MAX_BYTES];
    int rc = node_path(node, "jobs", path, error);

    if (rc == 0)
        rc = hm_mkdir_all(path, 0700, error);
    if (rc == 0)
        rc = node_path(node, "jobs.store", path, error);
    if (rc == 0)
        rc = store_open_lmdb(path, &options, &node->jobs.store, error);
    return rc != 0 ? rc : node_jobs_count_on(node, error);
}

/* --- records ------------------------------------------------------------------------------------------- */

int node_job_write(struct node *node, const Hypermesh__JobRecord *record, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    struct store_txn *txn;

    if (wire_pack(&record->base, &bytes) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a job's record");
    int rc = store_begin_write(node->jobs.store, &txn, error);
    if (rc != 0)
        return rc;
    rc = store_put(txn, NODE_JOB_STORE_TABLE, hm_slice_str(record->id), hm_buf_slice(&bytes),
                   error);
    if (rc != 0) {
        store_abort(txn);
        return rc;
    }
    return store_commit(txn, error);
}

void node_job_save(struct node_job *job)
{
    struct hm_error error = {0};
    int rc = node_job_write(job->node, &job->record, &error);

    if (rc != 0)
        hm_log(HM_LOG_ERROR, "node", "job %s: its record is not stored: %s", job->id, error.text);
    pthread_mutex_lock(&job->node->jobs.lock);
    if (rc == 0)
        job->stored = job->record.state;
    pthread_cond_broadcast(&job->node->jobs.changed);
    pthread_mutex_unlock(&job->node->jobs.lock);
}

static int node_job_unpack(struct hm_slice bytes, struct hm_arena *arena,
                           Hypermesh__JobRecord **out, struct hm_error *error)
{
    return WIRE_UNPACK(hypermesh__job_record, bytes, NODE_JOB_RECORD_MAX_BYTES, arena, out, error);
}

static int node_job_latest(struct node *node, struct hm_arena *arena, Hypermesh__JobRecord **out,
                           struct hm_error *error)
{
    struct store_cursor *cursor;
    struct store_txn *txn;
    struct hm_slice key, value;
    int rc = node_jobs_cursor(node, &txn, &cursor, error);

    if (rc != 0)
        return rc;
    rc = store_cursor_seek_last(cursor, &key, &value);
    rc = rc == 0 ? node_job_unpack(value, arena, out, error)
                 : hm_fail(error, HM_ENOTFOUND, "no job has been run on this node yet");
    store_cursor_close(cursor);
    store_abort(txn);
    return rc;
}

int node_job_get(struct node *node, const char *id, struct hm_arena *arena,
                 Hypermesh__JobRecord **out, struct hm_error *error)
{
    struct store_txn *txn;
    struct hm_slice value;

    if (strcmp(id, "latest") == 0)
        return node_job_latest(node, arena, out, error);
    if (id[0] == '\0' || strlen(id) > NODE_JOB_ID_CHARS)
        return hm_fail(error, HM_ENOTFOUND, "no job '%.40s': see 'nexus job ls'", id);
    int rc = store_begin_read(node->jobs.store, &txn, error);
    if (rc != 0)
        return rc;
    rc = store_get(txn, NODE_JOB_STORE_TABLE, hm_slice_str(id), &value);
    rc = rc == 0 ? node_job_unpack(value, arena, out, error)
                 : hm_fail(error, HM_ENOTFOUND, "no job '%s': see 'nexus job ls'", id);
    store_abort(txn);
    return rc;
}

/* Newest first; after is the id that the last page ended with, or NULL. */
int node_job_list(struct node *node, const char *after, size_t limit, struct hm_arena *arena,
                  Hypermesh__JobRecord ***out, size_t *count, struct hm_error *error)
{
    Hypermesh__JobRecord **list = hm_arena_alloc(arena,
                                                 (limit + 1) * sizeof(Hypermesh__JobRecord *));
    struct store_cursor *cursor;
    struct store_txn *txn;
    struct hm_slice key, value;
    size_t found = 0;

    if (list == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a list of jobs");
    int rc = node_jobs_cursor(node, &txn, &cursor, error);
    if (rc != 0)
        return rc;
    int at = after == NULL ? store_cursor_seek_last(cursor, &key, &value)
                           : store_cursor_seek(cursor, hm_slice_str(after), &key, &value);
    if (after != NULL)
        at = at == 0 ? store_cursor_prev(cursor, &key, &value)
                     : store_cursor_seek_last(cursor, &key, &value);
    while (rc == 0 && at == 0 && found < limit) {
        int read = node_job_unpack(value, arena, &list[found], error);

        found += read == 0;
        rc = read == HM_ENOMEM ? read : 0; /* one that can't be read must not hide the others */
        at = store_cursor_prev(cursor, &key, &value);
    }
    store_cursor_close(cursor);
    store_abort(txn);
    if (rc != 0)
        return rc;
    *out = list;
    *count = found;
    return 0;
}

/* --- room for new ones ------------------------------------------------------------------------------------ */

static int node_job_delete(struct node *node, const char *id, struct hm_error *error)
{
    char folder[NODE_PATH_MAX_BYTES];
    struct store_txn *txn;

    node_job_folder(node, id, folder);
    int rc = hm_remove_tree(folder, error);
    if (rc == 0)
        rc = store_begin_write(node->jobs.store, &txn, error);
    if (rc != 0)
        return rc;
    rc = store_delete(txn, NODE_JOB_STORE_TABLE, hm_slice_str(id), error);
    if (rc != 0) {
        store_abort(txn);
        return rc;
    }
    return store_commit(txn, error);
}

/* A record that can't be read is left where it is: it must not hold up the others. */
int node_job_after(struct node *node, const char *id, struct hm_arena *arena,
                   Hypermesh__JobRecord **out, struct hm_error *error)
{
    struct store_cursor *cursor;
    struct store_txn *txn;
    struct hm_slice key, value;
    int rc = node_jobs_cursor(node, &txn, &cursor, error);

    if (rc != 0)
        return rc;
    rc = store_cursor_seek(cursor, hm_slice_str(id), &key, &value);
    if (rc == 0 && hm_slice_equal(key, hm_slice_str(id)))
        rc = store_cursor_next(cursor, &key, &value);
    while (rc == 0 && node_job_unpack(value, arena, out, error) != 0) {
        hm_log(HM_LOG_ERROR, "node", "the record of job %.*s cannot be read", (int)key.len,
               (const char *)key.data);
        rc = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(cursor);
    store_abort(txn);
    return rc;
}

static bool node_jobs_are_many(struct node *node)
{
    struct store_stats stats;

    return store_stats(node->jobs.store, &stats, NULL) == 0 &&
           stats.entries[NODE_JOB_STORE_TABLE] >= NODE_JOBS_KEPT_MAX;
}

/* Removes the oldest ended jobs while more than NODE_JOBS_KEPT_MAX are kept. */
static void node_jobs_trim(struct node *node)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    char id[NODE_JOB_ID_CHARS + 1] = "";
    Hypermesh__JobRecord *record;

    hm_arena_init(&arena, 0);
    while (node_jobs_are_many(node) && node_job_after(node, id, &arena, &record, NULL) == 0) {
        snprintf(id, sizeof(id), "%s", record->id);
        if (record->state == HYPERMESH__JOB_STATE__JOB_DONE && node_job_delete(node, id, NULL) != 0)
            return;
        hm_arena_clear(&arena);
    }
}

/* --- life ---------------------------------------------------------------------------------------------------- */

/* Unique and rising, also within a millisecond and when the clock goes back. Under the jobs' lock. */
static void node_job_name(struct node *node, char id[NODE_JOB_ID_CHARS + 1])
{
    uint64_t number = hm_wall_ms(node->options.clock) << 4;

    if (number <= node->jobs.last_number)
        number = node->jobs.last_number + 1;
    node->jobs.last_number = number;
    snprintf(id, NODE_JOB_ID_CHARS + 1, "j%012llx",
             (unsigned long long)(number & UINT64_C(0xffffffffffff)));
}

static void node_job_free(struct node_job *job)
{
    if (job == NULL)
        return;
    if (job->cancel_fd >= 0)
        close(job->cancel_fd);
    hm_arena_release(&job->arena);
    hm_free(job);
}

/* The job's own copy of the specification. */
static int node_job_copy_spec(struct node_job *job, const Hypermesh__JobSpec *spec,
                              struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    if (wire_pack(&spec->base, &bytes) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a job");
    return WIRE_UNPACK(hypermesh__job_spec, hm_buf_slice(&bytes), bytes.len, &job->arena,
                       &job->record.spec, error);
}

static int node_job_new(struct node *node, const Hypermesh__JobSpec *spec, const char *account,
                        struct node_job **out, struct hm_error *error)
{
    struct node_job *job = hm_calloc(1, sizeof(*job));
    uint8_t consumer[WIRE_ID_BYTES];

    if (job == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a job");
    hm_arena_init(&job->arena, NODE_JOB_RECORD_MAX_BYTES * 4);
    hypermesh__job_record__init(&job->record);
    job->node = node;
    job->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    snprintf(job->account, sizeof(job->account), "%s", account);
    int rc = job->cancel_fd < 0 ? hm_fail_errno(error, HM_EIO, "no descriptor for a job") : 0;
    if (rc == 0)
        rc = node_wallet_resolve(node, job->account, consumer, error);
    if (rc == 0)
        rc = node_job_copy_spec(job, spec, error);
    if (rc == 0) {
        uint8_t *copy = hm_arena_dup(&job->arena, consumer, sizeof(consumer));

        if (copy == NULL)
            rc = hm_fail(error, HM_ENOMEM, "no memory for a job");
        job->record.consumer = wire_bytes(copy, WIRE_ID_BYTES);
    }
    if (rc == 0) {
        job->record.state = job->stored = HYPERMESH__JOB_STATE__JOB_QUEUED;
        job->record.created_ms = hm_wall_ms(node->options.clock);
        job->record.id = job->id;
        *out = job;
        return 0;
    }
    node_job_free(job);
    return rc;
}

/* Puts it on the live list, or says why not. */
static int node_job_admit(struct node *node, struct node_job *job, struct hm_error *error)
{
    int rc = 0;

    pthread_mutex_lock(&node->jobs.lock);
    if (node->jobs.stopping)
        rc = hm_fail(error, HM_EUNAVAILABLE, "the node is stopping");
    else if (node->jobs.running >= NODE_JOBS_LIVE_MAX)
        rc = hm_fail(error, HM_EBUSY, "%d jobs run or wait already: try again later",
                     NODE_JOBS_LIVE_MAX);
    if (rc == 0) {
        node_job_name(node, job->id);
        job->next = node->jobs.live;
        node->jobs.live = job;
        node->jobs.running++;
    }
    pthread_mutex_unlock(&node->jobs.lock);
    return rc;
}

void node_job_end(struct node_job *job)
{
    struct node_jobs *jobs = &job->node->jobs;

    pthread_mutex_lock(&jobs->lock);
    for (struct node_job **at = &jobs->live; *at != NULL; at = &(*at)->next)
        if (*at == job) {
            *at = job->next;
            break;
        }
    pthread_mutex_unlock(&jobs->lock);
    node_job_free(job);
    pthread_mutex_lock(&jobs->lock);
    jobs->running--; /* last: who stops the node waits for it, and then frees what lies under it */
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
}

int node_job_create(struct node *node, const Hypermesh__JobSpec *spec, const char *account,
                    struct hm_arena *arena, Hypermesh__JobRecord **out, struct hm_error *error)
{
    struct node_job *job = NULL;
    char id[NODE_JOB_ID_CHARS + 1];
    pthread_attr_t detached;

    node_jobs_trim(node);
    int rc = node_job_new(node, spec, account, &job, error);
    if (rc != 0)
        return rc;
    rc = node_job_admit(node, job, error);
    if (rc != 0) {
        node_job_free(job);
        return rc;
    }
    memcpy(id, job->id, sizeof(id));
    rc = node_job_write(node, &job->record, error);
    if (rc == 0) {
        pthread_attr_init(&detached);
        pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
        if (pthread_create(&job->thread, &detached, node_job_main, job) != 0) {
            rc = hm_fail(error, HM_EBUSY,
                         "no thread for another job: raise the limit on "
                         "processes (ulimit -u)");
            node_job_delete(node, id, NULL);
        }
        pthread_attr_destroy(&detached);
    }
    if (rc != 0) {
        node_job_end(job);
        return rc;
    }
    /* The job belongs to its thread now. */
    return node_job_get(node, id, arena, out, error);
}

static struct node_job *node_job_find(struct node *node, const char *id)
{
    struct node_job *job = node->jobs.live;

    while (job != NULL && strcmp(job->id, id) != 0)
        job = job->next;
    return job;
}

bool node_job_cancelled(const struct node_job *job)
{
    struct pollfd cancel = {.fd = job->cancel_fd, .events = POLLIN};

    return poll(&cancel, 1, 0) > 0;
}

int node_job_cancel(struct node *node, const char *id, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__JobRecord *record;
    const uint64_t one = 1;

    hm_arena_init(&arena, 0);
    int rc = node_job_get(node, id, &arena, &record, error);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&node->jobs.lock);
    struct node_job *job = node_job_find(node, record->id);
    if (job == NULL)
        rc = hm_fail(error, HM_ECONFLICT, "job %s has ended already", record->id);
    else
        rc = hm_write_all(job->cancel_fd, &one, sizeof(one), error);
    pthread_cond_broadcast(&node->jobs.room);
    pthread_mutex_unlock(&node->jobs.lock);
    return rc;
}

void node_job_wait(struct node *node, const char *id, Hypermesh__JobState seen_state,
                   uint64_t seen_log_bytes, unsigned timeout_ms)
{
    struct timespec until;
    int timed_out = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&node->jobs.lock);
    while (timed_out == 0 && !node->jobs.stopping) {
        const struct node_job *job = node_job_find(node, id);

        if (job == NULL || job->stored != seen_state || job->log_bytes > seen_log_bytes)
            break;
        timed_out = pthread_cond_timedwait(&node->jobs.changed, &node->jobs.lock, &until);
    }
    pthread_mutex_unlock(&node->jobs.lock);
}

void node_jobs_stop(struct node *node)
{
    struct node_jobs *jobs = &node->jobs;
    const uint64_t one = 1;

    pthread_mutex_lock(&jobs->lock);
    jobs->stopping = true;
    for (struct node_job *job = jobs->live; job != NULL; job = job->next)
        hm_write_all(job->cancel_fd, &one, sizeof(one), NULL);
    pthread_cond_broadcast(&jobs->changed);
    pthread_cond_broadcast(&jobs->room);
    while (jobs->running > 0)
        pthread_cond_wait(&jobs->changed, &jobs->lock);
    pthread_mutex_unlock(&jobs->lock);
}

void node_jobs_close(struct node *node)
{
    store_close(node->jobs.store);
    node->jobs.store = NULL;
}
