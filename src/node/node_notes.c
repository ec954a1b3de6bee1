#include "node_notes.h"

#define NODE_DATED_BYTES     (8 + WIRE_ID_BYTES) /* time + id */
#define NODE_SWEEP_PER_WRITE 64

const char *const node_table_names[NODE_TABLE_COUNT] = {
    [NODE_TABLE_JOB] = "job",         [NODE_TABLE_RESULT] = "result",
    [NODE_TABLE_RETIRED] = "retired", [NODE_TABLE_ANSWER] = "answer",
    [NODE_TABLE_EXPIRY] = "expiry",   [NODE_TABLE_RESULT_OF] = "result_of",
};

static struct hm_slice node_dated(uint64_t ms, const uint8_t id[WIRE_ID_BYTES],
                                  uint8_t out[NODE_DATED_BYTES])
{
    hm_put_be64(out, ms);
    memcpy(out + 8, id, WIRE_ID_BYTES);
    return hm_slice_of(out, NODE_DATED_BYTES);
}

/* The first key of a table of dated ones, when it is before the time; its copy in out. */
static bool node_oldest(struct store_txn *txn, enum node_table table, uint64_t before_ms,
                        uint8_t out[NODE_DATED_BYTES])
{
    struct store_cursor *cursor;
    struct hm_slice key, value;
    bool found = false;

    if (store_cursor_open(txn, table, &cursor, NULL) != 0)
        return false;
    if (store_cursor_next(cursor, &key, &value) == 0 && key.len == NODE_DATED_BYTES &&
        hm_get_be64(key.data) < before_ms) {
        memcpy(out, key.data, key.len);
        found = true;
    }
    store_cursor_close(cursor);
    return found;
}

/* Ends a write: the transaction is gone either way. */
static int node_notes_end(struct store_txn *txn, int rc, struct hm_error *error)
{
    if (rc == 0)
        return store_commit(txn, error);
    store_abort(txn);
    return rc;
}

/* --- results --------------------------------------------------------------------------------------------------- */

/* When the lease's result was kept. */
static int node_result_time(struct store_txn *txn, const uint8_t lease[WIRE_ID_BYTES],
                            uint64_t *out)
{
    struct hm_slice value;
    int rc = store_get(txn, NODE_TABLE_RESULT_OF, hm_slice_of(lease, WIRE_ID_BYTES), &value);

    if (rc == 0 && value.len != 8)
        rc = HM_ECORRUPT;
    if (rc == 0)
        *out = hm_get_be64(value.data);
    return rc;
}

/* With the line that leads to it, unless that leads to a later one. */
static int node_result_drop(struct store_txn *txn, const uint8_t dated[NODE_DATED_BYTES],
                            struct hm_error *error)
{
    const uint8_t *lease = dated + 8;
    uint64_t kept_ms;
    int rc = store_delete(txn, NODE_TABLE_RESULT, hm_slice_of(dated, NODE_DATED_BYTES), error);

    if (rc != 0 || node_result_time(txn, lease, &kept_ms) != 0 || kept_ms != hm_get_be64(dated))
        return rc;
    return store_delete(txn, NODE_TABLE_RESULT_OF, hm_slice_of(lease, WIRE_ID_BYTES), error);
}

static int node_results_sweep(struct node *node, struct store_txn *txn, struct hm_error *error)
{
    uint64_t now_ms = node_now_ms(node), kept_ms = node->result_kept_ms;
    uint8_t key[NODE_DATED_BYTES];
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < NODE_SWEEP_PER_WRITE; i++) {
        if (!node_oldest(txn, NODE_TABLE_RESULT, now_ms > kept_ms ? now_ms - kept_ms : 0, key))
            break;
        rc = node_result_drop(txn, key, error);
    }
    return rc;
}

static int node_result_write(struct store_txn *txn, uint64_t now_ms,
                             const uint8_t lease[WIRE_ID_BYTES], struct hm_slice value,
                             struct hm_error *error)
{
    uint8_t dated[NODE_DATED_BYTES], time[8];
    uint64_t before_ms;
    int rc = 0;

    if (node_result_time(txn, lease, &before_ms) == 0) {
        (void)node_dated(before_ms, lease, dated);
        rc = node_result_drop(txn, dated, error);
    }
    if (rc == 0)
        rc = store_put(txn, NODE_TABLE_RESULT, node_dated(now_ms, lease, dated), value, error);
    hm_put_be64(time, now_ms);
    return rc != 0 ? rc
                   : store_put(txn, NODE_TABLE_RESULT_OF, hm_slice_of(lease, WIRE_ID_BYTES),
                               hm_slice_of(time, sizeof(time)), error);
}

int node_result_keep(struct node *node, const uint8_t lease[WIRE_ID_BYTES], struct hm_slice job,
                     struct hm_slice manifest, struct hm_error *error)
{
    Hypermesh__ChallengeAnswer answer = HYPERMESH__CHALLENGE_ANSWER__INIT;
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    struct store_txn *txn;

    answer.job = wire_bytes(job.data, job.len);
    answer.manifest = wire_bytes(manifest.data, manifest.len);
    if (wire_pack(&answer.base, &bytes) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to keep a result");
    int rc = store_begin_write(node->jobs.store, &txn, error);
    if (rc != 0)
        return rc;
    rc = node_results_sweep(node, txn, error);
    if (rc == 0)
        rc = node_result_write(txn, node_now_ms(node), lease, hm_buf_slice(&bytes), error);
    return node_notes_end(txn, rc, error);
}

int node_result_find(struct node *node, const uint8_t lease[WIRE_ID_BYTES], struct hm_arena *arena,
                     Hypermesh__ChallengeAnswer **out, struct hm_error *error)
{
    uint8_t dated[NODE_DATED_BYTES];
    struct store_txn *txn;
    struct hm_slice value;
    uint64_t kept_ms = 0;
    int rc = store_begin_read(node->jobs.store, &txn, error);

    if (rc != 0)
        return rc;
    rc = node_result_time(txn, lease, &kept_ms);
    if (rc == 0)
        rc = store_get(txn, NODE_TABLE_RESULT, node_dated(kept_ms, lease, dated), &value);
    rc = rc == 0 ? WIRE_UNPACK(hypermesh__challenge_answer, value, value.len, arena, out, error)
                 : hm_fail(error, HM_ENOTFOUND, "nothing is kept of what the result was made of");
    store_abort(txn);
    return rc;
}

/* --- retired by the node ---------------------------------------------------------------------------------------- */

int node_retired_note(struct node *node, const Hypermesh__Asset *const *assets, size_t count,
                      struct hm_error *error)
{
    struct store_txn *txn;
    int rc = store_begin_write(node->jobs.store, &txn, error);

    if (rc != 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        uint8_t version[8];

        hm_put_be64(version, assets[i]->version);
        rc = store_put(txn, NODE_TABLE_RETIRED, wire_slice(assets[i]->id),
                       hm_slice_of(version, sizeof(version)), error);
    }
    return node_notes_end(txn, rc, error);
}

bool node_retired_by_node(struct node *node, const Hypermesh__Asset *asset)
{
    struct store_txn *txn;
    struct hm_slice value;
    uint64_t version = 0;

    if (store_begin_read(node->jobs.store, &txn, NULL) != 0)
        return false;
    if (store_get(txn, NODE_TABLE_RETIRED, wire_slice(asset->id), &value) == 0 && value.len == 8)
        version = hm_get_be64(value.data);
    store_abort(txn);
    return version != 0 &&
           asset->version == version + 1; /* retiring it was the change after that */
}

/* --- answers ------------------------------------------------------------------------------------------------------- */

int node_answer_get(struct node *node, const uint8_t key[CRYPTO_HASH_BYTES], struct hm_arena *arena,
                    struct hm_slice *out, struct hm_error *error)
{
    struct store_txn *txn;
    struct hm_slice value;
    int rc = store_begin_read(node->jobs.store, &txn, error);

    if (rc != 0)
        return rc;
    rc = store_get(txn, NODE_TABLE_ANSWER, hm_slice_of(key, CRYPTO_HASH_BYTES), &value);
    if (rc != 0 || value.len < 8 || hm_get_be64(value.data) <= node_now_ms(node)) {
        rc = hm_fail(error, HM_ENOTFOUND, "no answer is kept under that key");
    } else {
        void *copy = hm_arena_dup(arena, value.data + 8, value.len - 8);

        if (copy == NULL)
            rc = hm_fail(error, HM_ENOMEM, "no memory for a kept answer");
        else
            *out = hm_slice_of(copy, value.len - 8);
    }
    store_abort(txn);
    return rc;
}

/* What a write finds and leaves. Under the answers' lock, which keeps the sum right. */
struct node_answers {
    struct node *node;
    struct store_txn *txn;
    uint64_t count, bytes;
};

/* The sum is made once from the table that holds the lengths, and then kept. */
static int node_answers_begin(struct node *node, struct node_answers *out, struct hm_error *error)
{
    struct store_cursor *cursor;
    struct hm_slice key, value;
    int rc = store_begin_write(node->jobs.store, &out->txn, error);

    if (rc != 0)
        return rc;
    out->node = node;
    if (node->answers.counted) {
        out->count = node->answers.count;
        out->bytes = node->answers.bytes;
        return 0;
    }
    rc = store_cursor_open(out->txn, NODE_TABLE_EXPIRY, &cursor, error);
    if (rc != 0) {
        store_abort(out->txn);
        return rc;
    }
    while (store_cursor_next(cursor, &key, &value) == 0) {
        out->count++;
        out->bytes += value.len == 4 ? hm_get_be32(value.data) : 0;
    }
    store_cursor_close(cursor);
    return 0;
}

static int node_answers_end(struct node_answers *answers, int rc, struct hm_error *error)
{
    struct node *node = answers->node;

    rc = node_notes_end(answers->txn, rc, error);
    node->answers.counted = rc == 0; /* else it is made again */
    node->answers.count = answers->count;
    node->answers.bytes = answers->bytes;
    return rc;
}

/* Deletes an answer with its line in the order of ends. */
static int node_answer_drop(struct node_answers *answers, uint64_t expires_ms,
                            const uint8_t key[CRYPTO_HASH_BYTES], struct hm_error *error)
{
    uint8_t dated[NODE_DATED_BYTES];
    struct hm_slice line = node_dated(expires_ms, key, dated), len;

    if (store_get(answers->txn, NODE_TABLE_EXPIRY, line, &len) == 0) {
        answers->count--;
        answers->bytes -= len.len == 4 ? hm_get_be32(len.data) : 0;
    }
    int rc = store_delete(answers->txn, NODE_TABLE_EXPIRY, line, error);
    return rc != 0 ? rc
                   : store_delete(answers->txn, NODE_TABLE_ANSWER,
                                  hm_slice_of(key, CRYPTO_HASH_BYTES), error);
}

/* Those that have ended; and, while there are too many, those that end next. */
static int node_answers_sweep(struct node_answers *answers, struct hm_error *error)
{
    uint64_t now_ms = node_now_ms(answers->node);
    uint8_t dated[NODE_DATED_BYTES];
    int rc = 0;

    for (unsigned i = 0; rc == 0; i++) {
        bool full = answers->count > API_IDEMPOTENCY_ENTRIES_MAX ||
                    answers->bytes > API_IDEMPOTENCY_BYTES_MAX;

        if ((!full && i >= NODE_SWEEP_PER_WRITE) ||
            !node_oldest(answers->txn, NODE_TABLE_EXPIRY, full ? UINT64_MAX : now_ms, dated))
            break;
        rc = node_answer_drop(answers, hm_get_be64(dated), dated + 8, error);
    }
    return rc;
}

static int node_answer_write(struct node_answers *answers, const uint8_t key[CRYPTO_HASH_BYTES],
                             uint64_t expires_ms, struct hm_slice answer, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    uint8_t dated[NODE_DATED_BYTES], time[8], len[4];

    hm_put_be64(time, expires_ms);
    hm_put_be32(len, (uint32_t)answer.len);
    if (hm_buf_append(&bytes, time, sizeof(time)) != 0 ||
        hm_buf_append(&bytes, answer.data, answer.len) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to keep an answer");
    int rc = store_put(answers->txn, NODE_TABLE_ANSWER, hm_slice_of(key, CRYPTO_HASH_BYTES),
                       hm_buf_slice(&bytes), error);
    if (rc == 0)
        rc = store_put(answers->txn, NODE_TABLE_EXPIRY, node_dated(expires_ms, key, dated),
                       hm_slice_of(len, sizeof(len)), error);
    if (rc == 0) {
        answers->count++;
        answers->bytes += answer.len;
    }
    return rc;
}

/* Under the answers' lock. */
static int node_answer_replace(struct node *node, const uint8_t key[CRYPTO_HASH_BYTES],
                               uint64_t expires_ms, struct hm_slice answer, struct hm_error *error)
{
    struct node_answers answers = {0};
    struct hm_slice old;
    int rc = node_answers_begin(node, &answers, error);

    if (rc != 0)
        return rc;
    if (store_get(answers.txn, NODE_TABLE_ANSWER, hm_slice_of(key, CRYPTO_HASH_BYTES), &old) == 0 &&
        old.len >= 8)
        rc = node_answer_drop(&answers, hm_get_be64(old.data), key, error);
    if (rc == 0 && answer.len > 0)
        rc = node_answer_write(&answers, key, expires_ms, answer, error);
    if (rc == 0)
        rc = node_answers_sweep(&answers, error);
    return node_answers_end(&answers, rc, error);
}

int node_answer_put(struct node *node, const uint8_t key[CRYPTO_HASH_BYTES], uint64_t expires_ms,
                    struct hm_slice answer, struct hm_error *error)
{
    if (answer.len > NODE_ANSWER_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "an answer of %zu bytes is not kept, at most %zu are",
                       answer.len, NODE_ANSWER_MAX_BYTES);
    pthread_mutex_lock(&node->answers.lock);
    int rc = node_answer_replace(node, key, expires_ms, answer, error);
    pthread_mutex_unlock(&node->answers.lock);
    return rc;
}
