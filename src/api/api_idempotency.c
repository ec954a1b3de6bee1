#include "api_idempotency.h"

#include "crypto.h"

#define PLACES         4096
#define RECORD_VERSION 1
#define RECORD_HEAD    (1 + 32 + 8 + 4 + 1)
#define FLAG_PROBLEM   1u
#define FLAG_CUT       2u

struct api_idempotent {
    struct api_idempotent *next; /* at the same place */
    struct api_idempotent *older, *newer;
    uint8_t name[32];
    struct api_remembered answer; /* body: owned */
    bool running; /* here and now */
};

/* --- the stored form -------------------------------------------------------------------------- */

int api_remembered_pack(const struct api_remembered *from, struct hm_buf *out)
{
    uint8_t head[RECORD_HEAD] = {RECORD_VERSION};
    int rc;

    memcpy(head + 1, from->digest, 32);
    hm_put_be64(head + 33, from->begun_ms);
    hm_put_be32(head + 41, from->status);
    head[45] = (uint8_t)((from->problem ? FLAG_PROBLEM : 0) | (from->cut ? FLAG_CUT : 0));
    rc = hm_buf_append(out, head, sizeof(head));
    if (rc == 0 && from->body.len > 0)
        rc = hm_buf_append(out, from->body.data, from->body.len);
    return rc;
}

int api_remembered_parse(struct hm_slice bytes, struct api_remembered *out, struct hm_error *error)
{
    const uint8_t *at = bytes.data;
    struct api_remembered parsed = {0};

    if (bytes.len < RECORD_HEAD || bytes.len > RECORD_HEAD + API_IDEMPOTENCY_ANSWER_MAX_BYTES ||
        at[0] != RECORD_VERSION || at[45] > (FLAG_PROBLEM | FLAG_CUT))
        return hm_fail(error, HM_ECORRUPT, "the remembered answer is damaged");
    memcpy(parsed.digest, at + 1, 32);
    parsed.begun_ms = hm_get_be64(at + 33);
    parsed.status = hm_get_be32(at + 41);
    parsed.problem = (at[45] & FLAG_PROBLEM) != 0;
    parsed.cut = (at[45] & FLAG_CUT) != 0;
    parsed.body = hm_slice_of(at + RECORD_HEAD, bytes.len - RECORD_HEAD);
    if (parsed.status != 0 && (parsed.status < 200 || parsed.status > 599))
        return hm_fail(error, HM_ECORRUPT, "the remembered answer is damaged");
    *out = parsed;
    return 0;
}

/* --- the table (under its lock) ------------------------------------------------------------------ */

static struct api_idempotent **place_of(struct api_idempotency *table, const uint8_t name[32])
{
    struct api_idempotent **at = &table->places[hm_get_be32(name) % PLACES];

    while (*at && memcmp((*at)->name, name, 32) != 0)
        at = &(*at)->next;
    return at;
}

static size_t weight(const struct api_idempotent *entry)
{
    return sizeof(*entry) + entry->answer.body.len;
}

static void forget(struct api_idempotency *table, struct api_idempotent *entry)
{
    struct api_idempotent **at = place_of(table, entry->name);

    *at = entry->next;
    *(entry->older ? &entry->older->newer : &table->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &table->newest) = entry->older;
    table->count--;
    table->bytes -= weight(entry);
    hm_free((void *)(uintptr_t)entry->answer.body.data);
    hm_free(entry);
}

/* Forgets what is too old, and the oldest when there is too much; what runs stays. */
static void make_room(struct api_idempotency *table, size_t extra)
{
    uint64_t now_ms = hm_wall_ms(table->clock);
    struct api_idempotent *next;

    for (struct api_idempotent *at = table->oldest; at; at = next) {
        bool old = at->answer.begun_ms + API_IDEMPOTENCY_KEEP_MS < now_ms;

        next = at->newer;
        if (!old && table->count < table->entries_max && table->bytes + extra <= table->bytes_max)
            break;
        if (!at->running)
            forget(table, at);
    }
}

static struct api_idempotent *add(struct api_idempotency *table, const uint8_t name[32],
                                  const uint8_t digest[32])
{
    struct api_idempotent *entry;

    make_room(table, sizeof(*entry));
    if (table->count >= table->entries_max)
        return NULL;
    entry = hm_calloc(1, sizeof(*entry));
    if (!entry)
        return NULL;
    memcpy(entry->name, name, 32);
    memcpy(entry->answer.digest, digest, 32);
    entry->answer.begun_ms = hm_wall_ms(table->clock);
    entry->running = true;
    entry->next = NULL;
    *place_of(table, name) = entry;
    entry->older = table->newest;
    *(table->newest ? &table->newest->newer : &table->oldest) = entry;
    table->newest = entry;
    table->count++;
    table->bytes += weight(entry);
    return entry;
}

int api_idempotency_init(struct api_idempotency *table, const struct api_backend *backend,
                         const struct hm_clock *clock)
{
    *table = (struct api_idempotency){.backend = backend,
                                      .clock = clock,
                                      .entries_max = API_IDEMPOTENCY_ENTRIES_MAX,
                                      .bytes_max = API_IDEMPOTENCY_BYTES_MAX};
    table->places = hm_calloc(PLACES, sizeof(struct api_idempotent *));
    if (!table->places)
        return HM_ENOMEM;
    if (pthread_mutex_init(&table->lock, NULL) == 0)
        return 0;
    hm_free(table->places);
    return HM_ENOMEM;
}

void api_idempotency_release(struct api_idempotency *table)
{
    while (table->oldest)
        forget(table, table->oldest);
    hm_free(table->places);
    (void)pthread_mutex_destroy(&table->lock);
}

/* --- asking ------------------------------------------------------------------------------------ */

int api_idempotency_check(const char *key, struct hm_error *error)
{
    size_t len = strlen(key);
    bool fits = len > 0 && len <= API_IDEMPOTENCY_KEY_MAX_CHARS;

    for (size_t i = 0; i < len && fits; i++)
        fits = key[i] >= 0x20 && key[i] < 0x7f;
    return fits ? 0
                : hm_fail(error, HM_EINVAL,
                          "Idempotency-Key must be 1 to %d printable ASCII characters",
                          API_IDEMPOTENCY_KEY_MAX_CHARS);
}

void api_idempotency_name(struct hm_slice principal, const char *key, uint8_t name[32])
{
    uint8_t len[8];
    const struct hm_slice parts[] = {hm_slice_of(len, sizeof(len)), principal, hm_slice_str(key)};

    hm_put_be64(len, principal.len);
    crypto_hash_parts("hypermesh api idempotency", parts, HM_COUNT_OF(parts), name);
}

/* What an entry or record says about the request. */
static enum api_idempotency_word word_of(const struct api_remembered *seen,
                                         const uint8_t digest[32], bool running)
{
    if (memcmp(seen->digest, digest, 32) != 0)
        return API_IDEMPOTENCY_OTHER;
    if (running)
        return API_IDEMPOTENCY_RUNNING;
    return seen->status == 0 ? API_IDEMPOTENCY_UNKNOWN : API_IDEMPOTENCY_REPLAY;
}

static int hand_out(const struct api_remembered *seen, struct hm_arena *arena,
                    struct api_remembered *answer, struct hm_error *error)
{
    struct api_remembered copy = *seen;

    if (seen->body.len > 0) {
        copy.body.data = hm_arena_dup(arena, seen->body.data, seen->body.len);
        if (!copy.body.data)
            return hm_fail(error, HM_ENOMEM, "out of memory");
    }
    *answer = copy;
    return 0;
}

/* Looks in memory; a key not seen before is put down as running. *word RUN: it is new here. */
static int begin_here(struct api_idempotency *table, const uint8_t name[32],
                      const uint8_t digest[32], struct hm_arena *arena,
                      enum api_idempotency_word *word, struct api_remembered *answer,
                      struct hm_error *error)
{
    uint64_t now_ms = hm_wall_ms(table->clock);
    struct api_idempotent *entry;
    int rc = 0;

    (void)pthread_mutex_lock(&table->lock);
    entry = *place_of(table, name);
    if (entry && !entry->running && entry->answer.begun_ms + API_IDEMPOTENCY_KEEP_MS < now_ms) {
        forget(table, entry);
        entry = NULL;
    }
    if (entry) {
        *word = word_of(&entry->answer, digest, entry->running);
        if (*word == API_IDEMPOTENCY_REPLAY)
            rc = hand_out(&entry->answer, arena, answer, error);
    } else {
        *word = API_IDEMPOTENCY_RUN;
        if (!add(table, name, digest))
            rc = hm_fail(error, HM_EBUSY, "too many requests with an Idempotency-Key run");
    }
    (void)pthread_mutex_unlock(&table->lock);
    return rc;
}

/* Looks into the store; a key that is not there is put down as begun. */
static int begin_stored(struct api_idempotency *table, const uint8_t name[32],
                        const uint8_t digest[32], struct hm_arena *arena,
                        enum api_idempotency_word *word, struct api_remembered *answer,
                        struct hm_error *error)
{
    const struct api_backend *backend = table->backend;
    uint64_t now_ms = hm_wall_ms(table->clock);
    HM_CLEANUP(hm_buf) struct hm_buf record = {0};
    struct api_remembered seen = {0};
    struct hm_slice stored = {0};
    int rc = backend->idempotency_get(backend->ctx, name, arena, &stored, error);

    if (rc == 0)
        rc = api_remembered_parse(stored, &seen, error);
    if (rc == 0 && seen.begun_ms + API_IDEMPOTENCY_KEEP_MS >= now_ms) {
        *word = word_of(&seen, digest, false);
        *answer = seen; /* its body lies in the arena */
        return 0;
    }
    if (rc != 0 && rc != HM_ENOTFOUND)
        return rc;
    seen = (struct api_remembered){.begun_ms = now_ms};
    memcpy(seen.digest, digest, 32);
    rc = api_remembered_pack(&seen, &record);
    if (rc)
        return hm_fail(error, rc, "out of memory");
    *word = API_IDEMPOTENCY_RUN;
    return backend->idempotency_put(backend->ctx, name, now_ms + API_IDEMPOTENCY_KEEP_MS,
                                    hm_buf_slice(&record), error);
}

static void drop_here(struct api_idempotency *table, const uint8_t name[32])
{
    struct api_idempotent *entry;

    (void)pthread_mutex_lock(&table->lock);
    entry = *place_of(table, name);
    if (entry)
        forget(table, entry);
    (void)pthread_mutex_unlock(&table->lock);
}

int api_idempotency_begin(struct api_idempotency *table, const uint8_t name[32],
                          const uint8_t digest[32], struct hm_arena *arena,
                          enum api_idempotency_word *word, struct api_remembered *answer,
                          struct hm_error *error)
{
    int rc = begin_here(table, name, digest, arena, word, answer, error);

    if (rc || *word != API_IDEMPOTENCY_RUN || !table->backend->idempotency_get ||
        !table->backend->idempotency_put)
        return rc;
    rc = begin_stored(table, name, digest, arena, word, answer, error);
    if (rc || *word != API_IDEMPOTENCY_RUN)
        drop_here(table, name);
    return rc;
}

/* Makes the running entry an answered one; false: no memory for its body. */
static void keep_here(struct api_idempotency *table, const uint8_t name[32],
                      const struct api_remembered *answer)
{
    struct api_idempotent *entry;
    uint8_t *body = answer->body.len > 0 ? hm_malloc(answer->body.len) : NULL;

    if (body)
        memcpy(body, answer->body.data, answer->body.len);
    (void)pthread_mutex_lock(&table->lock);
    make_room(table, answer->body.len);
    entry = *place_of(table, name);
    if (entry) {
        entry->running = false;
        entry->answer.status = answer->status;
        entry->answer.problem = answer->problem;
        entry->answer.cut = answer->cut || (answer->body.len > 0 && !body);
        entry->answer.body = hm_slice_of(body, body ? answer->body.len : 0);
        table->bytes += entry->answer.body.len;
        body = NULL;
    }
    (void)pthread_mutex_unlock(&table->lock);
    hm_free(body);
}

static void keep_stored(const struct api_idempotency *table, const uint8_t name[32],
                        const struct api_remembered *answer)
{
    const struct api_backend *backend = table->backend;
    uint64_t now_ms = hm_wall_ms(table->clock);
    HM_CLEANUP(hm_buf) struct hm_buf record = {0};

    if (!backend->idempotency_put)
        return;
    /* When this fails the store still says that it was begun: it will not be done twice. */
    if (!answer || api_remembered_pack(answer, &record) == 0)
        (void)backend->idempotency_put(backend->ctx, name, now_ms + API_IDEMPOTENCY_KEEP_MS,
                                       hm_buf_slice(&record), NULL);
}

void api_idempotency_end(struct api_idempotency *table, const uint8_t name[32],
                         const struct api_remembered *answer)
{
    struct api_remembered kept;

    if (answer) {
        kept = *answer;
        kept.begun_ms = hm_wall_ms(table->clock);
        if (kept.body.len > API_IDEMPOTENCY_ANSWER_MAX_BYTES) {
            kept.body = (struct hm_slice){0};
            kept.cut = true;
        }
        keep_stored(table, name, &kept);
        keep_here(table, name, &kept);
    } else {
        keep_stored(table, name, NULL);
        drop_here(table, name);
    }
}
