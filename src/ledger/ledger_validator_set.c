/* The validators that the engine of a cluster is told of, and the end of its blocks. What it is told at block H counts
 * from block H+2 on; what it says in a block of who was absent is about the votes for the block before. So sets are kept
 * with the height they begin at, as long as a block may speak of them. */
#include "ledger_overlay_range.h"
#include "ledger_recovery.h"

/* --- who should have power --- */

/* Those that may have some, being collected. */
struct roster {
    const Hypermesh__Params *params;
    const Hypermesh__EngineRecovery *only; /* those that it names; NULL: all */
    struct hm_arena *arena; /* for the list */
    struct hm_arena scratch; /* for one validator */
    struct ledger_members members;
    size_t cap;
};

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for the set of validators");
}

static int roster_grow(struct roster *roster, struct hm_error *error)
{
    size_t cap = roster->cap ? roster->cap * 2 : 16;
    struct ledger_member *list = hm_arena_alloc(roster->arena, cap * sizeof *list);

    if (!list)
        return no_memory(error);
    if (roster->members.count > 0)
        memcpy(list, roster->members.list, roster->members.count * sizeof *list);
    roster->members.list = list;
    roster->cap = cap;
    return 0;
}

/* A validator that is neither retired nor tombstoned. */
static int roster_take(struct roster *roster, struct hm_slice bytes, struct hm_error *error)
{
    const Hypermesh__Params *params = roster->params;
    struct ledger_member *member;
    Hypermesh__Validator *validator;
    uint64_t power;
    int rc;

    hm_arena_clear(&roster->scratch);
    rc = WIRE_UNPACK(hypermesh__validator, bytes, LEDGER_STATE_MAX_BYTES, &roster->scratch,
                     &validator, error);
    if (rc == HM_ENOMEM)
        return rc;
    if (rc || !ledger_validator_sound(validator))
        return hm_fail(error, HM_ECORRUPT, "a stored validator is damaged");
    if (roster->only && !ledger_recovery_names(roster->only, validator->operator_))
        return 0;
    power = validator->stake / params->power_unit;
    if (validator->jailed || validator->retired || validator->tombstoned || power == 0 ||
        ledger_stake_worth(validator->stake, validator->shares, validator->own_shares) <
            params->validator_bond)
        return 0;
    if (roster->members.count == roster->cap) {
        rc = roster_grow(roster, error);
        if (rc)
            return rc;
    }
    member = &roster->members.list[roster->members.count++];
    memcpy(member->operator_id, validator->operator_.data, LEDGER_ID_BYTES);
    memcpy(member->key, validator->key.data, LEDGER_VALIDATOR_KEY_BYTES);
    member->power = power;
    return ledger_validator_address(member->key, member->address, error);
}

static void roster_init(struct roster *roster, const Hypermesh__Params *params,
                        struct hm_arena *arena)
{
    *roster = (struct roster){.params = params, .arena = arena};
    hm_arena_init(&roster->scratch, LEDGER_TX_ARENA_BYTES);
}

/* The strongest of them, by power. */
static void roster_end(struct roster *roster, struct ledger_members *out)
{
    hm_arena_release(&roster->scratch);
    ledger_members_sort(&roster->members, true);
    if (roster->members.count > roster->params->max_validators)
        roster->members.count = roster->params->max_validators;
    *out = roster->members;
}

static bool is_active_key(struct hm_slice key)
{
    return key.len == LEDGER_KEY_ID_BYTES && key.data[0] == LEDGER_KEY_ACTIVE;
}

static int missing(struct hm_error *error)
{
    return hm_fail(error, HM_ECORRUPT, "a validator that is counted is missing");
}

static int stored_walk(struct store_txn *txn, struct roster *roster, struct hm_error *error)
{
    const uint8_t first = LEDGER_KEY_ACTIVE;
    uint8_t of[LEDGER_KEY_ID_BYTES];
    struct store_cursor *cursor;
    struct hm_slice key;
    struct hm_slice value;
    int rc = store_cursor_open(txn, LEDGER_TABLE_STATE, &cursor, error);

    if (rc)
        return rc;
    rc = store_cursor_seek(cursor, hm_slice_of(&first, 1), &key, &value);
    while (rc == 0 && is_active_key(key)) {
        rc = store_get(txn, LEDGER_TABLE_STATE,
                       ledger_key_id(LEDGER_KEY_VALIDATOR, key.data + 1, of), &value);
        if (rc) {
            store_cursor_close(cursor);
            return rc == HM_ENOTFOUND ? missing(error) : rc;
        }
        rc = roster_take(roster, value, error);
        if (rc == 0)
            rc = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(cursor);
    return rc == HM_ENOTFOUND ? 0 : rc;
}

int ledger_members_stored(struct store_txn *txn, const Hypermesh__Params *params,
                          struct hm_arena *arena, struct ledger_members *out,
                          struct hm_error *error)
{
    return ledger_members_going_on(txn, params, NULL, arena, out, error);
}

int ledger_members_going_on(struct store_txn *txn, const Hypermesh__Params *params,
                            const Hypermesh__EngineRecovery *recovery, struct hm_arena *arena,
                            struct ledger_members *out, struct hm_error *error)
{
    struct roster roster;
    int rc;

    roster_init(&roster, params, arena);
    roster.only = recovery;
    rc = stored_walk(txn, &roster, error);
    roster_end(&roster, out);
    return rc;
}

/* As the block has made it so far. */
static int members_wanted(struct ledger_block *block, struct ledger_members *out,
                          struct hm_error *error)
{
    const uint8_t first = LEDGER_KEY_ACTIVE;
    const uint8_t past = LEDGER_KEY_ACTIVE + 1;
    uint8_t of[LEDGER_KEY_ID_BYTES];
    struct ledger_overlay_range range;
    struct roster roster;
    struct hm_slice key;
    struct hm_slice value;
    int rc = ledger_overlay_range_open(&block->overlay, hm_slice_of(&first, 1),
                                       hm_slice_of(&past, 1), &range, error);

    if (rc)
        return rc;
    roster_init(&roster, block->params, &block->arena);
    while ((rc = ledger_overlay_range_next(&range, &key, &value, error)) == 0) {
        if (!is_active_key(key))
            continue;
        rc = ledger_overlay_peek(
            &block->overlay, ledger_key_id(LEDGER_KEY_VALIDATOR, key.data + 1, of), &value, error);
        if (rc) {
            rc = rc == HM_ENOTFOUND ? missing(error) : rc;
            break;
        }
        rc = roster_take(&roster, value, error);
        if (rc)
            break;
    }
    ledger_overlay_range_close(&range);
    roster_end(&roster, out);
    return rc == HM_ENOTFOUND ? 0 : rc;
}

/* --- what is told --- */

static int members_of(const Hypermesh__EngineSet *set, struct hm_arena *arena,
                      struct ledger_members *out, struct hm_error *error)
{
    struct ledger_member *list = hm_arena_alloc(arena,
                                                ((set ? set->n_members : 0) + 1) * sizeof *list);

    if (!list)
        return no_memory(error);
    *out = (struct ledger_members){.list = list};
    for (size_t i = 0; set && i < set->n_members; i++) {
        const Hypermesh__EngineMember *from = set->members[i];
        struct ledger_member *member = &list[out->count++];
        int rc;

        if (from->operator_.len != LEDGER_ID_BYTES || from->key.len != LEDGER_VALIDATOR_KEY_BYTES)
            return hm_fail(error, HM_ECORRUPT, "the stored set of validators is damaged");
        memcpy(member->operator_id, from->operator_.data, LEDGER_ID_BYTES);
        memcpy(member->key, from->key.data, LEDGER_VALIDATOR_KEY_BYTES);
        member->power = from->power;
        rc = ledger_validator_address(member->key, member->address, error);
        if (rc)
            return rc;
    }
    return 0;
}

int ledger_members_told(const Hypermesh__EngineState *state, struct hm_arena *arena,
                        struct ledger_members *out, struct hm_error *error)
{
    return members_of(state->n_sets ? state->sets[state->n_sets - 1] : NULL, arena, out, error);
}

/* Adds a set to the state, in the engine's order; older ones go that no block speaks of any more. */
static int set_add(struct ledger_scope *scope, Hypermesh__EngineState *state,
                   const struct ledger_members *members, uint64_t from_height,
                   struct hm_error *error)
{
    uint64_t height = scope->block->height;
    Hypermesh__EngineSet **sets;
    Hypermesh__EngineSet *set;
    ProtobufCMessage *message;
    size_t kept = 0;
    void *memory;
    int rc = ledger_scope_alloc(scope, (state->n_sets + 1) * sizeof *sets, &memory, error);

    if (rc)
        return rc;
    sets = memory;
    /* The next block speaks of the votes for this one. */
    for (size_t i = 0; i < state->n_sets; i++) {
        uint64_t next = i + 1 < state->n_sets ? state->sets[i + 1]->from_height : from_height;

        if (next > height)
            sets[kept++] = state->sets[i];
    }
    rc = ledger_stake_message(scope, &hypermesh__engine_set__descriptor, &message, error);
    if (rc == 0)
        rc = ledger_scope_alloc(scope, members->count * sizeof(void *), &memory, error);
    if (rc)
        return rc;
    set = (Hypermesh__EngineSet *)message;
    set->from_height = from_height;
    set->members = memory;
    for (size_t i = 0; i < members->count; i++) {
        const struct ledger_member *from = &members->list[i];

        rc = ledger_stake_message(scope, &hypermesh__engine_member__descriptor, &message, error);
        if (rc)
            return rc;
        set->members[i] = (Hypermesh__EngineMember *)message;
        set->members[i]->operator_ = wire_bytes(from->operator_id, LEDGER_ID_BYTES);
        set->members[i]->key = wire_bytes(from->key, LEDGER_VALIDATOR_KEY_BYTES);
        set->members[i]->power = from->power;
        set->n_members++;
    }
    sets[kept++] = set;
    state->sets = sets;
    state->n_sets = kept;
    return 0;
}

/* The set whose votes the block speaks of: those for the block before. */
static const Hypermesh__EngineSet *set_voting(const Hypermesh__EngineState *state, uint64_t height)
{
    for (size_t i = state->n_sets; i-- > 0;) {
        if (state->sets[i]->from_height < height)
            return state->sets[i];
    }
    return NULL;
}

int ledger_members_begin(struct ledger_scope *scope, Hypermesh__EngineState *state,
                         const struct ledger_members *members, struct hm_error *error)
{
    state->n_sets = 0;
    state->begun = true;
    return set_add(scope, state, members, 0, error);
}

/* The first block of the engine in which something happens: what the engine began with is what the state before says. */
static int engine_begin(struct ledger_scope *scope, Hypermesh__EngineState *state,
                        struct hm_error *error)
{
    struct ledger_block *block = scope->block;
    struct ledger_members members;
    int rc = ledger_members_stored(block->txn, block->params, &block->arena, &members, error);

    return rc ? rc : ledger_members_begin(scope, state, &members, error);
}

/* --- the step of a block --- */

static bool members_equal(const struct ledger_members *a, const struct ledger_members *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (memcmp(a->list[i].address, b->list[i].address, sizeof a->list[i].address) != 0 ||
            a->list[i].power != b->list[i].power)
            return false;
    }
    return true;
}

static void update_set(struct ledger_validator_update *update, const struct ledger_member *member,
                       uint64_t power)
{
    memcpy(update->key, member->key, sizeof update->key);
    update->power = power;
}

/* Differences between both, which are sorted by address. */
static int updates_make(struct ledger_block *block, const struct ledger_members *was,
                        const struct ledger_members *is, struct hm_error *error)
{
    struct ledger_validator_update *list = hm_arena_alloc(
        &block->arena, (was->count + is->count + 1) * sizeof *list);
    size_t i = 0;
    size_t j = 0;

    if (!list)
        return no_memory(error);
    while (i < was->count || j < is->count) {
        int order = i == was->count  ? 1
                    : j == is->count ? -1
                                     : memcmp(was->list[i].address, is->list[j].address,
                                              LEDGER_VALIDATOR_ADDRESS_BYTES);

        if (order < 0)
            update_set(&list[block->updates_count++], &was->list[i], 0);
        else if (order > 0 || was->list[i].power != is->list[j].power)
            update_set(&list[block->updates_count++], &is->list[j], is->list[j].power);
        i += order <= 0;
        j += order >= 0;
    }
    block->updates = list;
    return 0;
}

static int set_step(struct ledger_scope *scope, Hypermesh__EngineState *state,
                    struct hm_error *error)
{
    struct ledger_block *block = scope->block;
    struct ledger_members wanted = {0};
    struct ledger_members told = {0};
    struct ledger_members next = {0};
    uint64_t *goals;
    int rc = members_wanted(block, &wanted, error);

    if (rc == 0)
        rc = ledger_members_told(state, &block->arena, &told, error);
    if (rc)
        return rc;
    ledger_members_sort(&wanted, false);
    ledger_members_sort(&told, false);
    next.list = hm_arena_alloc(&block->arena, (told.count + wanted.count) * sizeof *next.list);
    goals = hm_arena_alloc(&block->arena, (told.count + wanted.count) * sizeof *goals);
    if (!next.list || !goals)
        return no_memory(error);
    ledger_members_step(&told, &wanted, goals, &next);
    state->pending = !members_equal(&told, &next) && !members_equal(&next, &wanted);
    rc = updates_make(block, &told, &next, error);
    if (rc || block->updates_count == 0)
        return rc;
    ledger_members_sort(&next, true);
    return set_add(scope, state, &next, block->height + 2, error);
}

/* --- the end of a block --- */

static int engine_pending(struct ledger_block *block, bool *pending, struct hm_error *error)
{
    const uint8_t key = LEDGER_KEY_ENGINE;
    Hypermesh__EngineState *state;
    struct hm_slice bytes;
    int rc = ledger_overlay_peek(&block->overlay, hm_slice_of(&key, 1), &bytes, error);

    *pending = false;
    if (rc)
        return rc == HM_ENOTFOUND ? 0 : rc;
    rc = WIRE_UNPACK(hypermesh__engine_state, bytes, LEDGER_STATE_MAX_BYTES, &block->scratch,
                     &state, error);
    if (rc)
        return rc == HM_ENOMEM ? rc : hm_fail(error, HM_ECORRUPT, "the engine's state is damaged");
    *pending = state->pending;
    return 0;
}

/* Has the engine the set that the ledger told it? An engine that was begun with another keeps that: it is told nothing,
 * because what would change one set may be no change of another, and would stop it. */
static int members_are_shared(const struct ledger_members *told, struct hm_slice next_set,
                              bool *shared, struct hm_error *error)
{
    uint8_t hash[CRYPTO_SHA256_BYTES];
    int rc;

    *shared = false;
    if (told->count == 0)
        return 0;
    rc = ledger_members_hash(told, hash, error);
    if (rc == 0)
        *shared = hm_slice_equal(next_set, hm_slice_of(hash, sizeof hash));
    return rc;
}

static int set_is_shared(struct ledger_block *block, const Hypermesh__EngineState *state,
                         const Hypermesh__EngineFacts *facts, bool *shared, struct hm_error *error)
{
    struct ledger_members told = {0};
    int rc = ledger_members_told(state, &block->arena, &told, error);

    return rc ? rc
              : members_are_shared(&told, wire_slice(facts->next_validators_hash), shared, error);
}

/* The newest set; before the engine's first block in which something happened, the one that it began with. */
static int members_newest(struct store_txn *txn, const Hypermesh__Params *params,
                          const Hypermesh__EngineState *state, struct hm_arena *arena,
                          struct ledger_members *out, struct hm_error *error)
{
    return state->begun ? ledger_members_told(state, arena, out, error)
                        : ledger_members_stored(txn, params, arena, out, error);
}

int ledger_members_voting(struct store_txn *txn, const Hypermesh__Params *params,
                          const Hypermesh__EngineState *state, uint64_t height,
                          struct hm_slice next_set, struct hm_arena *arena,
                          struct ledger_members *out, struct hm_error *error)
{
    struct ledger_members newest = {0};
    bool shared = false;
    int rc = members_newest(txn, params, state, arena, &newest, error);

    *out = (struct ledger_members){0};
    if (rc == 0)
        rc = members_are_shared(&newest, next_set, &shared, error);
    if (rc || !shared)
        return rc;
    if (!state->begun) {
        *out = newest;
        return 0;
    }
    return members_of(set_voting(state, height), arena, out, error);
}

static int votes_and_faults(struct ledger_scope *scope, const Hypermesh__EngineState *state,
                            const Hypermesh__EngineFacts *facts, bool shared,
                            struct hm_error *error)
{
    const struct ledger_block *block = scope->block;
    const Hypermesh__EngineSet *set = shared ? set_voting(state, block->height) : NULL;
    Hypermesh__EngineFacts weighed = *facts;
    int rc = 0;

    /* Only a block in which somebody paid is rewarded, and counts as missed: idle ones change nothing. */
    if (block->weight > 0 && set && set->n_members > 0) {
        rc = ledger_votes_weigh(scope, set, set_voting(state, block->height + 1), &weighed, error);
        if (rc == 0)
            rc = ledger_reward_block(scope, set, &weighed, error);
    }
    for (size_t i = 0; rc == 0 && i < facts->n_faults; i++)
        rc = ledger_slash_fault(scope, facts->faults[i], error);
    return rc;
}

static void scope_begin(struct ledger_block *block, struct ledger_scope *scope)
{
    hm_arena_clear(&block->scratch);
    ledger_scope_init(scope, block, &block->scratch, (struct hm_slice){0});
}

int ledger_validators_end_block(struct ledger_block *block, const Hypermesh__EngineFacts *facts,
                                struct hm_error *error)
{
    Hypermesh__EngineState *state;
    struct ledger_scope scope;
    bool shared = false;
    bool pending;
    int rc;

    if (!facts)
        return 0;
    hm_arena_clear(&block->scratch);
    rc = engine_pending(block, &pending, error);
    if (rc || (block->weight == 0 && facts->n_faults == 0 && !block->stake_changed && !pending &&
               !facts->recovery))
        return rc;
    scope_begin(block, &scope);
    rc = ledger_scope_engine(&scope, &state, error);
    if (rc == 0 && facts->recovery) {
        rc = ledger_recovery_apply(&scope, state, facts->recovery, error);
    } else if (rc == 0 && !state->begun) {
        rc = engine_begin(&scope, state, error);
        block->stake_changed = true;
    }
    if (rc == 0)
        rc = set_is_shared(block, state, facts, &shared, error);
    if (rc == 0)
        rc = votes_and_faults(&scope, state, facts, shared, error);
    if (rc == 0)
        rc = ledger_scope_commit(&scope, error);
    if (rc || !shared || !(block->stake_changed || pending))
        return rc;
    scope_begin(block, &scope);
    rc = ledger_scope_engine(&scope, &state, error);
    if (rc == 0)
        rc = set_step(&scope, state, error);
    return rc ? rc : ledger_scope_commit(&scope, error);
}
