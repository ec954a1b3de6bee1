/* kv_lease_grant, kv_lease_revoke, kv_lease_keep_alive. */
#include "ledger_kv_do.h"

#define LEASE_ID_MAX  ((uint64_t)INT64_MAX) /* etcd's ids are signed */
#define LEASE_TTL_MIN UINT64_C(1000)
#define LEASE_DRAWS \
    8 /* of a free id: one is taken with a chance of about the number of leases in 2^63 */

/* A free id. The ledger draws no random number: it follows from what is signed. */
static int id_pick(struct ledger_act *act, uint64_t *id, struct ledger_object **out,
                   struct hm_error *error)
{
    uint8_t hash[LEDGER_ID_BYTES];

    ledger_act_new_id(act, "hypermesh 1 kv lease", hash);
    for (unsigned i = 0; i < LEASE_DRAWS; i++) {
        uint64_t drawn = hm_get_be64(hash) & LEASE_ID_MAX;
        int rc = ledger_kv_lease_open(act->scope, drawn, out, error);

        if (rc)
            return rc;
        if (drawn && !(*out)->message) {
            *id = drawn;
            return 0;
        }
        crypto_hash(hash, sizeof hash, hash);
    }
    return ledger_refuse(error, LEDGER_RULE_KV_LEASE_TAKEN,
                         "no free lease id was found; try again");
}

static int id_take(struct ledger_act *act, uint64_t wanted, uint64_t *id,
                   struct ledger_object **out, struct hm_error *error)
{
    int rc;

    if (wanted == 0)
        return id_pick(act, id, out, error);
    if (wanted > LEASE_ID_MAX)
        return ledger_refuse(error, LEDGER_RULE_KV_LEASE_ID, "lease id %llu is not below 2^63",
                             (unsigned long long)wanted);
    rc = ledger_kv_lease_open(act->scope, wanted, out, error);
    if (rc)
        return rc;
    if ((*out)->message)
        return ledger_refuse(error, LEDGER_RULE_KV_LEASE_TAKEN, "there is a lease %llu already",
                             (unsigned long long)wanted);
    *id = wanted;
    return 0;
}

static int answer_lease(struct ledger_act *act, uint64_t id, uint64_t ttl_ms,
                        struct hm_error *error)
{
    Hypermesh__KvAnswer *answer = ledger_kv_answer(act->scope->block);

    if (answer) {
        answer->lease = id;
        answer->ttl_ms = ttl_ms;
    }
    return ledger_kv_answer_give(act, answer, error);
}

int ledger_op_kv_lease_grant(struct ledger_act *act, const Hypermesh__Operation *op,
                             struct hm_error *error)
{
    const Hypermesh__KvLeaseGrant *grant = op->kv_lease_grant;
    struct ledger_scope *scope = act->scope;
    struct ledger_object *object;
    Hypermesh__KvLease *lease;
    void *memory;
    uint64_t id = 0;
    int rc;

    if (grant->ttl_ms < LEASE_TTL_MIN || grant->ttl_ms > LEDGER_KV_TTL_MAX_MS)
        return ledger_refuse(
            error, LEDGER_RULE_KV_LEASE_TTL, "a lease lives %llu to %llu ms, not %llu",
            (unsigned long long)LEASE_TTL_MIN, (unsigned long long)LEDGER_KV_TTL_MAX_MS,
            (unsigned long long)grant->ttl_ms);
    if (act->signer->kv_leases >= act->params->kv_max_leases)
        return ledger_refuse(error, LEDGER_RULE_KV_LEASE_COUNT,
                             "the account holds %llu leases, at most %llu are allowed",
                             (unsigned long long)act->signer->kv_leases,
                             (unsigned long long)act->params->kv_max_leases);
    rc = id_take(act, grant->lease, &id, &object, error);
    if (rc == 0)
        rc = ledger_scope_alloc(scope, sizeof *lease, &memory, error);
    if (rc)
        return rc;
    lease = memory;
    *lease = (Hypermesh__KvLease)HYPERMESH__KV_LEASE__INIT;
    lease->id = id;
    lease->owner = act->body->account;
    lease->ttl_ms = grant->ttl_ms;
    lease->expires_ms = scope->block->time_ms + grant->ttl_ms;
    object->message = &lease->base;
    act->signer->kv_leases++;
    scope->block->kv.now.leases++;
    return answer_lease(act, id, grant->ttl_ms, error);
}

int ledger_op_kv_lease_revoke(struct ledger_act *act, const Hypermesh__Operation *op,
                              struct hm_error *error)
{
    Hypermesh__KvAnswer *answer = ledger_kv_answer(act->scope->block);
    struct ledger_object *object;
    uint64_t deleted = 0;
    int rc = ledger_kv_lease_own(act, op->kv_lease_revoke->lease, &object, error);

    if (rc == 0)
        rc = ledger_kv_lease_end(act->scope, object, &deleted, error);
    if (rc)
        return rc;
    if (answer)
        answer->deleted = deleted;
    return ledger_kv_answer_give(act, answer, error);
}

int ledger_op_kv_lease_keep_alive(struct ledger_act *act, const Hypermesh__Operation *op,
                                  struct hm_error *error)
{
    struct ledger_object *object;
    Hypermesh__KvLease *lease;
    int rc = ledger_kv_lease_own(act, op->kv_lease_keep_alive->lease, &object, error);

    if (rc)
        return rc;
    lease = (Hypermesh__KvLease *)object->message;
    lease->expires_ms = act->scope->block->time_ms + lease->ttl_ms;
    return answer_lease(act, lease->id, lease->ttl_ms, error);
}
