/* Leases of the key-value store and rules about who may use its keys. */
#include "api_kv.h"

/* --- leases ----------------------------------------------------------------------------------------- */

static int lease_number(struct api_call *call, uint64_t *out, struct hm_error *error)
{
    int rc = hm_u64_parse(call->param.text, out, error);

    return rc ? hm_error_prefix(error, rc, "the lease's number") : 0;
}

/* What is answered when a lease's time begins. */
static void lease_json(struct json_out *json, uint64_t lease, const Hypermesh__KvAnswer *answer,
                       const struct api_receipt *receipt)
{
    json_out_open(json, '{');
    json_out_put_u64(json, "lease", lease);
    json_out_put_u64(json, "ttl_ms", answer->ttl_ms);
    api_receipt_put(json, receipt);
    json_out_close(json, '}');
}

int api_handle_kv_lease_grant(struct api_call *call, struct hm_error *error)
{
    Hypermesh__KvLeaseGrant act = HYPERMESH__KV_LEASE_GRANT__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    const Hypermesh__KvAnswer *answer = NULL;
    struct api_receipt receipt;
    int rc;

    act.lease = api_number_or(&call->body, "lease", 0);
    act.ttl_ms = api_record_get(&call->body, "ttl")->number;
    op.op_case = HYPERMESH__OPERATION__OP_KV_LEASE_GRANT;
    op.kv_lease_grant = &act;
    rc = api_kv_submit(call, api_actor(call, &call->body), &op, &receipt, &answer, error);
    if (rc)
        return rc;
    lease_json(&call->json, answer->lease, answer, &receipt);
    return 0;
}

int api_handle_kv_leases(struct api_call *call, struct hm_error *error)
{
    const char *after = api_text_or(&call->query, "after", NULL);
    Hypermesh__KvLease **items = NULL;
    uint64_t cursor = 0;
    char next[24] = "";
    size_t count = 0;
    size_t limit = 0;
    int rc = api_query_limit(call, &limit, error);

    if (rc == 0 && after) {
        rc = hm_u64_parse(after, &cursor, error);
        rc = rc ? hm_error_prefix(error, rc, "after") : 0;
    }
    if (rc == 0)
        rc = call->backend->kv_leases(call->backend->ctx, cursor, limit + 1, &call->arena, &items,
                                      &count, error);
    if (rc)
        return rc;
    if (count > limit)
        (void)snprintf(next, sizeof(next), "%llu", (unsigned long long)items[limit - 1]->id);
    api_messages_json(call, items, count < limit ? count : limit, count > limit ? next : NULL);
    return 0;
}

static int find_lease(struct api_call *call, Hypermesh__KvLease **out, struct hm_slice **keys,
                      size_t *count, struct hm_error *error)
{
    uint64_t number = 0;
    int rc = lease_number(call, &number, error);

    return rc ? rc
              : call->backend->kv_lease(call->backend->ctx, number, &call->arena, out, keys, count,
                                        error);
}

int api_handle_kv_lease(struct api_call *call, struct hm_error *error)
{
    Hypermesh__KvLease *lease = NULL;
    struct hm_slice *keys = NULL;
    size_t count = 0;
    int rc = find_lease(call, &lease, &keys, &count, error);

    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    json_message_put(&call->json, &lease->base, NULL);
    json_out_key(&call->json, "attached");
    json_out_open(&call->json, '[');
    for (size_t i = 0; i < count; i++)
        json_out_bytes(&call->json, keys[i]);
    json_out_close(&call->json, ']');
    json_out_close(&call->json, '}');
    return 0;
}

/* Who acts on a lease when the request does not say: its owner. */
static int lease_actor(struct api_call *call, uint64_t *number, const char **account,
                       struct hm_error *error)
{
    Hypermesh__KvLease *lease = NULL;
    struct hm_slice *keys = NULL;
    size_t count = 0;
    int rc = lease_number(call, number, error);

    *account = api_text_or(&call->query, "account", NULL);
    if (rc || *account)
        return rc;
    rc = find_lease(call, &lease, &keys, &count, error);
    if (rc == 0)
        *account = api_account_text(call, lease->owner);
    return rc;
}

int api_handle_kv_keep_alive(struct api_call *call, struct hm_error *error)
{
    Hypermesh__KvLeaseKeepAlive act = HYPERMESH__KV_LEASE_KEEP_ALIVE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    const Hypermesh__KvAnswer *answer = NULL;
    struct api_receipt receipt;
    const char *account = NULL;
    int rc = lease_actor(call, &act.lease, &account, error);

    if (rc)
        return rc;
    op.op_case = HYPERMESH__OPERATION__OP_KV_LEASE_KEEP_ALIVE;
    op.kv_lease_keep_alive = &act;
    rc = api_kv_submit(call, account, &op, &receipt, &answer, error);
    if (rc)
        return rc;
    lease_json(&call->json, act.lease, answer, &receipt);
    return 0;
}

int api_handle_kv_lease_revoke(struct api_call *call, struct hm_error *error)
{
    Hypermesh__KvLeaseRevoke act = HYPERMESH__KV_LEASE_REVOKE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    const char *account = NULL;
    int rc = lease_actor(call, &act.lease, &account, error);

    if (rc)
        return rc;
    op.op_case = HYPERMESH__OPERATION__OP_KV_LEASE_REVOKE;
    op.kv_lease_revoke = &act;
    return api_submit_answer(call, account, &op, error);
}

/* --- rules ------------------------------------------------------------------------------------------ */

int api_handle_kv_rules(struct api_call *call, struct hm_error *error)
{
    const char *after = api_text_or(&call->query, "after", NULL);
    struct hm_slice cursor = {0};
    Hypermesh__KvRule **items = NULL;
    char *next = NULL;
    size_t count = 0;
    size_t limit = 0;
    int rc = api_query_limit(call, &limit, error);

    /* The cursor is the last prefix in hexadecimal, after an x: the empty prefix is one too. */
    if (rc == 0 && after) {
        size_t digits = strlen(after) - (after[0] == 'x');
        uint8_t *bytes = hm_arena_alloc(&call->arena, digits / 2 + 1);

        if (!bytes)
            return api_no_memory(error);
        if (after[0] != 'x' || digits % 2 != 0 ||
            hm_hex_decode(after + 1, digits, bytes, digits / 2, NULL))
            return hm_fail(error, HM_EPARSE, "after must be the next of the page before");
        cursor = hm_slice_of(bytes, digits / 2);
    }
    if (rc == 0)
        rc = call->backend->kv_rules(call->backend->ctx, cursor, limit + 1, &call->arena, &items,
                                     &count, error);
    if (rc)
        return rc;
    if (count > limit) {
        ProtobufCBinaryData last = items[limit - 1]->prefix;

        next = hm_arena_alloc(&call->arena, 2 * last.len + 2);
        if (!next)
            return api_no_memory(error);
        next[0] = 'x';
        if (last.len > 0)
            hm_hex_encode(last.data, last.len, next + 1);
        next[1 + 2 * last.len] = '\0';
    }
    api_messages_json(call, items, count < limit ? count : limit, next);
    return 0;
}

int api_handle_kv_rule_set(struct api_call *call, struct hm_error *error)
{
    Hypermesh__KvRuleSet act = HYPERMESH__KV_RULE_SET__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    struct hm_slice prefix = {0};
    bool base64 = false;
    int rc = api_kv_encoding(&call->body, &base64, error);

    if (rc == 0)
        rc = api_kv_bytes(call, "prefix", api_record_get(&call->body, "prefix")->text, base64,
                          &prefix, error);
    if (rc == 0)
        rc = api_account_id(call, api_record_get(&call->body, "owner")->text, &act.owner, error);
    if (rc == 0)
        rc = api_account_ids(call, api_record_get(&call->body, "writers"), &act.n_writers,
                             &act.writers, error);
    if (rc == 0)
        rc = api_account_ids(call, api_record_get(&call->body, "readers"), &act.n_readers,
                             &act.readers, error);
    if (rc)
        return rc;
    act.prefix = wire_bytes(prefix.data, prefix.len);
    act.anyone_writes = api_number_or(&call->body, "anyone_writes", 0) != 0;
    act.anyone_reads = api_number_or(&call->body, "anyone_reads", 0) != 0;
    op.op_case = HYPERMESH__OPERATION__OP_KV_RULE_SET;
    op.kv_rule_set = &act;
    return api_submit_answer(call, api_actor(call, &call->body), &op, error);
}

int api_handle_kv_rule_remove(struct api_call *call, struct hm_error *error)
{
    Hypermesh__KvRuleSet act = HYPERMESH__KV_RULE_SET__INIT; /* an empty owner removes */
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    struct hm_slice prefix = {0};
    bool base64 = false;
    int rc = api_kv_encoding(&call->query, &base64, error);

    if (rc == 0)
        rc = api_kv_bytes(call, "prefix", api_record_get(&call->query, "prefix")->text, base64,
                          &prefix, error);
    if (rc)
        return rc;
    act.prefix = wire_bytes(prefix.data, prefix.len);
    op.op_case = HYPERMESH__OPERATION__OP_KV_RULE_SET;
    op.kv_rule_set = &act;
    return api_submit_answer(call, api_actor(call, &call->query), &op, error);
}
