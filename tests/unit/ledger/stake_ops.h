/* Operations on stake, blocks with what an engine says of votes and faults, and a model of the engine's own rules for sets of
 * validators: none of it knows how the ledger finds them. */
#ifndef STAKE_OPS_H
#define STAKE_OPS_H

#include "cluster_fixture.h"

/* Small enough that everything happens within a few blocks. */
void stake_params(Hypermesh__Params *params);

void stake_key(enum fixture_role who, struct crypto_ed25519_key *key);
void stake_address(const uint8_t key[32], uint8_t address[20]);

Hypermesh__Operation *op_declare(struct fixture *f, enum fixture_role who, uint64_t bond,
                                 uint32_t commission_ppm);
/* With somebody else's key. */
Hypermesh__Operation *op_declare_key(struct fixture *f, enum fixture_role who,
                                     enum fixture_role whose_key, uint64_t bond,
                                     uint32_t commission_ppm);
Hypermesh__Operation *op_commission(struct fixture *f, uint32_t ppm);
Hypermesh__Operation *op_retire_validator(struct fixture *f);
Hypermesh__Operation *op_delegate(struct fixture *f, enum fixture_role validator, uint64_t amount);
/* amount 0: all. */
Hypermesh__Operation *op_undelegate(struct fixture *f, enum fixture_role validator,
                                    uint64_t amount);
Hypermesh__Operation *op_redelegate(struct fixture *f, enum fixture_role validator,
                                    enum fixture_role to, uint64_t amount);
Hypermesh__Operation *op_rewards(struct fixture *f, enum fixture_role validator);
Hypermesh__Operation *op_unjail(struct fixture *f);

/* NULL: none. */
Hypermesh__Validator *stake_validator(struct fixture *f, enum fixture_role who);
Hypermesh__Delegation *stake_delegation(struct fixture *f, enum fixture_role validator,
                                        enum fixture_role who);

/* --- the engine --- */
#define ENGINE_SETS_MAX    8
#define ENGINE_MEMBERS_MAX 16
struct engine_member {
    uint8_t key[32];
    uint8_t address[20];
    uint64_t power;
};
struct engine_set {
    uint64_t from_height;
    struct engine_member members[ENGINE_MEMBERS_MAX]; /* power descending, then address ascending */
    size_t count;
};
struct engine_model {
    struct engine_set sets[ENGINE_SETS_MAX]; /* newest last */
    size_t count;
    char wrong[160]; /* what no engine would take; empty: nothing */
};
/* As an engine begins: with what ledger_view_engine_set says. */
void engine_model_begin(struct engine_model *engine, struct fixture *f);
/* The set whose votes the block at height speaks of. */
const struct engine_set *engine_model_voting(const struct engine_model *engine, uint64_t height);
const struct engine_set *engine_model_newest(const struct engine_model *engine);
/* What it says of its newest set in a block (next_validators_hash). */
void engine_model_hash(const struct engine_model *engine, uint8_t hash[32]);
/* Takes what the block at height tells it; false: see wrong. */
bool engine_model_take(struct engine_model *engine, uint64_t height,
                       const struct ledger_outcome *outcome);

/* --- blocks --- */
struct stake_votes {
    uint32_t absent; /* a bit a person: his validator does not vote */
    unsigned proposer; /* whose validator proposes, and 1 more; 0: they take turns */
    uint32_t nil; /* a bit a person: his validator votes for no block */
    bool nobody; /* there is no block before that could be voted for */
    uint32_t double_sign; /* a bit a person: his validator is at fault ... */
    uint64_t fault_ms; /* ... at this time; 0: a second before the block */
    uint64_t fault_height; /* ... at this height; 0: none that is known */
    bool other_set; /* the engine has another set than it was told */
    const Hypermesh__BlockNote *note; /* with the block's time; NULL: one that says nothing else */
    uint32_t round; /* in which the block before was decided */
    bool unjudged; /* decided without ledger_process */
    Hypermesh__EngineRecovery
        *recovery; /* it is the first block of an engine that goes on; NULL: no */
};
/* A block of the transactions (count 0: none, and no note), of which the engine says this; the model takes what it tells.
 * 0, or an error that is in f->error or engine->wrong. */
int stake_block(struct fixture *f, struct engine_model *engine, const struct stake_votes *votes,
                const struct hm_slice *txs, size_t count, struct ledger_outcome *out);
/* One operation in a block of its own, everybody votes. */
Hypermesh__TxResult *stake_do(struct fixture *f, struct engine_model *engine, enum fixture_role who,
                              Hypermesh__Operation *op);

#endif
