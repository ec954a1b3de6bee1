/* Validators: what is delegated to them, what they earn and lose, and which of them the engine of a cluster is told of.
 *
 * A delegation is shares of a validator's stake, so that a fault changes one number whoever delegated. What leaves
 * waits in pools of the validator, one a span of time: a fault reaches those pools that began to leave since. Every
 * fraction is rounded against who takes. Start with ledger_validators_end_block. */
#ifndef HM_LEDGER_VALIDATOR_H
#define HM_LEDGER_VALIDATOR_H

#include "ledger_op.h"

#define LEDGER_VALIDATOR_ADDRESS_BYTES 20
#define LEDGER_VALIDATOR_KEY_BYTES     CRYPTO_ED25519_PUBLIC_BYTES
/* Of params.max_validators: twice as many, told and wanted ones during a change, are still a set that light clients take. */
#define LEDGER_PLACES_MAX 128
/* Declared and neither retired nor tombstoned, for each place among those with power. */
#define LEDGER_VALIDATORS_A_PLACE UINT64_C(4)
#define LEDGER_VALIDATOR_WORK \
    UINT64_C(20) /* one looked at when room is made: as a key of a range */
#define LEDGER_LEAVING_MAX   16 /* entries of one delegation */
#define LEDGER_LEAVING_SPANS UINT64_C(8) /* that unbond_delay_ms is cut into */
/* What the engine takes: (2^63 - 1) / 8. */
#define LEDGER_POWER_TOTAL_MAX ((uint64_t)INT64_MAX / 8)

#define LEDGER_KEY_DELEGATION_BYTES (1 + 2 * LEDGER_ID_BYTES)
#define LEDGER_KEY_ADDRESS_BYTES    (1 + LEDGER_VALIDATOR_ADDRESS_BYTES)

/* --- parameters --- */
/* max_validators 0: a chain of before proof of stake, with the defaults of it. In memory only: the state keeps the bytes
 * that the genesis had. */
void ledger_stake_params_fill(Hypermesh__Params *params);
int ledger_stake_params_check(const Hypermesh__Params *params, struct hm_error *error);

/* --- keys, opening --- */
struct hm_slice ledger_key_delegation(const uint8_t validator[LEDGER_ID_BYTES],
                                      const uint8_t delegator[LEDGER_ID_BYTES],
                                      uint8_t out[LEDGER_KEY_DELEGATION_BYTES]);
struct hm_slice ledger_key_address(const uint8_t address[LEDGER_VALIDATOR_ADDRESS_BYTES],
                                   uint8_t out[LEDGER_KEY_ADDRESS_BYTES]);
/* Start of SHA-256 of the key, as the engine names validators. HM_ENOMEM. */
int ledger_validator_address(const uint8_t key[LEDGER_VALIDATOR_KEY_BYTES],
                             uint8_t out[LEDGER_VALIDATOR_ADDRESS_BYTES], struct hm_error *error);
/* Are the ids and the key as long as they must be? Of what is stored: else it is damaged. */
bool ledger_validator_sound(const Hypermesh__Validator *validator);
bool ledger_delegation_sound(const Hypermesh__Delegation *delegation);
/* Refused when there is none. */
int ledger_scope_validator(struct ledger_scope *scope, ProtobufCBinaryData operator_id,
                           Hypermesh__Validator **out, struct hm_error *error);
int ledger_scope_validator_open(struct ledger_scope *scope, ProtobufCBinaryData operator_id,
                                struct ledger_object **out, struct hm_error *error);
int ledger_scope_delegation(struct ledger_scope *scope, ProtobufCBinaryData operator_id,
                            ProtobufCBinaryData delegator, struct ledger_object **out,
                            struct hm_error *error);
int ledger_scope_address(struct ledger_scope *scope,
                         const uint8_t address[LEDGER_VALIDATOR_ADDRESS_BYTES],
                         struct ledger_object **out, struct hm_error *error);
/* EngineState; made when it is not there. */
int ledger_scope_engine(struct ledger_scope *scope, Hypermesh__EngineState **out,
                        struct hm_error *error);
int ledger_scope_engine_open(struct ledger_scope *scope, struct ledger_object **out,
                             struct hm_error *error);
/* Counts it among those that may have power, or no more. */
int ledger_validator_activate(struct ledger_scope *scope, ProtobufCBinaryData operator_id,
                              bool active, struct hm_error *error);
/* A message of the scope with the defaults of its kind. */
int ledger_stake_message(struct ledger_scope *scope, const ProtobufCMessageDescriptor *descriptor,
                         ProtobufCMessage **out, struct hm_error *error);

/* Of those that are declared, and whom the engine was not told of, the one with the least stake by the block so far; *stake is
 * UINT64_MAX when there is none. (ledger_validator_place.c) */
int ledger_validator_weakest(struct ledger_scope *scope, uint8_t out[LEDGER_ID_BYTES],
                             uint64_t *stake, struct hm_error *error);

/* --- stake (ledger_stake.c) --- */
/* HYPER that the shares are worth, rounded down. */
uint64_t ledger_stake_worth(uint64_t stake, uint64_t all_shares, uint64_t shares);
/* Does it take stake? Refused when it has retired or been tombstoned. */
int ledger_validator_takes(const Hypermesh__Validator *validator, struct hm_error *error);
/* From the delegator's balance to the validator, for shares. Earnings so far are paid out first. */
int ledger_stake_delegate(struct ledger_scope *scope, Hypermesh__Validator *validator,
                          ProtobufCBinaryData delegator, uint64_t amount, struct hm_error *error);
/* Takes amount, or all, out of a delegation: it leaves, to the balance or to another validator (to.len > 0). */
int ledger_stake_leave(struct ledger_scope *scope, Hypermesh__Validator *validator,
                       ProtobufCBinaryData delegator, uint64_t amount, bool all,
                       ProtobufCBinaryData to, struct hm_error *error);
/* Drops a delegation of which nothing is left, and then a retired validator of which nothing is. */
int ledger_stake_tidy(struct ledger_scope *scope, Hypermesh__Validator *validator,
                      const Hypermesh__Delegation *delegation, struct hm_error *error);
/* Length of the span of time that leaves into one pool; what left in it is reached by a fault that happened before its end. */
static inline uint64_t ledger_leaving_span(const Hypermesh__Params *params)
{
    return params->unbond_delay_ms / LEDGER_LEAVING_SPANS + 1;
}
/* What has left is free by the block's time. id: of both accounts, as the index of due things has it. HM_ENOTFOUND. */
int ledger_stake_leave_end(struct ledger_scope *scope, ProtobufCBinaryData id,
                           struct hm_error *error);

/* --- money (ledger_money_stake.c): each moves the totals along --- */
int ledger_money_stake(struct ledger_scope *scope, Hypermesh__Account *from, uint64_t amount,
                       uint64_t *held, struct hm_error *error);
int ledger_money_stake_free(struct ledger_scope *scope, uint64_t *held, uint64_t amount,
                            Hypermesh__Account *to, struct hm_error *error);
int ledger_money_stake_move(uint64_t *from, uint64_t *to, uint64_t amount, struct hm_error *error);
int ledger_money_stake_burn(struct ledger_scope *scope, uint64_t *held, uint64_t amount,
                            struct hm_error *error);
int ledger_money_stake_mint(struct ledger_scope *scope, Hypermesh__Validator *validator,
                            uint64_t caes, struct hm_error *error);
int ledger_money_stake_pay(Hypermesh__Validator *validator, Hypermesh__Account *to, uint64_t caes,
                           struct hm_error *error);

/* --- rewards (ledger_reward.c) --- */
/* Mints caes for the validator, or as many as can still be counted: its commission, and the rest for its shares. */
int ledger_reward_add(struct ledger_scope *scope, Hypermesh__Validator *validator, uint64_t caes,
                      struct hm_error *error);
/* What shares have earned since the mark, rounded down. false: it does not fit, which minted CAES always does. */
bool ledger_reward_owed(const Hypermesh__Validator *validator,
                        const Hypermesh__Delegation *delegation, uint64_t *caes);
/* Pays it out and moves the mark; the commission as well when the account is the operator. */
int ledger_reward_pay(struct ledger_scope *scope, Hypermesh__Validator *validator,
                      Hypermesh__Delegation *delegation, struct hm_error *error);
/* Votes and absences of a block with transactions. set: those whose votes it names, in the engine's order. Who voted for no
 * block was there, and earns nothing. */
int ledger_reward_block(struct ledger_scope *scope, const Hypermesh__EngineSet *set,
                        const Hypermesh__EngineFacts *facts, struct hm_error *error);

/* --- missed votes (ledger_validator_votes.c) --- */
/* Of a member whose votes count; NULL: jailed, retired, tombstoned, or with another key by now. */
int ledger_voter_open(struct ledger_scope *scope, const Hypermesh__EngineMember *member,
                      Hypermesh__Validator **out, struct hm_error *error);
/* Makes those that do not count votes for no block in facts, which is the caller's copy: its bits become others, of the scope.
 * voting: those whose votes it names; proposing: the set that its proposer is of. */
int ledger_votes_weigh(struct ledger_scope *scope, const Hypermesh__EngineSet *voting,
                       const Hypermesh__EngineSet *proposing, Hypermesh__EngineFacts *facts,
                       struct hm_error *error);

/* --- faults (ledger_slash.c) --- */
/* Names the operator in the block's record. */
int ledger_named_add(struct ledger_block *block, struct ledger_named *named, ProtobufCBinaryData id,
                     struct hm_error *error);
/* Burns ppm of the stake and of what leaves since since_ms. */
int ledger_slash(struct ledger_scope *scope, Hypermesh__Validator *validator, uint64_t ppm,
                 uint64_t since_ms, struct hm_error *error);
/* The engine's. Unknown addresses change nothing, nor faults from before unbond_delay_ms; of a validator that was tombstoned already only what an earlier fault
 * reaches and none before did. */
int ledger_slash_fault(struct ledger_scope *scope, const Hypermesh__EngineFault *fault,
                       struct hm_error *error);
/* A challenge of the node's plot that was put at since_ms failed: if it operates a validator, that loses too. */
int ledger_slash_plot(struct ledger_scope *scope, ProtobufCBinaryData node, uint64_t since_ms,
                      struct hm_error *error);

/* --- the set (ledger_validator_set.c, ledger_validator_step.c) --- */
struct ledger_member {
    uint8_t operator_id[LEDGER_ID_BYTES];
    uint8_t key[LEDGER_VALIDATOR_KEY_BYTES];
    uint8_t address[LEDGER_VALIDATOR_ADDRESS_BYTES];
    uint64_t power;
};
struct ledger_members {
    struct ledger_member *list;
    size_t count;
};
void ledger_members_sort(struct ledger_members *members, bool by_power);
/* One block's step from told to wanted, both by address, at most a third of told's power (1 at least): out by address.
 * out->list and goals (scratch) have room for both. Nobody wanted, or the last one to go: what is told stays. */
void ledger_members_step(const struct ledger_members *told, const struct ledger_members *wanted,
                         uint64_t *goals, struct ledger_members *out);
/* Who should have power by the state as a store has it (before a block), by power. */
int ledger_members_stored(struct store_txn *txn, const Hypermesh__Params *params,
                          struct hm_arena *arena, struct ledger_members *out,
                          struct hm_error *error);
/* The same of those only that go on after a recovery. */
int ledger_members_going_on(struct store_txn *txn, const Hypermesh__Params *params,
                            const Hypermesh__EngineRecovery *recovery, struct hm_arena *arena,
                            struct ledger_members *out, struct hm_error *error);
/* Makes them the engine's set from its first block on; whatever sets the state had are forgotten. */
int ledger_members_begin(struct ledger_scope *scope, Hypermesh__EngineState *state,
                         const struct ledger_members *members, struct hm_error *error);
/* EngineFacts.next_validators_hash of a set that is not empty, by power. HM_ENOMEM. */
int ledger_members_hash(const struct ledger_members *members, uint8_t out[CRYPTO_SHA256_BYTES],
                        struct hm_error *error);
/* The newest set of the state, by power; *begun false: none. */
int ledger_members_told(const Hypermesh__EngineState *state, struct hm_arena *arena,
                        struct ledger_members *out, struct hm_error *error);
/* The set whose votes the block at height speaks of: those for the block before. By the state before the block, which txn and
 * state show. *out is empty where it is not known: nobody is declared, or the engine has another set, whose hash is next_set. */
int ledger_members_voting(struct store_txn *txn, const Hypermesh__Params *params,
                          const Hypermesh__EngineState *state, uint64_t height,
                          struct hm_slice next_set, struct hm_arena *arena,
                          struct ledger_members *out, struct hm_error *error);
/* What the engine said counts, and what it is to be told lies in block->updates. facts NULL: one node's block, nothing. A
 * block in which nobody paid, nothing changed of validators and nobody is at fault changes nothing. */
int ledger_validators_end_block(struct ledger_block *block, const Hypermesh__EngineFacts *facts,
                                struct hm_error *error);

/* --- genesis, audit --- */
struct ledger_overlay;
int ledger_validators_genesis_check(const Hypermesh__Genesis *genesis, struct hm_error *error);
/* Writes them; *bonded: what they bonded in all. Accounts have their shares already. */
int ledger_validators_found(struct ledger_overlay *overlay, struct hm_arena *arena,
                            const Hypermesh__Genesis *genesis, uint64_t *bonded,
                            struct hm_error *error);
/* Delegations add up to each validator's shares, leaving entries to its pools. HM_ECORRUPT. */
int ledger_validators_audit(struct store_txn *txn, struct hm_error *error);

#endif
