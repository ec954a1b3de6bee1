/* The fake's key-value store: a list of changes, read from its beginning each time. */
#include "fake_parts.h"

struct fake_change {
    uint64_t revision;
    uint32_t sub;
    uint8_t key[FAKE_KV_KEY_MAX];
    size_t key_len;
    uint8_t value[FAKE_KV_VALUE_MAX];
    size_t value_len;
    uint64_t create, version, lease;
    bool deleted;
};

struct fake_kv {
    struct fake_change changes[FAKE_KV_CHANGES];
    size_t count;
    uint64_t revision, compacted;
    uint32_t sub; /* in the transaction at hand */
    struct {
        uint64_t id, ttl_ms;
    } leases[FAKE_KV_LEASES];
    size_t lease_count;
    struct fake_subscriber {
        void (*wake)(void *ctx);
        void *ctx;
        bool used;
    } subscribers[FAKE_SUBSCRIBERS];
};

static struct hm_slice change_key(const struct fake_change *change)
{
    return hm_slice_of(change->key, change->key_len);
}

static bool in_range(struct hm_slice at, struct hm_slice key, struct hm_slice end)
{
    if (end.len == 0)
        return hm_slice_equal(at, key);
    return hm_slice_compare(at, key) >= 0 &&
           ((end.len == 1 && end.data[0] == 0) || hm_slice_compare(at, end) < 0);
}

/* The key's last change up to a revision; NULL: it is not there then. */
static const struct fake_change *find(const struct fake_kv *kv, struct hm_slice key,
                                      uint64_t revision, size_t before)
{
    for (size_t i = before < kv->count ? before : kv->count; i > 0; i--) {
        const struct fake_change *change = &kv->changes[i - 1];

        if (change->revision <= revision && hm_slice_equal(change_key(change), key))
            return change->deleted ? NULL : change;
    }
    return NULL;
}

static Hypermesh__KvEntry *entry_of(struct hm_arena *arena, const struct fake_change *change)
{
    Hypermesh__KvEntry *entry = hm_arena_alloc(arena, sizeof(*entry));

    hypermesh__kv_entry__init(entry);
    entry->value = wire_bytes(hm_arena_dup(arena, change->value, change->value_len + 1),
                              change->value_len);
    entry->create_revision = change->create;
    entry->mod_revision = change->revision;
    entry->version = change->version;
    entry->lease = change->lease;
    return entry;
}

static int compare_changes(const void *a, const void *b)
{
    return hm_slice_compare(change_key(*(const struct fake_change *const *)a),
                            change_key(*(const struct fake_change *const *)b));
}

/* Keys of the range at a revision, in order. */
static size_t collect(const struct fake_kv *kv, struct hm_slice key, struct hm_slice end,
                      uint64_t revision, const struct fake_change *out[FAKE_KV_CHANGES])
{
    size_t count = 0;

    for (size_t i = 0; i < kv->count; i++) {
        const struct fake_change *change = &kv->changes[i];

        if (in_range(change_key(change), key, end) &&
            find(kv, change_key(change), revision, SIZE_MAX) == change)
            out[count++] = change;
    }
    qsort(out, count, sizeof(*out), compare_changes);
    return count;
}

/* --- acts -------------------------------------------------------------------------------------------- */

static void change_add(struct fake_kv *kv, struct hm_slice key, struct hm_slice value,
                       uint64_t lease, bool deleted)
{
    const struct fake_change *old = find(kv, key, UINT64_MAX, SIZE_MAX);
    struct fake_change *change;

    if (kv->count == FAKE_KV_CHANGES)
        kv->count = 0; /* tests that need more than this do not look back */
    change = &kv->changes[kv->count];
    *change = (struct fake_change){.revision = kv->revision + 1,
                                   .sub = kv->sub++,
                                   .key_len = key.len,
                                   .value_len = value.len,
                                   .lease = lease,
                                   .deleted = deleted,
                                   .create = old ? old->create : kv->revision + 1,
                                   .version = old ? old->version + 1 : 1};
    memcpy(change->key, key.data, key.len);
    if (value.len > 0)
        memcpy(change->value, value.data, value.len);
    kv->count++;
}

static int act_put(struct fake_kv *kv, const Hypermesh__KvPut *put, struct hm_error *error)
{
    if (put->key.len == 0 || put->key.len > FAKE_KV_KEY_MAX)
        return hm_fail(error, HM_EINVAL, "the key is empty (rule kv.key)");
    if (put->value.len > FAKE_KV_VALUE_MAX)
        return hm_fail(error, HM_ELIMIT, "the value is too long (rule kv.value)");
    change_add(kv, wire_slice(put->key), wire_slice(put->value), put->lease, false);
    return 0;
}

static void act_delete(struct fake_kv *kv, const Hypermesh__KvDelete *act,
                       Hypermesh__KvAnswer *answer)
{
    const struct fake_change *found[FAKE_KV_CHANGES];
    size_t count = collect(kv, wire_slice(act->key), wire_slice(act->range_end), UINT64_MAX, found);

    for (size_t i = 0; i < count; i++)
        change_add(kv, change_key(found[i]), (struct hm_slice){0}, 0, true);
    answer->deleted = count;
}

static void act_range(const struct fake_kv *kv, const Hypermesh__KvRange *range,
                      struct hm_arena *arena, Hypermesh__KvAnswer *answer)
{
    const struct fake_change *found[FAKE_KV_CHANGES];
    size_t count = collect(kv, wire_slice(range->key), wire_slice(range->range_end), UINT64_MAX,
                           found);

    answer->count = count;
    answer->pairs = hm_arena_alloc(arena, (count + 1) * sizeof(*answer->pairs));
    for (size_t i = 0; i < count && !range->count_only; i++) {
        Hypermesh__KvPair *pair = hm_arena_alloc(arena, sizeof(*pair));

        hypermesh__kv_pair__init(pair);
        pair->key = wire_bytes(hm_arena_dup(arena, found[i]->key, found[i]->key_len + 1),
                               found[i]->key_len);
        pair->entry = entry_of(arena, found[i]);
        answer->pairs[answer->n_pairs++] = pair;
    }
}

static bool compare_holds(const struct fake_kv *kv, const Hypermesh__KvCompare *compare)
{
    const struct fake_change *at = find(kv, wire_slice(compare->key), UINT64_MAX, SIZE_MAX);
    int64_t mine = 0;
    int order;

    if (compare->target == HYPERMESH__KV_COMPARE_TARGET__KV_VALUE) {
        if (!at)
            return false;
        order = hm_slice_compare(hm_slice_of(at->value, at->value_len), wire_slice(compare->value));
    } else {
        if (at)
            mine = compare->target == HYPERMESH__KV_COMPARE_TARGET__KV_VERSION
                       ? (int64_t)at->version
                   : compare->target == HYPERMESH__KV_COMPARE_TARGET__KV_CREATE
                       ? (int64_t)at->create
                   : compare->target == HYPERMESH__KV_COMPARE_TARGET__KV_MOD ? (int64_t)at->revision
                                                                             : (int64_t)at->lease;
        order = mine < compare->number ? -1 : mine > compare->number;
    }
    switch (compare->result) {
    case HYPERMESH__KV_COMPARE_RESULT__KV_EQUAL:
        return order == 0;
    case HYPERMESH__KV_COMPARE_RESULT__KV_GREATER:
        return order > 0;
    case HYPERMESH__KV_COMPARE_RESULT__KV_LESS:
        return order < 0;
    default:
        return order != 0;
    }
}

static Hypermesh__KvAnswer *answer_new(struct hm_arena *arena)
{
    Hypermesh__KvAnswer *answer = hm_arena_alloc(arena, sizeof(*answer));

    hypermesh__kv_answer__init(answer);
    return answer;
}

static int act_txn(struct fake_kv *kv, const Hypermesh__KvTxn *txn, struct hm_arena *arena,
                   Hypermesh__KvAnswer *out, struct hm_error *error)
{
    Hypermesh__KvTxnOp *const *ops;
    size_t count;
    int rc = 0;

    out->succeeded = true;
    for (size_t i = 0; i < txn->n_compare; i++)
        out->succeeded = out->succeeded && compare_holds(kv, txn->compare[i]);
    ops = out->succeeded ? txn->success : txn->failure;
    count = out->succeeded ? txn->n_success : txn->n_failure;
    out->answers = hm_arena_alloc(arena, (count + 1) * sizeof(*out->answers));
    for (size_t i = 0; i < count && rc == 0; i++) {
        Hypermesh__KvAnswer *answer = answer_new(arena);

        out->answers[out->n_answers++] = answer;
        if (ops[i]->op_case == HYPERMESH__KV_TXN_OP__OP_PUT)
            rc = act_put(kv, ops[i]->put, error);
        else if (ops[i]->op_case == HYPERMESH__KV_TXN_OP__OP_DELETE)
            act_delete(kv, ops[i]->delete_, answer);
        else if (ops[i]->op_case == HYPERMESH__KV_TXN_OP__OP_RANGE)
            act_range(kv, ops[i]->range, arena, answer);
        else
            rc = act_txn(kv, ops[i]->txn, arena, answer, error);
        answer->revision = kv->revision + (kv->sub > 0);
    }
    return rc;
}

static int lease_find(const struct fake_kv *kv, uint64_t id, size_t *at, struct hm_error *error)
{
    for (size_t i = 0; i < kv->lease_count; i++) {
        if (kv->leases[i].id == id) {
            *at = i;
            return 0;
        }
    }
    return hm_fail(error, HM_ENOTFOUND, "there is no lease %llu (rule kv.lease_unknown)",
                   (unsigned long long)id);
}

static int act_lease(struct fake_kv *kv, const Hypermesh__Operation *op, Hypermesh__KvAnswer *out,
                     struct hm_error *error)
{
    uint64_t id = op->op_case == HYPERMESH__OPERATION__OP_KV_LEASE_GRANT ? op->kv_lease_grant->lease
                  : op->op_case == HYPERMESH__OPERATION__OP_KV_LEASE_REVOKE
                      ? op->kv_lease_revoke->lease
                      : op->kv_lease_keep_alive->lease;
    size_t at = 0;
    int rc = lease_find(kv, id, &at, error);

    if (op->op_case == HYPERMESH__OPERATION__OP_KV_LEASE_GRANT) {
        if (rc == 0 || kv->lease_count == FAKE_KV_LEASES)
            return hm_fail(error, HM_EEXIST, "there is such a lease (rule kv.lease_taken)");
        at = kv->lease_count++;
        kv->leases[at].id = id ? id : 1000 + at;
        kv->leases[at].ttl_ms = op->kv_lease_grant->ttl_ms;
    } else if (rc) {
        return rc;
    }
    out->lease = kv->leases[at].id;
    out->ttl_ms = kv->leases[at].ttl_ms;
    if (op->op_case == HYPERMESH__OPERATION__OP_KV_LEASE_REVOKE)
        kv->leases[at] = kv->leases[--kv->lease_count];
    return 0;
}

int fake_kv_apply(struct fake *fake, const Hypermesh__Operation *op, struct hm_arena *arena,
                  struct api_receipt *out, struct hm_error *error)
{
    struct fake_kv *kv = fake->kv;
    Hypermesh__KvAnswer *answer = answer_new(arena);
    size_t kept = kv->count;
    int rc = 0;

    kv->sub = 0;
    switch (op->op_case) {
    case HYPERMESH__OPERATION__OP_KV_PUT:
        rc = act_put(kv, op->kv_put, error);
        break;
    case HYPERMESH__OPERATION__OP_KV_DELETE:
        act_delete(kv, op->kv_delete, answer);
        break;
    case HYPERMESH__OPERATION__OP_KV_TXN:
        rc = act_txn(kv, op->kv_txn, arena, answer, error);
        break;
    case HYPERMESH__OPERATION__OP_KV_LEASE_GRANT:
    case HYPERMESH__OPERATION__OP_KV_LEASE_REVOKE:
    case HYPERMESH__OPERATION__OP_KV_LEASE_KEEP_ALIVE:
        rc = act_lease(kv, op, answer, error);
        break;
    case HYPERMESH__OPERATION__OP_KV_COMPACT:
        if (op->kv_compact->revision > kv->revision)
            rc = hm_fail(error, HM_ERANGE, "that revision is to come (rule kv.future)");
        else
            kv->compacted = op->kv_compact->revision;
        break;
    case HYPERMESH__OPERATION__OP_KV_RULE_SET:
        break;
    default:
        return 0;
    }
    if (rc) {
        kv->count = kept;
        return rc;
    }
    kv->revision += kv->sub > 0;
    answer->revision = kv->revision;
    out->kv = hm_arena_alloc(arena, sizeof(*out->kv));
    out->kv[0] = answer;
    out->kv_count = 1;
    fake_wake(fake);
    return 0;
}

void fake_wake(struct fake *fake)
{
    struct fake_kv *kv = fake->kv;

    for (size_t i = 0; i < FAKE_SUBSCRIBERS; i++) {
        if (kv->subscribers[i].used)
            kv->subscribers[i].wake(kv->subscribers[i].ctx);
    }
}

/* --- reads -------------------------------------------------------------------------------------------- */

static int fake_kv_state(void *ctx, struct hm_arena *arena, Hypermesh__KvState **out,
                         struct hm_error *error)
{
    struct fake *fake = ctx;

    (void)error;
    *out = hm_arena_alloc(arena, sizeof(**out));
    hypermesh__kv_state__init(*out);
    (void)pthread_mutex_lock(&fake->lock);
    (*out)->revision = fake->kv->revision;
    (*out)->compacted = fake->kv->compacted;
    (void)pthread_mutex_unlock(&fake->lock);
    return 0;
}

static int read_range(const struct fake_kv *kv, const struct api_kv_query *query,
                      struct hm_arena *arena, struct api_kv_pairs *out, struct hm_error *error)
{
    const struct fake_change *found[FAKE_KV_CHANGES];
    uint64_t revision = query->revision ? query->revision : kv->revision;
    size_t most = query->limit && query->limit < FAKE_KV_PAGE ? query->limit : FAKE_KV_PAGE;

    if (revision > kv->revision || revision < kv->compacted)
        return hm_fail(error, HM_ERANGE, "there is no history of that revision");
    out->total = collect(kv, query->key, query->range_end, revision, found);
    out->revision = kv->revision;
    out->pairs = hm_arena_alloc(arena, (out->total + 1) * sizeof(*out->pairs));
    for (size_t i = 0; i < out->total && i < most && !query->count_only; i++) {
        Hypermesh__KvPair *pair = hm_arena_alloc(arena, sizeof(*pair));

        hypermesh__kv_pair__init(pair);
        pair->key = wire_bytes(hm_arena_dup(arena, found[i]->key, found[i]->key_len + 1),
                               found[i]->key_len);
        pair->entry = entry_of(arena, found[i]);
        if (query->keys_only)
            pair->entry->value.len = 0;
        out->pairs[out->count++] = pair;
    }
    out->more = !query->count_only && out->count < out->total;
    return 0;
}

static int fake_kv_range(void *ctx, const char *account, const struct api_kv_query *query,
                         struct hm_arena *arena, struct api_kv_pairs *out, struct hm_error *error)
{
    struct fake *fake = ctx;
    int rc;

    if (strcmp(account, "stranger") == 0)
        return hm_fail(error, HM_EPERM, "may not read (rule kv.read)");
    (void)pthread_mutex_lock(&fake->lock);
    rc = read_range(fake->kv, query, arena, out, error);
    (void)pthread_mutex_unlock(&fake->lock);
    return rc;
}

static int read_changes(const struct fake_kv *kv, struct hm_slice key, struct hm_slice end,
                        uint64_t from, uint32_t sub, size_t limit, struct hm_arena *arena,
                        struct api_kv_changes *out, struct hm_error *error)
{
    if (from < kv->compacted)
        return hm_fail(error, HM_ERANGE, "history from %llu on is gone", (unsigned long long)from);
    *out = (struct api_kv_changes){.next = from, .next_sub = sub, .revision = kv->revision};
    out->events = hm_arena_alloc(arena, (limit + 1) * sizeof(*out->events));
    out->previous = hm_arena_alloc(arena, (limit + 1) * sizeof(*out->previous));
    for (size_t i = 0; i < kv->count && out->count < limit; i++) {
        const struct fake_change *change = &kv->changes[i];
        const struct fake_change *before = find(kv, change_key(change), UINT64_MAX, i);
        Hypermesh__KvEvent *event;

        if (change->revision < from || (change->revision == from && change->sub < sub))
            continue;
        out->next = change->revision;
        out->next_sub = change->sub + 1;
        if (!in_range(change_key(change), key, end))
            continue;
        event = hm_arena_alloc(arena, sizeof(*event));
        hypermesh__kv_event__init(event);
        event->revision = change->revision;
        event->sub = change->sub;
        event->key = wire_bytes(hm_arena_dup(arena, change->key, change->key_len + 1),
                                change->key_len);
        event->deleted = change->deleted;
        event->entry = change->deleted ? NULL : entry_of(arena, change);
        event->height = 3;
        out->previous[out->count] = before ? entry_of(arena, before) : NULL;
        out->events[out->count++] = event;
    }
    if (out->next <= kv->revision && out->count < limit) {
        out->next = kv->revision + 1;
        out->next_sub = 0;
    }
    return 0;
}

static int fake_kv_changes(void *ctx, const char *account, struct hm_slice key,
                           struct hm_slice range_end, uint64_t from, uint32_t sub, size_t limit,
                           bool with_previous, struct hm_arena *arena, struct api_kv_changes *out,
                           struct hm_error *error)
{
    struct fake *fake = ctx;
    int rc;

    (void)account;
    (void)with_previous;
    (void)pthread_mutex_lock(&fake->lock);
    rc = read_changes(fake->kv, key, range_end, from, sub, limit, arena, out, error);
    (void)pthread_mutex_unlock(&fake->lock);
    return rc;
}

static Hypermesh__KvLease *make_lease(const struct fake_kv *kv, size_t at, struct hm_arena *arena)
{
    Hypermesh__KvLease *lease = hm_arena_alloc(arena, sizeof(*lease));

    hypermesh__kv_lease__init(lease);
    lease->id = kv->leases[at].id;
    lease->ttl_ms = kv->leases[at].ttl_ms;
    lease->owner = fake_bytes(arena, 1);
    lease->keys = 1;
    return lease;
}

static int fake_kv_lease(void *ctx, uint64_t id, struct hm_arena *arena, Hypermesh__KvLease **out,
                         struct hm_slice **keys, size_t *key_count, struct hm_error *error)
{
    struct fake *fake = ctx;
    size_t at = 0;
    int rc;

    (void)pthread_mutex_lock(&fake->lock);
    rc = lease_find(fake->kv, id, &at, error);
    if (rc == 0) {
        *out = make_lease(fake->kv, at, arena);
        *keys = hm_arena_alloc(arena, sizeof(**keys));
        (*keys)[0] = hm_slice_str("held");
        *key_count = 1;
    }
    (void)pthread_mutex_unlock(&fake->lock);
    return rc;
}

static int fake_kv_leases(void *ctx, uint64_t after, size_t limit, struct hm_arena *arena,
                          Hypermesh__KvLease ***out, size_t *count, struct hm_error *error)
{
    struct fake *fake = ctx;

    (void)error;
    *out = hm_arena_alloc(arena, FAKE_KV_LEASES * sizeof(**out));
    *count = 0;
    (void)pthread_mutex_lock(&fake->lock);
    for (size_t i = 0; i < fake->kv->lease_count && *count < limit; i++) {
        if (fake->kv->leases[i].id > after)
            (*out)[(*count)++] = make_lease(fake->kv, i, arena);
    }
    (void)pthread_mutex_unlock(&fake->lock);
    return 0;
}

/* Three rules: at "", "a" and "b". */
static int fake_kv_rules(void *ctx, struct hm_slice after, size_t limit, struct hm_arena *arena,
                         Hypermesh__KvRule ***out, size_t *count, struct hm_error *error)
{
    static const char *const prefixes[] = {"", "a", "b"};

    (void)ctx;
    (void)error;
    *out = hm_arena_alloc(arena, HM_COUNT_OF(prefixes) * sizeof(**out));
    *count = 0;
    for (size_t i = 0; i < HM_COUNT_OF(prefixes) && *count < limit; i++) {
        Hypermesh__KvRule *rule = hm_arena_alloc(arena, sizeof(*rule));

        if (after.data && hm_slice_compare(hm_slice_str(prefixes[i]), after) <= 0)
            continue;
        hypermesh__kv_rule__init(rule);
        rule->prefix = wire_bytes(prefixes[i], strlen(prefixes[i]));
        rule->owner = fake_bytes(arena, 1);
        (*out)[(*count)++] = rule;
    }
    return 0;
}

/* --- news ----------------------------------------------------------------------------------------------- */

static int fake_subscribe(void *ctx, const struct api_interest *interest,
                          void (*wake)(void *wake_ctx), void *wake_ctx,
                          struct api_subscription **out, struct hm_error *error)
{
    struct fake *fake = ctx;
    int rc = HM_EBUSY;

    (void)interest;
    (void)pthread_mutex_lock(&fake->lock);
    for (size_t i = 0; i < FAKE_SUBSCRIBERS && rc; i++) {
        struct fake_subscriber *at = &fake->kv->subscribers[i];

        if (at->used)
            continue;
        *at = (struct fake_subscriber){.wake = wake, .ctx = wake_ctx, .used = true};
        *out = (struct api_subscription *)(void *)at;
        rc = 0;
    }
    (void)pthread_mutex_unlock(&fake->lock);
    return rc ? hm_fail(error, rc, "too many subscribers") : 0;
}

static void fake_unsubscribe(void *ctx, struct api_subscription *subscription)
{
    struct fake *fake = ctx;

    if (!subscription)
        return;
    (void)pthread_mutex_lock(&fake->lock);
    ((struct fake_subscriber *)(void *)subscription)->used = false;
    (void)pthread_mutex_unlock(&fake->lock);
}

unsigned fake_subscribers(struct fake *fake)
{
    unsigned count = 0;

    (void)pthread_mutex_lock(&fake->lock);
    for (size_t i = 0; i < FAKE_SUBSCRIBERS; i++)
        count += fake->kv->subscribers[i].used;
    (void)pthread_mutex_unlock(&fake->lock);
    return count;
}

int fake_kv_fill(struct fake *fake)
{
    struct api_backend *backend = &fake->backend;

    fake->kv = hm_calloc(1, sizeof(*fake->kv));
    if (!fake->kv)
        return HM_ENOMEM;
    fake->kv->revision = 1;
    backend->kv_state = fake_kv_state;
    backend->kv_range = fake_kv_range;
    backend->kv_changes = fake_kv_changes;
    backend->kv_lease = fake_kv_lease;
    backend->kv_leases = fake_kv_leases;
    backend->kv_rules = fake_kv_rules;
    backend->subscribe = fake_subscribe;
    backend->unsubscribe = fake_unsubscribe;
    return 0;
}
