#include "stake_ops.h"

#include <stdio.h>
#include <stdlib.h>

void stake_params(Hypermesh__Params *params)
{
    ledger_default_staking(params);
    params->max_validators = 4;
    params->validator_bond = 100 * FIXTURE_HYPER;
    params->absent_window = 4;
    params->jail_ms = 5 * FIXTURE_BLOCK_MS;
    params->unbond_delay_ms = 80 * FIXTURE_BLOCK_MS;
    params->time_window_ms = 2 * FIXTURE_BLOCK_MS;
    params->commission_step_ms = 10 * FIXTURE_BLOCK_MS;
}

/* --- operations --- */

void stake_key(enum fixture_role who, struct crypto_ed25519_key *key)
{
    uint8_t seed[32];
    char text[32];

    (void)snprintf(text, sizeof text, "validator %d", (int)who);
    crypto_hash(text, strlen(text), seed);
    crypto_ed25519_from_seed(key, seed);
}

void stake_address(const uint8_t key[32], uint8_t address[20])
{
    struct crypto_sha256 *state;
    uint8_t digest[32];

    if (crypto_sha256_new(&state))
        abort();
    crypto_sha256_update(state, key, 32);
    crypto_sha256_final(state, digest);
    crypto_sha256_free(state);
    memcpy(address, digest, 20);
}

Hypermesh__Operation *op_declare(struct fixture *f, enum fixture_role who, uint64_t bond,
                                 uint32_t commission_ppm)
{
    return op_declare_key(f, who, who, bond, commission_ppm);
}

Hypermesh__Operation *op_declare_key(struct fixture *f, enum fixture_role who,
                                     enum fixture_role whose_key, uint64_t bond,
                                     uint32_t commission_ppm)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_VALIDATOR_DECLARE);
    uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES];
    struct crypto_ed25519_key key;
    struct ledger_info info;
    uint8_t digest[32];

    if (ledger_info(f->ledger, &info, NULL))
        abort();
    stake_key(whose_key, &key);
    ledger_validator_digest(info.chain_hash, f->people[who].id, digest);
    crypto_ed25519_sign(&key, digest, sizeof digest, signature);
    op->validator_declare->key = fixture_keep(f, key.public_key, 32);
    op->validator_declare->proof = fixture_keep(f, signature, sizeof signature);
    op->validator_declare->bond = bond;
    op->validator_declare->commission_ppm = commission_ppm;
    return op;
}

Hypermesh__Operation *op_commission(struct fixture *f, uint32_t ppm)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_VALIDATOR_UPDATE);

    op->validator_update->commission_ppm = ppm;
    return op;
}

Hypermesh__Operation *op_retire_validator(struct fixture *f)
{
    return op_new(f, HYPERMESH__OPERATION__OP_VALIDATOR_RETIRE);
}

static ProtobufCBinaryData id_of(struct fixture *f, enum fixture_role who)
{
    return fixture_keep(f, f->people[who].id, 32);
}

Hypermesh__Operation *op_delegate(struct fixture *f, enum fixture_role validator, uint64_t amount)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_DELEGATE);

    op->delegate->validator = id_of(f, validator);
    op->delegate->amount = amount;
    return op;
}

Hypermesh__Operation *op_undelegate(struct fixture *f, enum fixture_role validator, uint64_t amount)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_UNDELEGATE);

    op->undelegate->validator = id_of(f, validator);
    op->undelegate->amount = amount;
    op->undelegate->all = amount == 0;
    return op;
}

Hypermesh__Operation *op_redelegate(struct fixture *f, enum fixture_role validator,
                                    enum fixture_role to, uint64_t amount)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_REDELEGATE);

    op->redelegate->validator = id_of(f, validator);
    op->redelegate->to = id_of(f, to);
    op->redelegate->amount = amount;
    op->redelegate->all = amount == 0;
    return op;
}

Hypermesh__Operation *op_rewards(struct fixture *f, enum fixture_role validator)
{
    Hypermesh__Operation *op = op_new(f, HYPERMESH__OPERATION__OP_REWARDS_TAKE);

    op->rewards_take->validator = id_of(f, validator);
    return op;
}

Hypermesh__Operation *op_unjail(struct fixture *f)
{
    return op_new(f, HYPERMESH__OPERATION__OP_UNJAIL);
}

/* --- reading --- */

Hypermesh__Validator *stake_validator(struct fixture *f, enum fixture_role who)
{
    Hypermesh__Validator *validator = NULL;
    struct ledger_view *view;
    int rc;

    if (ledger_view_open(f->ledger, &view, NULL))
        abort();
    rc = ledger_view_validator(view, f->people[who].id, &f->arena, &validator, NULL);
    if (rc && rc != HM_ENOTFOUND)
        abort();
    ledger_view_close(view);
    return validator;
}

Hypermesh__Delegation *stake_delegation(struct fixture *f, enum fixture_role validator,
                                        enum fixture_role who)
{
    Hypermesh__Delegation *delegation = NULL;
    struct ledger_view *view;
    int rc;

    if (ledger_view_open(f->ledger, &view, NULL))
        abort();
    rc = ledger_view_delegation(view, f->people[validator].id, f->people[who].id, &f->arena,
                                &delegation, NULL);
    if (rc && rc != HM_ENOTFOUND)
        abort();
    ledger_view_close(view);
    return delegation;
}

/* --- the engine --- */

static int member_order(const void *a, const void *b)
{
    const struct engine_member *left = a;
    const struct engine_member *right = b;

    if (left->power != right->power)
        return left->power > right->power ? -1 : 1;
    return memcmp(left->address, right->address, 20);
}

void engine_model_begin(struct engine_model *engine, struct fixture *f)
{
    struct engine_set *set = &engine->sets[0];
    struct ledger_validator_update *list;
    struct ledger_view *view;
    size_t count;

    *engine = (struct engine_model){.count = 1};
    if (ledger_view_open(f->ledger, &view, NULL) ||
        ledger_view_engine_set(view, &f->arena, &list, &count, NULL) || count > ENGINE_MEMBERS_MAX)
        abort();
    ledger_view_close(view);
    for (size_t i = 0; i < count; i++) {
        memcpy(set->members[i].key, list[i].key, 32);
        stake_address(list[i].key, set->members[i].address);
        set->members[i].power = list[i].power;
    }
    set->count = count;
}

const struct engine_set *engine_model_voting(const struct engine_model *engine, uint64_t height)
{
    for (size_t i = engine->count; i-- > 0;) {
        if (engine->sets[i].from_height < height)
            return &engine->sets[i];
    }
    return &engine->sets[0];
}

const struct engine_set *engine_model_newest(const struct engine_model *engine)
{
    return &engine->sets[engine->count - 1];
}

static bool wrong(struct engine_model *engine, const char *what)
{
    (void)snprintf(engine->wrong, sizeof engine->wrong, "%s", what);
    return false;
}

static struct engine_member *member_find(struct engine_set *set, const uint8_t key[32])
{
    for (size_t i = 0; i < set->count; i++) {
        if (memcmp(set->members[i].key, key, 32) == 0)
            return &set->members[i];
    }
    return NULL;
}

/* One change, as the engine makes it; *moved: power that changed. */
static bool change_take(struct engine_model *engine, struct engine_set *set,
                        const struct ledger_validator_update *update, uint64_t *moved)
{
    struct engine_member *member = member_find(set, update->key);

    if (update->power == 0) {
        if (!member)
            return wrong(engine, "somebody leaves who is not there");
        *moved += member->power;
        *member = set->members[--set->count];
        return true;
    }
    if (!member) {
        if (set->count == ENGINE_MEMBERS_MAX)
            return wrong(engine, "too many validators");
        member = &set->members[set->count++];
        *member = (struct engine_member){0};
        memcpy(member->key, update->key, 32);
        stake_address(update->key, member->address);
    }
    if (member->power == update->power)
        return wrong(engine, "a change that changes nothing");
    *moved += member->power > update->power ? member->power - update->power
                                            : update->power - member->power;
    member->power = update->power;
    return true;
}

bool engine_model_take(struct engine_model *engine, uint64_t height,
                       const struct ledger_outcome *outcome)
{
    struct engine_set next = *engine_model_newest(engine);
    uint64_t before = 0;
    uint64_t total = 0;
    uint64_t moved = 0;
    uint8_t last[20];

    if (outcome->updates_count == 0)
        return true;
    for (size_t i = 0; i < next.count; i++)
        before += next.members[i].power;
    for (size_t i = 0; i < outcome->updates_count; i++) {
        uint8_t address[20];

        stake_address(outcome->updates[i].key, address);
        if (i > 0 && memcmp(last, address, 20) >= 0)
            return wrong(engine, "changes are not in order, or one is there twice");
        memcpy(last, address, 20);
        if (!change_take(engine, &next, &outcome->updates[i], &moved))
            return false;
    }
    for (size_t i = 0; i < next.count; i++)
        total += next.members[i].power;
    if (next.count == 0 || total > (uint64_t)INT64_MAX / 8)
        return wrong(engine, "nobody is left, or their power is too much");
    if (moved > (before / 3 > 0 ? before / 3 : 1))
        return wrong(engine, "more than a third of the power changes at once");
    qsort(next.members, next.count, sizeof next.members[0], member_order);
    next.from_height = height + 2;
    if (engine->count == ENGINE_SETS_MAX) {
        memmove(engine->sets, engine->sets + 1, (ENGINE_SETS_MAX - 1) * sizeof engine->sets[0]);
        engine->count--;
    }
    engine->sets[engine->count++] = next;
    return true;
}

/* --- blocks --- */

static bool is_whose(const struct engine_member *member, unsigned who)
{
    struct crypto_ed25519_key key;

    stake_key((enum fixture_role)who, &key);
    return memcmp(member->key, key.public_key, 32) == 0;
}

static void sha256(const void *data, size_t len, uint8_t out[32])
{
    struct crypto_sha256 *state;

    if (crypto_sha256_new(&state))
        abort();
    crypto_sha256_update(state, data, len);
    crypto_sha256_final(state, out);
    crypto_sha256_free(state);
}

/* As the engine hashes its set (Merkle root, RFC 6962's shape). */
static void members_hash(const struct engine_member *members, size_t count, uint8_t out[32])
{
    uint8_t bytes[80] = {0};
    size_t left = 1;
    size_t len = 0;

    if (count > 1) {
        while (left * 2 < count)
            left *= 2;
        bytes[0] = 1;
        members_hash(members, left, bytes + 1);
        members_hash(members + left, count - left, bytes + 33);
        sha256(bytes, 65, out);
        return;
    }
    memcpy(bytes, "\0\x0a\x22\x0a\x20", 5);
    memcpy(bytes + 5, members->key, 32);
    bytes[37] = 0x10;
    for (uint64_t power = members->power; len == 0 || power > 0; power >>= 7, len++)
        bytes[38 + len] = (uint8_t)((power & 0x7f) | (power > 0x7f ? 0x80 : 0));
    sha256(bytes, 38 + len, out);
}

void engine_model_hash(const struct engine_model *engine, uint8_t hash[32])
{
    const struct engine_set *set = engine_model_newest(engine);

    members_hash(set->members, set->count, hash);
}

static ProtobufCBinaryData votes_bits(struct fixture *f, const struct engine_set *set,
                                      uint32_t people)
{
    uint8_t bits[(ENGINE_MEMBERS_MAX + 7) / 8] = {0};

    for (size_t i = 0; i < set->count; i++) {
        for (unsigned who = 0; who < FIXTURE_PEOPLE; who++) {
            if ((people >> who & 1) && is_whose(&set->members[i], who))
                bits[i / 8] |= (uint8_t)(1u << i % 8);
        }
    }
    return fixture_keep(f, bits, (set->count + 7) / 8);
}

static void votes_write(struct fixture *f, const struct engine_set *set,
                        const struct stake_votes *votes, Hypermesh__EngineFacts *facts)
{
    if (votes->nobody)
        return;
    facts->absent = votes_bits(f, set, votes->absent);
    if (votes->nil)
        facts->nil = votes_bits(f, set, votes->nil);
}

/* Of the set that the block is made by. */
static void proposer_write(struct fixture *f, const struct engine_model *engine, uint64_t height,
                           const struct stake_votes *votes, Hypermesh__EngineFacts *facts)
{
    const struct engine_set *set = engine_model_voting(engine, height + 1);

    for (size_t i = 0; i < set->count; i++) {
        if (votes->proposer ? is_whose(&set->members[i], votes->proposer - 1)
                            : height % set->count == i)
            facts->proposer = fixture_keep(f, set->members[i].address, 20);
    }
}

static void faults_write(struct fixture *f, const struct stake_votes *votes,
                         Hypermesh__EngineFacts *facts)
{
    facts->faults = fixture_take(f, FIXTURE_PEOPLE * sizeof *facts->faults);
    for (unsigned who = 0; who < FIXTURE_PEOPLE; who++) {
        struct crypto_ed25519_key key;
        Hypermesh__EngineFault *fault;
        uint8_t address[20];

        if (!(votes->double_sign >> who & 1))
            continue;
        stake_key((enum fixture_role)who, &key);
        stake_address(key.public_key, address);
        fault = fixture_new(f, &hypermesh__engine_fault__descriptor);
        fault->kind = 1;
        fault->address = fixture_keep(f, address, sizeof address);
        fault->time_ms = votes->fault_ms ? votes->fault_ms : f->next_ms - FIXTURE_BLOCK_MS;
        fault->height = votes->fault_height;
        facts->faults[facts->n_faults++] = fault;
    }
}

int stake_block(struct fixture *f, struct engine_model *engine, const struct stake_votes *votes,
                const struct hm_slice *txs, size_t count, struct ledger_outcome *out)
{
    const struct stake_votes all = {0};
    Hypermesh__EngineFacts *facts;
    struct ledger_proposal proposal;
    struct ledger_outcome outcome;
    struct hm_slice items[2];
    struct ledger_info info;
    int rc = ledger_info(f->ledger, &info, &f->error);

    if (rc)
        return rc;
    votes = votes ? votes : &all;
    facts = cluster_facts(f, info.height + 1);
    votes_write(f, engine_model_voting(engine, info.height + 1), votes, facts);
    proposer_write(f, engine, info.height + 1, votes, facts);
    faults_write(f, votes, facts);
    if (engine_model_newest(engine)->count > 0 && !votes->other_set) {
        uint8_t hash[32];

        engine_model_hash(engine, hash);
        facts->next_validators_hash = fixture_keep(f, hash, 32);
    }
    facts->round = votes->round;
    facts->recovery = votes->recovery;
    items[0] = votes->note ? cluster_note_item(f, votes->note) : cluster_note(f, f->next_ms);
    if (count > 0)
        items[1] = fixture_batch(f, txs, count);
    cluster_propose(f, facts, items, count > 0 ? 2 : 0, &proposal);
    rc = votes->unjudged ? 0 : ledger_process(f->ledger, &proposal, &f->error);
    if (rc == 0)
        rc = ledger_finalize(f->ledger, &proposal, &outcome, &f->error);
    if (rc == 0)
        rc = ledger_commit(f->ledger, &f->error);
    if (rc)
        return rc;
    f->record = (Hypermesh__BlockRecord *)(uintptr_t)outcome.record; /* only read */
    f->next_ms += FIXTURE_BLOCK_MS;
    if (out)
        *out = outcome;
    if (engine_model_take(engine, proposal.height, &outcome))
        return 0;
    return hm_fail(&f->error, HM_EINTERNAL, "the engine would stop: %s", engine->wrong);
}

Hypermesh__TxResult *stake_do(struct fixture *f, struct engine_model *engine, enum fixture_role who,
                              Hypermesh__Operation *op)
{
    struct hm_slice tx = fixture_tx(f, who, &op, 1);

    if (stake_block(f, engine, NULL, &tx, 1, NULL) || f->record->n_results != 1)
        return NULL;
    fixture_resync(f);
    return f->record->results[0];
}
