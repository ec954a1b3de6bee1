/* Operations of the fixture. */
#include <stdlib.h>

#include "ledger_fixture.h"

/* With the message of its kind, all defaults. */
Hypermesh__Operation *op_new(struct fixture *f, Hypermesh__Operation__OpCase number)
{
    Hypermesh__Operation *op = fixture_new(f, &hypermesh__operation__descriptor);
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(
        &hypermesh__operation__descriptor, (unsigned)number);
    void *what = fixture_new(f, field->descriptor);

    op->op_case = number;
    memcpy((uint8_t *)op + field->offset, &what, sizeof what);
    return op;
}

static ProtobufCBinaryData keep_id(struct fixture *f, const uint8_t id[32])
{
    return fixture_keep(f, id, 32);
}

/* One whose message begins with an id, as those do that act on something. */
static Hypermesh__Operation *op_of(struct fixture *f, Hypermesh__Operation__OpCase number,
                                   const uint8_t id[32])
{
    Hypermesh__Operation *op = op_new(f, number);
    ProtobufCBinaryData copy = keep_id(f, id);
    ProtobufCMessage *what = (ProtobufCMessage *)op->transfer; /* all are in one union */

    memcpy((uint8_t *)what + what->descriptor->fields[0].offset, &copy, sizeof copy);
    return op;
}

Hypermesh__Operation *op_transfer(struct fixture *f, enum fixture_role to, uint64_t amount)
{
    Hypermesh__Operation *op = op_of(f, HYPERMESH__OPERATION__OP_TRANSFER, f->people[to].id);

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
    Hypermesh__Operation *op = op_of(f, HYPERMESH__OPERATION__OP_SESSION_GRANT, key);

    op->session_grant->scope = scope;
    op->session_grant->expires_ms = expires_ms;
    return op;
}

Hypermesh__Operation *op_revoke(struct fixture *f, const uint8_t key[32])
{
    return op_of(f, HYPERMESH__OPERATION__OP_SESSION_REVOKE, key);
}

Hypermesh__Operation *op_bond(struct fixture *f, uint64_t amount)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_BOND);

    op->bond->amount = amount;
    return op;
}

Hypermesh__Operation *op_unbond(struct fixture *f, uint64_t amount)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_UNBOND);

    op->unbond->amount = amount;
    return op;
}

Hypermesh__Operation *op_space(struct fixture *f)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_SPACE_COMMIT);
    Hypermesh__SpaceCommit *commit = op->space_commit;
    uint8_t challenge[32];

    commit->plot = fixture_new(f, &hypermesh__plot_commitment__descriptor);
    proof_plot_commitment(f->plot, commit->plot);
    proof_plot_challenge(f->people[NODE].id, commit->plot, challenge);
    if (proof_plot_open_at(f->plot, challenge, f->params.plot_commit_openings, true, &f->arena,
                           &commit->openings, &f->error))
        abort();
    commit->n_openings = f->params.plot_commit_openings;
    commit->endpoint = (char *)(uintptr_t)("node.example:7470");
    return op;
}

static Hypermesh__Privacy *privacy(struct fixture *f, Hypermesh__PrivacyLevel level)
{
    Hypermesh__Privacy *made = fixture_new(f, &hypermesh__privacy__descriptor);

    made->level = level;
    return made;
}

Hypermesh__Operation *op_register(struct fixture *f, const char *hardware_id, uint64_t price,
                                  Hypermesh__PrivacyLevel level)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_ASSET_REGISTER);
    Hypermesh__AssetRegister *what = op->asset_register;

    what->kind = HYPERMESH__ASSET_KIND__CPU;
    what->hardware_id = hm_arena_strdup(&f->arena, hardware_id);
    what->capacity = 4000;
    what->price_per_hour = price;
    what->privacy = privacy(f, level);
    return op;
}

Hypermesh__Operation *op_update(struct fixture *f, const uint8_t asset[32], uint64_t capacity,
                                uint64_t price)
{
    Hypermesh__Operation *op = op_of(f, HYPERMESH__OPERATION__OP_ASSET_UPDATE, asset);

    op->asset_update->capacity = capacity;
    op->asset_update->price_per_hour = price;
    return op;
}

Hypermesh__Operation *op_give(struct fixture *f, const uint8_t asset[32], enum fixture_role to)
{
    Hypermesh__Operation *op = op_of(f, HYPERMESH__OPERATION__OP_ASSET_TRANSFER, asset);

    op->asset_transfer->to = keep_id(f, f->people[to].id);
    return op;
}

Hypermesh__Operation *op_retire(struct fixture *f, const uint8_t asset[32])
{
    return op_of(f, HYPERMESH__OPERATION__OP_ASSET_RETIRE, asset);
}

Hypermesh__Operation *op_privacy(struct fixture *f, const uint8_t asset[32],
                                 Hypermesh__PrivacyLevel level)
{
    Hypermesh__Operation *op = op_of(f, HYPERMESH__OPERATION__OP_PRIVACY_SET, asset);

    op->privacy_set->privacy = privacy(f, level);
    return op;
}

Hypermesh__Operation *op_allocate(struct fixture *f, const uint8_t (*assets)[32], size_t count,
                                  uint32_t share_ppm, uint64_t duration_ms)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_ALLOCATE);
    Hypermesh__Allocate *what = op->allocate;

    what->items = fixture_take(f, count * sizeof *what->items + 1);
    what->n_items = count;
    for (size_t i = 0; i < count; i++) {
        what->items[i] = fixture_new(f, &hypermesh__lease_item__descriptor);
        what->items[i]->asset = keep_id(f, assets[i]);
        what->items[i]->share_ppm = share_ppm;
        what->items[i]->max_price_per_hour = UINT64_MAX;
    }
    what->duration_ms = duration_ms;
    return op;
}

Hypermesh__Operation *op_renew(struct fixture *f, const uint8_t lease[32], uint64_t extra_ms)
{
    Hypermesh__Operation *op = op_of(f, HYPERMESH__OPERATION__OP_RENEW, lease);

    op->renew->extra_ms = extra_ms;
    return op;
}

Hypermesh__Operation *op_free(struct fixture *f, const uint8_t lease[32])
{
    return op_of(f, HYPERMESH__OPERATION__OP_RELEASE, lease);
}

static Hypermesh__ResourceTransaction *usage(struct fixture *f, const Hypermesh__Lease *lease,
                                             size_t item)
{
    Hypermesh__ResourceTransaction *used = fixture_new(
        f, &hypermesh__resource_transaction__descriptor);

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
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_SETTLE);
    Hypermesh__Settle *what = op->settle;
    const Hypermesh__Lease *lease = fixture_lease(f, id);

    what->lease = keep_id(f, id);
    if (lease) {
        what->usage = fixture_take(f, lease->n_items * sizeof *what->usage + 1);
        what->n_usage = lease->n_items;
        for (size_t i = 0; i < lease->n_items; i++)
            what->usage[i] = usage(f, lease, i);
    }
    what->outcome = HYPERMESH__JOB_OUTCOME__FINISHED;
    return op;
}

/* --- networks --- */

Hypermesh__Operation *op_network(struct fixture *f, const char *name, bool open)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_NETWORK_CREATE);

    op->network_create->name = hm_arena_strdup(&f->arena, name);
    op->network_create->open = open;
    return op;
}

Hypermesh__Operation *op_join(struct fixture *f, const uint8_t network[32])
{
    return op_of(f, HYPERMESH__OPERATION__OP_NETWORK_JOIN, network);
}

Hypermesh__Operation *op_leave(struct fixture *f, const uint8_t network[32])
{
    return op_of(f, HYPERMESH__OPERATION__OP_NETWORK_LEAVE, network);
}

Hypermesh__Operation *op_invite(struct fixture *f, const uint8_t network[32], enum fixture_role who)
{
    Hypermesh__Operation *op = op_of(f, HYPERMESH__OPERATION__OP_NETWORK_INVITE, network);

    op->network_invite->account = keep_id(f, f->people[who].id);
    return op;
}

Hypermesh__Operation *op_expel(struct fixture *f, const uint8_t network[32], enum fixture_role who)
{
    Hypermesh__Operation *op = op_of(f, HYPERMESH__OPERATION__OP_NETWORK_EXPEL, network);

    op->network_expel->account = keep_id(f, f->people[who].id);
    return op;
}

Hypermesh__Operation *op_dissolve(struct fixture *f, const uint8_t network[32])
{
    return op_of(f, HYPERMESH__OPERATION__OP_NETWORK_DISSOLVE, network);
}

static ProtobufCBinaryData *people_list(struct fixture *f, const enum fixture_role *who,
                                        size_t count)
{
    ProtobufCBinaryData *list = fixture_take(f, count * sizeof *list + 1);

    for (size_t i = 0; i < count; i++)
        list[i] = keep_id(f, f->people[who[i]].id);
    return list;
}

Hypermesh__Operation *op_peers(struct fixture *f, const enum fixture_role *who, size_t count)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_PEERS_SET);

    op->peers_set->accounts = people_list(f, who, count);
    op->peers_set->n_accounts = count;
    return op;
}

Hypermesh__Operation *op_proxy(struct fixture *f, bool any, const enum fixture_role *relays,
                               size_t count)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_PROXY_SET);

    op->proxy_set->any = any;
    op->proxy_set->relays = people_list(f, relays, count);
    op->proxy_set->n_relays = count;
    return op;
}

void fixture_id_append(struct fixture *f, ProtobufCBinaryData **list, size_t *count,
                       const uint8_t id[32])
{
    ProtobufCBinaryData *more = fixture_take(f, (*count + 1) * sizeof *more);

    if (*count > 0)
        memcpy(more, *list, *count * sizeof *more);
    more[*count] = keep_id(f, id);
    *list = more;
    ++*count;
}

void privacy_network(struct fixture *f, Hypermesh__Privacy *that, const uint8_t network[32])
{
    fixture_id_append(f, &that->networks, &that->n_networks, network);
}

void privacy_account(struct fixture *f, Hypermesh__Privacy *that, enum fixture_role who)
{
    fixture_id_append(f, &that->accounts, &that->n_accounts, f->people[who].id);
}

/* --- challenges --- */

Hypermesh__Operation *op_challenge(struct fixture *f, enum fixture_role node, const uint8_t *lease)
{
    Hypermesh__Operation *op = op_of(f, HYPERMESH__OPERATION__OP_CHALLENGE_OPEN,
                                     f->people[node].id);

    if (lease)
        op->challenge_open->lease = keep_id(f, lease);
    return op;
}

Hypermesh__Operation *op_answer_space(struct fixture *f, const uint8_t id[32])
{
    Hypermesh__Operation *op = op_of(f, HYPERMESH__OPERATION__OP_CHALLENGE_ANSWER, id);
    const Hypermesh__Challenge *challenge = fixture_challenge(f, id);

    if (!challenge || challenge->seed.len != 32)
        return op;
    if (proof_plot_open_at(f->plot, challenge->seed.data, f->params.challenge_openings, false,
                           &f->arena, &op->challenge_answer->openings, &f->error))
        abort();
    op->challenge_answer->n_openings = f->params.challenge_openings;
    return op;
}

Hypermesh__Operation *op_answer_result(struct fixture *f, const uint8_t id[32], const char *job,
                                       const char *manifest)
{
    Hypermesh__Operation *op = op_of(f, HYPERMESH__OPERATION__OP_CHALLENGE_ANSWER, id);

    op->challenge_answer->job = fixture_keep(f, job, strlen(job));
    op->challenge_answer->manifest = fixture_keep(f, manifest, strlen(manifest));
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
