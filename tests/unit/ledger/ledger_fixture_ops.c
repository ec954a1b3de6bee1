/* Operations of the fixture. */
#include <stdlib.h>

#include "ledger_fixture.h"

static void *take(struct fixture *fixture, size_t size)
{
    void *memory = hm_arena_alloc(&fixture->arena, size);

    if (!memory)
        abort();
    return memory;
}

static ProtobufCBinaryData keep_id(struct fixture *fixture, const uint8_t id[32])
{
    uint8_t *copy = take(fixture, 32);

    memcpy(copy, id, 32);
    return wire_bytes(copy, 32);
}

/* A message in the arena with its defaults. */
#define MAKE(type, init)                      \
    ({                                        \
        type *made_ = take(f, sizeof *made_); \
        *made_ = (type)init;                  \
        made_;                                \
    })

static Hypermesh__Operation *operation(struct fixture *f, Hypermesh__Operation__OpCase number)
{
    Hypermesh__Operation *op = MAKE(Hypermesh__Operation, HYPERMESH__OPERATION__INIT);

    op->op_case = number;
    return op;
}

Hypermesh__Operation *op_transfer(struct fixture *f, enum fixture_role to, uint64_t amount)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_TRANSFER);

    op->transfer = MAKE(Hypermesh__Transfer, HYPERMESH__TRANSFER__INIT);
    op->transfer->to = keep_id(f, f->people[to].id);
    op->transfer->amount = amount;
    return op;
}

Hypermesh__Operation *op_transfer_caes(struct fixture *f, enum fixture_role to, uint64_t amount)
{
    Hypermesh__Operation *op = op_transfer(f, to, amount);

    op->transfer->token = HYPERMESH__TOKEN__CAES;
    return op;
}

Hypermesh__Operation *op_grant(struct fixture *f, const uint8_t key[32], uint64_t scope,
                               uint64_t expires_ms)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_SESSION_GRANT);

    op->session_grant = MAKE(Hypermesh__SessionGrant, HYPERMESH__SESSION_GRANT__INIT);
    op->session_grant->session_key = keep_id(f, key);
    op->session_grant->scope = scope;
    op->session_grant->expires_ms = expires_ms;
    return op;
}

Hypermesh__Operation *op_revoke(struct fixture *f, const uint8_t key[32])
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_SESSION_REVOKE);

    op->session_revoke = MAKE(Hypermesh__SessionRevoke, HYPERMESH__SESSION_REVOKE__INIT);
    op->session_revoke->session_key = keep_id(f, key);
    return op;
}

Hypermesh__Operation *op_bond(struct fixture *f, uint64_t amount)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_BOND);

    op->bond = MAKE(Hypermesh__Bond, HYPERMESH__BOND__INIT);
    op->bond->amount = amount;
    return op;
}

Hypermesh__Operation *op_unbond(struct fixture *f, uint64_t amount)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_UNBOND);

    op->unbond = MAKE(Hypermesh__Unbond, HYPERMESH__UNBOND__INIT);
    op->unbond->amount = amount;
    return op;
}

Hypermesh__Operation *op_space(struct fixture *f)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_SPACE_COMMIT);
    Hypermesh__SpaceCommit *commit = MAKE(Hypermesh__SpaceCommit, HYPERMESH__SPACE_COMMIT__INIT);
    uint8_t challenge[32];

    commit->plot = MAKE(Hypermesh__PlotCommitment, HYPERMESH__PLOT_COMMITMENT__INIT);
    proof_plot_commitment(f->plot, commit->plot);
    proof_plot_challenge(f->people[NODE].id, commit->plot, challenge);
    if (proof_plot_open_at(f->plot, challenge, f->params.plot_commit_openings, true, &f->arena,
                           &commit->openings, &f->error))
        abort();
    commit->n_openings = f->params.plot_commit_openings;
    commit->endpoint = (char *)(uintptr_t)("node.example:7470");
    op->space_commit = commit;
    return op;
}

static Hypermesh__Privacy *privacy(struct fixture *f, Hypermesh__PrivacyLevel level)
{
    Hypermesh__Privacy *made = MAKE(Hypermesh__Privacy, HYPERMESH__PRIVACY__INIT);

    made->level = level;
    return made;
}

Hypermesh__Operation *op_register(struct fixture *f, const char *hardware_id, uint64_t price,
                                  Hypermesh__PrivacyLevel level)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_ASSET_REGISTER);
    Hypermesh__AssetRegister *what = MAKE(Hypermesh__AssetRegister,
                                          HYPERMESH__ASSET_REGISTER__INIT);

    what->kind = HYPERMESH__ASSET_KIND__CPU;
    what->hardware_id = hm_arena_strdup(&f->arena, hardware_id);
    what->capacity = 4000;
    what->price_per_hour = price;
    what->privacy = privacy(f, level);
    op->asset_register = what;
    return op;
}

Hypermesh__Operation *op_update(struct fixture *f, const uint8_t asset[32], uint64_t capacity,
                                uint64_t price)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_ASSET_UPDATE);

    op->asset_update = MAKE(Hypermesh__AssetUpdate, HYPERMESH__ASSET_UPDATE__INIT);
    op->asset_update->asset = keep_id(f, asset);
    op->asset_update->capacity = capacity;
    op->asset_update->price_per_hour = price;
    return op;
}

Hypermesh__Operation *op_give(struct fixture *f, const uint8_t asset[32], enum fixture_role to)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_ASSET_TRANSFER);

    op->asset_transfer = MAKE(Hypermesh__AssetTransfer, HYPERMESH__ASSET_TRANSFER__INIT);
    op->asset_transfer->asset = keep_id(f, asset);
    op->asset_transfer->to = keep_id(f, f->people[to].id);
    return op;
}

Hypermesh__Operation *op_retire(struct fixture *f, const uint8_t asset[32])
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_ASSET_RETIRE);

    op->asset_retire = MAKE(Hypermesh__AssetRetire, HYPERMESH__ASSET_RETIRE__INIT);
    op->asset_retire->asset = keep_id(f, asset);
    return op;
}

Hypermesh__Operation *op_privacy(struct fixture *f, const uint8_t asset[32],
                                 Hypermesh__PrivacyLevel level)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_PRIVACY_SET);

    op->privacy_set = MAKE(Hypermesh__PrivacySet, HYPERMESH__PRIVACY_SET__INIT);
    op->privacy_set->asset = keep_id(f, asset);
    op->privacy_set->privacy = privacy(f, level);
    return op;
}

Hypermesh__Operation *op_allocate(struct fixture *f, const uint8_t (*assets)[32], size_t count,
                                  uint32_t share_ppm, uint64_t duration_ms)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_ALLOCATE);
    Hypermesh__Allocate *what = MAKE(Hypermesh__Allocate, HYPERMESH__ALLOCATE__INIT);

    what->items = take(f, count * sizeof *what->items + 1);
    what->n_items = count;
    for (size_t i = 0; i < count; i++) {
        what->items[i] = MAKE(Hypermesh__LeaseItem, HYPERMESH__LEASE_ITEM__INIT);
        what->items[i]->asset = keep_id(f, assets[i]);
        what->items[i]->share_ppm = share_ppm;
        what->items[i]->max_price_per_hour = UINT64_MAX;
    }
    what->duration_ms = duration_ms;
    op->allocate = what;
    return op;
}

Hypermesh__Operation *op_renew(struct fixture *f, const uint8_t lease[32], uint64_t extra_ms)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_RENEW);

    op->renew = MAKE(Hypermesh__Renew, HYPERMESH__RENEW__INIT);
    op->renew->lease = keep_id(f, lease);
    op->renew->extra_ms = extra_ms;
    return op;
}

Hypermesh__Operation *op_free(struct fixture *f, const uint8_t lease[32])
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_RELEASE);

    op->release = MAKE(Hypermesh__Release, HYPERMESH__RELEASE__INIT);
    op->release->lease = keep_id(f, lease);
    return op;
}

static Hypermesh__ResourceTransaction *usage(struct fixture *f, const Hypermesh__Lease *lease,
                                             size_t item)
{
    Hypermesh__ResourceTransaction *used = MAKE(Hypermesh__ResourceTransaction,
                                                HYPERMESH__RESOURCE_TRANSACTION__INIT);

    used->node = keep_id(f, f->people[NODE].id);
    used->resource_type = lease->items[item]->kind;
    used->amount = 123456;
    used->unit = (char *)(uintptr_t)("cpu-ns");
    used->duration_ms = 1;
    used->price_per_unit = lease->items[item]->price_per_hour;
    used->consumer = lease->consumer;
    used->provider = lease->provider;
    used->timestamp_ms = f->next_ms;
    return used;
}

Hypermesh__Operation *op_settle(struct fixture *f, const uint8_t id[32])
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_SETTLE);
    Hypermesh__Settle *what = MAKE(Hypermesh__Settle, HYPERMESH__SETTLE__INIT);
    const Hypermesh__Lease *lease = fixture_lease(f, id);

    what->lease = keep_id(f, id);
    if (lease) {
        what->usage = take(f, lease->n_items * sizeof *what->usage + 1);
        what->n_usage = lease->n_items;
        for (size_t i = 0; i < lease->n_items; i++)
            what->usage[i] = usage(f, lease, i);
    }
    what->outcome = HYPERMESH__JOB_OUTCOME__FINISHED;
    op->settle = what;
    return op;
}

/* --- networks --- */

Hypermesh__Operation *op_network(struct fixture *f, const char *name, bool open)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_NETWORK_CREATE);

    op->network_create = MAKE(Hypermesh__NetworkCreate, HYPERMESH__NETWORK_CREATE__INIT);
    op->network_create->name = hm_arena_strdup(&f->arena, name);
    op->network_create->open = open;
    return op;
}

Hypermesh__Operation *op_join(struct fixture *f, const uint8_t network[32])
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_NETWORK_JOIN);

    op->network_join = MAKE(Hypermesh__NetworkJoin, HYPERMESH__NETWORK_JOIN__INIT);
    op->network_join->network = keep_id(f, network);
    return op;
}

Hypermesh__Operation *op_leave(struct fixture *f, const uint8_t network[32])
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_NETWORK_LEAVE);

    op->network_leave = MAKE(Hypermesh__NetworkLeave, HYPERMESH__NETWORK_LEAVE__INIT);
    op->network_leave->network = keep_id(f, network);
    return op;
}

Hypermesh__Operation *op_invite(struct fixture *f, const uint8_t network[32], enum fixture_role who)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_NETWORK_INVITE);

    op->network_invite = MAKE(Hypermesh__NetworkInvite, HYPERMESH__NETWORK_INVITE__INIT);
    op->network_invite->network = keep_id(f, network);
    op->network_invite->account = keep_id(f, f->people[who].id);
    return op;
}

Hypermesh__Operation *op_expel(struct fixture *f, const uint8_t network[32], enum fixture_role who)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_NETWORK_EXPEL);

    op->network_expel = MAKE(Hypermesh__NetworkExpel, HYPERMESH__NETWORK_EXPEL__INIT);
    op->network_expel->network = keep_id(f, network);
    op->network_expel->account = keep_id(f, f->people[who].id);
    return op;
}

Hypermesh__Operation *op_dissolve(struct fixture *f, const uint8_t network[32])
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_NETWORK_DISSOLVE);

    op->network_dissolve = MAKE(Hypermesh__NetworkDissolve, HYPERMESH__NETWORK_DISSOLVE__INIT);
    op->network_dissolve->network = keep_id(f, network);
    return op;
}

static ProtobufCBinaryData *people_list(struct fixture *f, const enum fixture_role *who,
                                        size_t count)
{
    ProtobufCBinaryData *list = take(f, count * sizeof *list + 1);

    for (size_t i = 0; i < count; i++)
        list[i] = keep_id(f, f->people[who[i]].id);
    return list;
}

Hypermesh__Operation *op_peers(struct fixture *f, const enum fixture_role *who, size_t count)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_PEERS_SET);

    op->peers_set = MAKE(Hypermesh__PeersSet, HYPERMESH__PEERS_SET__INIT);
    op->peers_set->accounts = people_list(f, who, count);
    op->peers_set->n_accounts = count;
    return op;
}

Hypermesh__Operation *op_proxy(struct fixture *f, bool any, const enum fixture_role *relays,
                               size_t count)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_PROXY_SET);

    op->proxy_set = MAKE(Hypermesh__ProxySet, HYPERMESH__PROXY_SET__INIT);
    op->proxy_set->any = any;
    op->proxy_set->relays = people_list(f, relays, count);
    op->proxy_set->n_relays = count;
    return op;
}

static void id_append(struct fixture *f, ProtobufCBinaryData **list, size_t *count,
                      const uint8_t id[32])
{
    ProtobufCBinaryData *more = take(f, (*count + 1) * sizeof *more);

    if (*count > 0)
        memcpy(more, *list, *count * sizeof *more);
    more[*count] = keep_id(f, id);
    *list = more;
    ++*count;
}

void privacy_network(struct fixture *f, Hypermesh__Privacy *that, const uint8_t network[32])
{
    id_append(f, &that->networks, &that->n_networks, network);
}

void privacy_account(struct fixture *f, Hypermesh__Privacy *that, enum fixture_role who)
{
    id_append(f, &that->accounts, &that->n_accounts, f->people[who].id);
}

/* --- challenges --- */

Hypermesh__Operation *op_challenge(struct fixture *f, enum fixture_role node, const uint8_t *lease)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_CHALLENGE_OPEN);

    op->challenge_open = MAKE(Hypermesh__ChallengeOpen, HYPERMESH__CHALLENGE_OPEN__INIT);
    op->challenge_open->node = keep_id(f, f->people[node].id);
    if (lease)
        op->challenge_open->lease = keep_id(f, lease);
    return op;
}

Hypermesh__Operation *op_answer_space(struct fixture *f, const uint8_t id[32])
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_CHALLENGE_ANSWER);
    const Hypermesh__Challenge *challenge = fixture_challenge(f, id);

    op->challenge_answer = MAKE(Hypermesh__ChallengeAnswer, HYPERMESH__CHALLENGE_ANSWER__INIT);
    op->challenge_answer->challenge = keep_id(f, id);
    if (!challenge || challenge->seed.len != 32)
        return op;
    if (proof_plot_open_at(f->plot, challenge->seed.data, f->params.challenge_openings, false,
                           &f->arena, &op->challenge_answer->openings, &f->error))
        abort();
    op->challenge_answer->n_openings = f->params.challenge_openings;
    return op;
}

static ProtobufCBinaryData keep_text(struct fixture *f, const char *text)
{
    char *copy = hm_arena_strdup(&f->arena, text);

    if (!copy)
        abort();
    return wire_bytes(copy, strlen(copy));
}

Hypermesh__Operation *op_answer_result(struct fixture *f, const uint8_t id[32], const char *job,
                                       const char *manifest)
{
    Hypermesh__Operation *op = operation(f, HYPERMESH__OPERATION__OP_CHALLENGE_ANSWER);

    op->challenge_answer = MAKE(Hypermesh__ChallengeAnswer, HYPERMESH__CHALLENGE_ANSWER__INIT);
    op->challenge_answer->challenge = keep_id(f, id);
    op->challenge_answer->job = keep_text(f, job);
    op->challenge_answer->manifest = keep_text(f, manifest);
    return op;
}

Hypermesh__Operation *op_allocate_job(struct fixture *f, const uint8_t (*assets)[32],
                                      uint32_t share_ppm, uint64_t duration_ms, const char *job)
{
    Hypermesh__Operation *op = op_allocate(f, assets, 1, share_ppm, duration_ms);
    uint8_t digest[32];

    crypto_hash(job, strlen(job), digest);
    op->allocate->job = keep_id(f, digest);
    return op;
}

Hypermesh__Operation *op_settle_result(struct fixture *f, const uint8_t lease[32],
                                       const char *manifest)
{
    Hypermesh__Operation *op = op_settle(f, lease);
    const struct hm_slice part = hm_slice_of(manifest, strlen(manifest));
    uint8_t digest[32];

    crypto_hash_parts("hypermesh 1 job result", &part, 1, digest);
    op->settle->result = keep_id(f, digest);
    return op;
}
