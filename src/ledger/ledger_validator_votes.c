/* Which missed votes count. A proposer chooses up to a third of the votes that its block leaves out, and a coalition can see
 * to it that only its own blocks are paid for. So what one proposer may say of one validator in a window is bounded. */
#include "ledger_validator.h"

/* A proposer's reports of a validator count up to its part of the power, times this, of the misses that are allowed: proposers
 * that hold under a third jail nobody by themselves, the two thirds and more that go on without somebody say twice as many as
 * are needed. */
#define REPORT_SHARES UINT64_C(3)

static void bit_set(ProtobufCBinaryData bits, size_t number)
{
    bits.data[number / 8] |= (uint8_t)(1u << number % 8);
}

static bool bit_take(ProtobufCBinaryData bits, size_t number)
{
    uint8_t bit = (uint8_t)(1u << number % 8);
    bool was = number / 8 < bits.len && (bits.data[number / 8] & bit) != 0;

    if (was)
        bits.data[number / 8] &= (uint8_t)~bit;
    return was;
}

/* Of one validator in one window. Rounded down: many small ones get nothing for nothing. */
static uint64_t reports_most(const struct ledger_block *block,
                             const Hypermesh__EngineSet *proposing, ProtobufCBinaryData proposer,
                             struct hm_error *error, int *rc)
{
    uint8_t address[LEDGER_VALIDATOR_ADDRESS_BYTES];
    uint64_t allowed = 0;
    uint64_t power = 0;
    uint64_t total = 0;
    uint64_t most = 0;

    *rc = 0;
    for (size_t i = 0; *rc == 0 && i < proposing->n_members; i++) {
        const Hypermesh__EngineMember *member = proposing->members[i];

        total += member->power; /* LEDGER_POWER_TOTAL_MAX at most */
        *rc = ledger_validator_address(member->key.data, address, error);
        if (hm_slice_equal(wire_slice(proposer), hm_slice_of(address, sizeof address)))
            power = member->power;
    }
    (void)hm_muldiv_u64(block->params->absent_window, block->params->absent_ppm, LEDGER_PPM,
                        &allowed);
    if (power > 0)
        (void)hm_muldiv_u64(REPORT_SHARES * allowed, power, total, &most);
    return most;
}

/* One more entry; there are never more than misses that count. */
static int report_add(struct ledger_scope *scope, Hypermesh__Validator *validator,
                      ProtobufCBinaryData proposer, struct hm_error *error)
{
    Hypermesh__AbsenceReport **list;
    ProtobufCMessage *message;
    void *memory;
    int rc = ledger_scope_alloc(scope, (validator->n_reports + 1) * sizeof *list, &memory, error);

    if (rc == 0)
        rc = ledger_stake_message(scope, &hypermesh__absence_report__descriptor, &message, error);
    if (rc)
        return rc;
    list = memory;
    if (validator->n_reports > 0)
        memcpy(list, validator->reports, validator->n_reports * sizeof *list);
    list[validator->n_reports] = (Hypermesh__AbsenceReport *)message;
    list[validator->n_reports]->proposer = proposer;
    list[validator->n_reports]->count = 1;
    validator->reports = list;
    validator->n_reports++;
    return 0;
}

static int report_count(struct ledger_scope *scope, Hypermesh__Validator *validator,
                        ProtobufCBinaryData proposer, uint64_t most, bool *counts,
                        struct hm_error *error)
{
    *counts = most > 0;
    for (size_t i = 0; i < validator->n_reports; i++) {
        Hypermesh__AbsenceReport *report = validator->reports[i];

        if (!hm_slice_equal(wire_slice(report->proposer), wire_slice(proposer)))
            continue;
        *counts = report->count < most;
        report->count += *counts;
        return 0;
    }
    return *counts ? report_add(scope, validator, proposer, error) : 0;
}

static int bits_copy(struct ledger_scope *scope, ProtobufCBinaryData from, size_t len,
                     ProtobufCBinaryData *out, struct hm_error *error)
{
    void *memory;
    int rc = ledger_scope_alloc(scope, len + 1, &memory, error);

    if (rc)
        return rc;
    memset(memory, 0, len + 1);
    if (from.len > 0)
        memcpy(memory, from.data, from.len < len ? from.len : len);
    *out = wire_bytes(memory, len);
    return 0;
}

int ledger_voter_open(struct ledger_scope *scope, const Hypermesh__EngineMember *member,
                      Hypermesh__Validator **out, struct hm_error *error)
{
    Hypermesh__Validator *validator;
    struct ledger_object *object;
    int rc = ledger_scope_validator_open(scope, member->operator_, &object, error);

    *out = NULL;
    if (rc || !object->message)
        return rc;
    validator = (Hypermesh__Validator *)object->message;
    if (!validator->jailed && !validator->retired && !validator->tombstoned &&
        ledger_id_equal(validator->key, member->key))
        *out = validator;
    return 0;
}

static int member_weigh(struct ledger_scope *scope, const Hypermesh__EngineMember *member,
                        size_t number, uint64_t most, Hypermesh__EngineFacts *facts,
                        struct hm_error *error)
{
    Hypermesh__Validator *validator;
    bool counts;
    int rc = ledger_voter_open(scope, member, &validator, error);

    if (rc || !validator)
        return rc;
    if (validator->window_blocks == 0)
        validator->n_reports = 0;
    if (!bit_take(facts->absent, number))
        return 0;
    rc = report_count(scope, validator, facts->proposer, most, &counts, error);
    if (rc == 0)
        bit_set(counts ? facts->absent : facts->nil, number);
    return rc;
}

int ledger_votes_weigh(struct ledger_scope *scope, const Hypermesh__EngineSet *voting,
                       const Hypermesh__EngineSet *proposing, Hypermesh__EngineFacts *facts,
                       struct hm_error *error)
{
    size_t len = facts->absent.len;
    uint64_t most;
    int rc;

    if (len == 0)
        return 0;
    most = reports_most(scope->block, proposing, facts->proposer, error, &rc);
    if (rc == 0)
        rc = bits_copy(scope, facts->absent, len, &facts->absent, error);
    if (rc == 0)
        rc = bits_copy(scope, facts->nil, len, &facts->nil, error);
    for (size_t i = 0; rc == 0 && i < voting->n_members; i++)
        rc = member_weigh(scope, voting->members[i], i, most, facts, error);
    return rc;
}
