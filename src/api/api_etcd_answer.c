/* etcd's answers and errors. */
#include <stdlib.h>

#include "api_etcd.h"
#include "crypto.h"

/* --- errors ------------------------------------------------------------------------------------------ */

/* gRPC's status codes and what grpc-gateway makes of them. */
static const struct {
    int code;
    unsigned grpc;
    unsigned http;
} faults[] = {
    {HM_EINVAL, 3, 400},        {HM_EPARSE, 3, 400},        {HM_ELIMIT, 3, 400},
    {HM_ENOTFOUND, 5, 404},     {HM_EPERM, 7, 403},         {HM_EAUTH, 16, 401},
    {HM_EEXIST, 9, 412},        {HM_EFUNDS, 9, 412},        {HM_ECONFLICT, 10, 409},
    {HM_ERANGE, 11, 400},       {HM_EUNSUPPORTED, 12, 501}, {HM_EBUSY, 14, 503},
    {HM_EUNAVAILABLE, 14, 503}, {HM_ETIMEOUT, 14, 503},     {HM_ENOMEM, 8, 503},
    {HM_ECANCELLED, 1, 408},
};

static void fault_json(struct api_call *call, int code, const char *sentence)
{
    struct json_out json = {.out = &call->response->body};
    unsigned grpc = 13;
    unsigned http = 500;

    for (size_t i = 0; i < HM_COUNT_OF(faults); i++) {
        if (faults[i].code == code) {
            grpc = faults[i].grpc;
            http = faults[i].http;
        }
    }
    hm_buf_clear(&call->response->body);
    call->response->status = http;
    json_out_open(&json, '{');
    json_out_put_text(&json, "error", sentence);
    json_out_put_text(&json, "message", sentence);
    json_out_put_u64(&json, "code", grpc);
    json_out_close(&json, '}');
    call->json = json;
}

/* Refusals of the ledger that etcd knows too, by the rule that the sentence ends with. */
static const struct {
    const char *rule;
    int code;
    const char *sentence;
} rules[] = {
    {"kv.key", HM_EINVAL, "etcdserver: key is not provided"},
    {"kv.value", HM_ELIMIT, "etcdserver: request is too large"},
    {"kv.missing", HM_EINVAL, "etcdserver: key not found"},
    {"kv.txn", HM_EINVAL, "etcdserver: too many operations in txn request"},
    {"kv.txn_twice", HM_EINVAL, "etcdserver: duplicate key given in txn request"},
    {"kv.lease_ttl", HM_ERANGE, "etcdserver: too large lease TTL"},
    {"kv.lease_taken", HM_EEXIST, "etcdserver: lease already exists"},
    {"kv.lease_unknown", HM_ENOTFOUND, "etcdserver: requested lease not found"},
    {"kv.compacted", HM_ERANGE, "etcdserver: mvcc: required revision has been compacted"},
    {"kv.future", HM_ERANGE, "etcdserver: mvcc: required revision is a future revision"},
};

/* Sentences of the ledger end with "(rule NAME)". */
static bool names_rule(const char *sentence, const char *rule)
{
    char end[64];
    int len = snprintf(end, sizeof(end), "(rule %s)", rule);
    size_t all = strlen(sentence);

    return all >= (size_t)len && strcmp(sentence + all - len, end) == 0;
}

static void fault(struct api_call *call, int code, const char *sentence)
{
    for (size_t i = 0; i < HM_COUNT_OF(rules); i++) {
        if (names_rule(sentence, rules[i].rule)) {
            fault_json(call, rules[i].code, rules[i].sentence);
            return;
        }
    }
    if (code == HM_EPERM)
        sentence = "etcdserver: permission denied";
    fault_json(call, code, sentence[0] != '\0' ? sentence : hm_error_title(code));
}

int api_etcd_run(struct api_call *call, int (*body)(struct api_call *call, struct hm_error *error))
{
    struct hm_error error = {0};

    return api_etcd_end(call, body(call, &error), &error);
}

int api_etcd_end(struct api_call *call, int rc, const struct hm_error *error)
{
    if (rc > 0)
        return rc; /* the act has begun, or must be waited for */
    if (rc)
        fault(call, rc, error->text);
    return 0;
}

/* --- parts ------------------------------------------------------------------------------------------- */

int api_etcd_ids(struct api_core *core, struct hm_arena *arena, struct api_etcd_ids *out,
                 struct hm_error *error)
{
    const struct api_backend *backend = core->backend;
    struct api_status status = {0};
    struct api_account node = {0};
    struct hm_slice genesis = {0};
    uint8_t hash[CRYPTO_HASH_BYTES];
    int rc;

    out->cluster = atomic_load(&core->etcd_cluster);
    out->member = atomic_load(&core->etcd_member);
    if (out->cluster != 0 && out->member != 0)
        return 0;
    rc = backend->genesis_bytes(backend->ctx, arena, &genesis, error);
    if (rc == 0)
        rc = backend->status(backend->ctx, arena, &status, error);
    if (rc == 0 && !status.node_account)
        rc = hm_fail(error, HM_EBUSY, "etcdserver: the node has no account yet");
    if (rc == 0)
        rc = backend->account(backend->ctx, status.node_account, arena, &node, error);
    if (rc)
        return rc;
    crypto_hash(genesis.data, genesis.len, hash);
    out->cluster = hm_get_be64(hash);
    out->member = hm_get_be64(node.id);
    atomic_store(&core->etcd_cluster, out->cluster);
    atomic_store(&core->etcd_member, out->member);
    return 0;
}

void api_etcd_put_u64(struct json_out *json, const char *name, uint64_t value)
{
    char text[24];

    if (value == 0)
        return;
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    json_out_put_text(json, name, text);
}

void api_etcd_put_i64(struct json_out *json, const char *name, int64_t value)
{
    char text[24];

    if (value == 0)
        return;
    (void)snprintf(text, sizeof(text), "%lld", (long long)value);
    json_out_put_text(json, name, text);
}

void api_etcd_header_put(struct json_out *json, const struct api_etcd_ids *ids, uint64_t revision)
{
    json_out_key(json, "header");
    json_out_open(json, '{');
    api_etcd_put_u64(json, "cluster_id", ids->cluster);
    api_etcd_put_u64(json, "member_id", ids->member);
    api_etcd_put_u64(json, "revision", revision);
    api_etcd_put_u64(json, "raft_term", API_ETCD_RAFT_TERM);
    json_out_close(json, '}');
}

int api_etcd_header(struct api_call *call, struct json_out *json, uint64_t revision,
                    struct hm_error *error)
{
    struct api_etcd_ids ids = {0};
    int rc = api_etcd_ids(call->core, &call->arena, &ids, error);

    if (rc == 0)
        api_etcd_header_put(json, &ids, revision);
    return rc;
}

static void put_bytes(struct json_out *json, const char *name, struct hm_slice bytes)
{
    if (bytes.len > 0)
        json_out_put_base64(json, name, bytes);
}

void api_etcd_kv_json(struct json_out *json, struct hm_slice key, const Hypermesh__KvEntry *entry,
                      bool keys_only)
{
    json_out_open(json, '{');
    put_bytes(json, "key", key);
    if (entry) {
        api_etcd_put_u64(json, "create_revision", entry->create_revision);
        api_etcd_put_u64(json, "mod_revision", entry->mod_revision);
        api_etcd_put_u64(json, "version", entry->version);
        if (!keys_only)
            put_bytes(json, "value", wire_slice(entry->value));
        api_etcd_put_i64(json, "lease", (int64_t)entry->lease);
    }
    json_out_close(json, '}');
}

void api_etcd_prev_list(struct json_out *json, const char *name, const Hypermesh__KvAnswer *range)
{
    if (range->n_pairs == 0)
        return;
    json_out_key(json, name);
    json_out_open(json, '[');
    for (size_t i = 0; i < range->n_pairs; i++)
        api_etcd_kv_json(json, wire_slice(range->pairs[i]->key), range->pairs[i]->entry, false);
    json_out_close(json, ']');
}

/* --- ranges ------------------------------------------------------------------------------------------ */

enum { SORT_NONE, SORT_ASCEND, SORT_DESCEND };
enum { TARGET_KEY, TARGET_VERSION, TARGET_CREATE, TARGET_MOD, TARGET_VALUE };

/* etcd sorts by another target than the key even where no order is named. */
static int order_of(const struct api_etcd_range_ask *ask)
{
    return ask->sort_order == SORT_NONE && ask->sort_target != TARGET_KEY ? SORT_ASCEND
                                                                          : ask->sort_order;
}

bool api_etcd_range_is_whole(const struct api_etcd_range_ask *ask)
{
    return order_of(ask) != SORT_NONE || ask->min_mod > 0 || ask->max_mod > 0 ||
           ask->min_create > 0 || ask->max_create > 0;
}

static bool bound_fits(uint64_t revision, int64_t min, int64_t max)
{
    return (min <= 0 || revision >= (uint64_t)min) && (max <= 0 || revision <= (uint64_t)max);
}

static bool pair_fits(const struct api_etcd_range_ask *ask, const Hypermesh__KvPair *pair)
{
    return bound_fits(pair->entry->mod_revision, ask->min_mod, ask->max_mod) &&
           bound_fits(pair->entry->create_revision, ask->min_create, ask->max_create);
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_pairs(const void *left, const void *right, void *ctx)
{
    const Hypermesh__KvPair *a = *(Hypermesh__KvPair *const *)left;
    const Hypermesh__KvPair *b = *(Hypermesh__KvPair *const *)right;
    const struct api_etcd_range_ask *ask = ctx;
    int order = 0;

    switch (ask->sort_target) {
    case TARGET_VERSION:
        order = compare_u64(a->entry->version, b->entry->version);
        break;
    case TARGET_CREATE:
        order = compare_u64(a->entry->create_revision, b->entry->create_revision);
        break;
    case TARGET_MOD:
        order = compare_u64(a->entry->mod_revision, b->entry->mod_revision);
        break;
    case TARGET_VALUE:
        order = hm_slice_compare(wire_slice(a->entry->value), wire_slice(b->entry->value));
        break;
    default:
        break;
    }
    if (order == 0)
        order = hm_slice_compare(wire_slice(a->key), wire_slice(b->key));
    return order_of(ask) == SORT_DESCEND ? -order : order;
}

void api_etcd_range_put(struct json_out *json, const struct api_etcd_range_ask *ask,
                        Hypermesh__KvPair **pairs, size_t count, uint64_t total, bool more)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        if (pairs[i]->entry && pair_fits(ask, pairs[i]))
            pairs[kept++] = pairs[i];
    }
    if (order_of(ask) != SORT_NONE && kept > 1)
        qsort_r(pairs, kept, sizeof(*pairs), compare_pairs, (void *)(uintptr_t)ask);
    if (ask->limit > 0 && kept > (uint64_t)ask->limit) {
        kept = (size_t)ask->limit;
        more = true;
    }
    if (kept > 0 && !ask->count_only) {
        json_out_key(json, "kvs");
        json_out_open(json, '[');
        for (size_t i = 0; i < kept; i++)
            api_etcd_kv_json(json, wire_slice(pairs[i]->key), pairs[i]->entry, ask->keys_only);
        json_out_close(json, ']');
    }
    if (more && !ask->count_only)
        json_out_put_bool(json, "more", true);
    api_etcd_put_u64(json, "count", total);
}

int api_etcd_state(struct api_call *call, Hypermesh__KvState **out, struct hm_error *error)
{
    return call->backend->kv_state(call->backend->ctx, &call->arena, out, error);
}

int api_etcd_range_fault(struct api_call *call, int64_t revision, struct hm_error *error)
{
    Hypermesh__KvState *state = NULL;
    int rc = api_etcd_state(call, &state, error);

    if (rc)
        return rc;
    if (revision > 0 && (uint64_t)revision > state->revision)
        return hm_fail(error, HM_ERANGE,
                       "etcdserver: mvcc: required revision is a future revision");
    return hm_fail(error, HM_ERANGE, "etcdserver: mvcc: required revision has been compacted");
}
