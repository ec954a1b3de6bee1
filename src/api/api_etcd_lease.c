/* etcd's leases. */
#include "api_etcd.h"

#define MS_PER_S        1000
#define LEASES_PER_READ 1000
#define LEASES_MAX      100000
#define KEEP_ALIVES_MAX 128 /* in one request: each is a transaction that is waited for and paid */

static int find_lease(struct api_call *call, int64_t id, Hypermesh__KvLease **out,
                      struct hm_slice **keys, size_t *count, struct hm_error *error)
{
    return call->backend->kv_lease(call->backend->ctx, (uint64_t)id, &call->arena, out, keys, count,
                                   error);
}

static int header_now(struct api_call *call, struct hm_error *error)
{
    Hypermesh__KvState *state = NULL;
    int rc = api_etcd_state(call, &state, error);

    return rc ? rc : api_etcd_header(call, &call->json, state->revision, error);
}

static int read_id(struct api_call *call, json_t **body, int64_t *id, struct hm_error *error)
{
    int rc = api_etcd_read(call, body, error);

    return rc ? rc : api_etcd_i64(*body, "ID", id, error);
}

static int grant_body(struct api_call *call, struct hm_error *error)
{
    Hypermesh__KvLeaseGrant act = HYPERMESH__KV_LEASE_GRANT__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    const Hypermesh__KvAnswer *answer = NULL;
    HM_CLEANUP(json) json_t *body = NULL;
    struct api_receipt receipt;
    int64_t id = 0;
    int64_t ttl = 0;
    int rc = read_id(call, &body, &id, error);

    if (rc == 0)
        rc = api_etcd_i64(body, "TTL", &ttl, error);
    if (rc == 0 && ttl > API_ETCD_TTL_MAX_S)
        rc = hm_fail(error, HM_ERANGE, "etcdserver: too large lease TTL");
    if (rc)
        return rc;
    act.lease = (uint64_t)id;
    act.ttl_ms = (uint64_t)(ttl < API_ETCD_TTL_MIN_S ? API_ETCD_TTL_MIN_S : ttl) * MS_PER_S;
    op.op_case = HYPERMESH__OPERATION__OP_KV_LEASE_GRANT;
    op.kv_lease_grant = &act;
    rc = api_kv_submit(call, call->account, &op, &receipt, &answer, error);
    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    rc = api_etcd_header(call, &call->json, answer->revision, error);
    api_etcd_put_i64(&call->json, "ID", (int64_t)answer->lease);
    api_etcd_put_u64(&call->json, "TTL", answer->ttl_ms / MS_PER_S);
    json_out_close(&call->json, '}');
    return rc;
}

static int revoke_body(struct api_call *call, struct hm_error *error)
{
    Hypermesh__KvLeaseRevoke act = HYPERMESH__KV_LEASE_REVOKE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    const Hypermesh__KvAnswer *answer = NULL;
    HM_CLEANUP(json) json_t *body = NULL;
    struct api_receipt receipt;
    int64_t id = 0;
    int rc = read_id(call, &body, &id, error);

    if (rc)
        return rc;
    act.lease = (uint64_t)id;
    op.op_case = HYPERMESH__OPERATION__OP_KV_LEASE_REVOKE;
    op.kv_lease_revoke = &act;
    rc = api_kv_submit(call, call->account, &op, &receipt, &answer, error);
    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    rc = api_etcd_header(call, &call->json, answer->revision, error);
    json_out_close(&call->json, '}');
    return rc;
}

static int time_to_live_body(struct api_call *call, struct hm_error *error)
{
    HM_CLEANUP(json) json_t *body = NULL;
    Hypermesh__KvLease *lease = NULL;
    struct hm_slice *keys = NULL;
    size_t count = 0;
    uint64_t now_ms = hm_wall_ms(call->core->clock);
    bool with_keys = false;
    int64_t id = 0;
    int rc = read_id(call, &body, &id, error);

    if (rc == 0)
        rc = api_etcd_bool(body, "keys", &with_keys, error);
    if (rc == 0)
        rc = find_lease(call, id, &lease, &keys, &count, error);
    if (rc && rc != HM_ENOTFOUND)
        return rc;
    json_out_open(&call->json, '{');
    rc = header_now(call, error);
    api_etcd_put_i64(&call->json, "ID", id);
    if (!lease) {
        api_etcd_put_i64(&call->json, "TTL", -1);
    } else {
        api_etcd_put_u64(&call->json, "TTL",
                         lease->expires_ms > now_ms ? (lease->expires_ms - now_ms) / MS_PER_S : 0);
        api_etcd_put_u64(&call->json, "grantedTTL", lease->ttl_ms / MS_PER_S);
    }
    if (lease && with_keys && count > 0) {
        json_out_key(&call->json, "keys");
        json_out_open(&call->json, '[');
        for (size_t i = 0; i < count; i++)
            json_out_base64(&call->json, keys[i]);
        json_out_close(&call->json, ']');
    }
    json_out_close(&call->json, '}');
    return rc;
}

static int leases_body(struct api_call *call, struct hm_error *error)
{
    Hypermesh__KvLease **items = NULL;
    HM_CLEANUP(json) json_t *body = NULL;
    size_t all = 0;
    size_t count = 0;
    uint64_t after = 0;
    int rc = api_etcd_read(call, &body, error);

    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    rc = header_now(call, error);
    do {
        count = 0;
        if (rc == 0)
            rc = call->backend->kv_leases(call->backend->ctx, after, LEASES_PER_READ, &call->arena,
                                          &items, &count, error);
        if (rc)
            return rc;
        if (all == 0 && count > 0) {
            json_out_key(&call->json, "leases");
            json_out_open(&call->json, '[');
        }
        for (size_t i = 0; i < count; i++) {
            json_out_open(&call->json, '{');
            api_etcd_put_i64(&call->json, "ID", (int64_t)items[i]->id);
            json_out_close(&call->json, '}');
            after = items[i]->id;
        }
        all += count;
    } while (count == LEASES_PER_READ && all < LEASES_MAX);
    if (all > 0)
        json_out_close(&call->json, ']');
    json_out_close(&call->json, '}');
    return 0;
}

/* One line {"result": ...}; an unknown lease has no TTL. */
static int keep_alive_one(struct api_call *call, int64_t id, struct hm_error *error)
{
    Hypermesh__KvLeaseKeepAlive act = HYPERMESH__KV_LEASE_KEEP_ALIVE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    const Hypermesh__KvAnswer *answer = NULL;
    struct api_receipt receipt;
    int rc;

    act.lease = (uint64_t)id;
    op.op_case = HYPERMESH__OPERATION__OP_KV_LEASE_KEEP_ALIVE;
    op.kv_lease_keep_alive = &act;
    rc = api_kv_submit(call, call->account, &op, &receipt, &answer, error);
    if (rc && rc != HM_ENOTFOUND)
        return rc;
    call->json.comma = false;
    json_out_open(&call->json, '{');
    json_out_key(&call->json, "result");
    json_out_open(&call->json, '{');
    rc = header_now(call, error);
    api_etcd_put_i64(&call->json, "ID", id);
    if (answer)
        api_etcd_put_u64(&call->json, "TTL", answer->ttl_ms / MS_PER_S);
    json_out_close(&call->json, '}');
    json_out_close(&call->json, '}');
    return rc ? rc : hm_buf_append(call->json.out, "\n", 1);
}

/* Before any of them is done and paid. */
static int keep_alives_count(struct hm_slice rest, struct hm_error *error)
{
    for (unsigned count = 0;; count++) {
        HM_CLEANUP(json) json_t *body = NULL;
        int64_t id = 0;
        int rc = api_etcd_read_next(&rest, &body, error);

        if (rc || !body)
            return rc;
        if (count == KEEP_ALIVES_MAX)
            return hm_fail(error, HM_ELIMIT,
                           "one request keeps at most %d leases alive: send the others in another",
                           KEEP_ALIVES_MAX);
        rc = api_etcd_i64(body, "ID", &id, error);
        if (rc)
            return rc;
    }
}

static int keep_alive_body(struct api_call *call, struct hm_error *error)
{
    struct hm_slice rest = call->request->body;
    int counted = keep_alives_count(rest, error);

    if (counted)
        return counted;
    for (;;) {
        HM_CLEANUP(json) json_t *body = NULL;
        int64_t id = 0;
        int rc = api_etcd_read_next(&rest, &body, error);

        if (rc || !body)
            return rc;
        rc = api_etcd_i64(body, "ID", &id, error);
        if (rc == 0)
            rc = keep_alive_one(call, id, error);
        if (rc)
            return rc;
    }
}

int api_etcd_lease_grant(struct api_call *call, struct hm_error *error)
{
    (void)error;
    return api_etcd_run(call, grant_body);
}

int api_etcd_lease_revoke(struct api_call *call, struct hm_error *error)
{
    (void)error;
    return api_etcd_run(call, revoke_body);
}

int api_etcd_lease_time_to_live(struct api_call *call, struct hm_error *error)
{
    (void)error;
    return api_etcd_run(call, time_to_live_body);
}

int api_etcd_lease_leases(struct api_call *call, struct hm_error *error)
{
    (void)error;
    return api_etcd_run(call, leases_body);
}

int api_etcd_lease_keep_alive(struct api_call *call, struct hm_error *error)
{
    (void)error;
    return api_etcd_run(call, keep_alive_body);
}
