/* light: what somebody who runs no engine can check of a chain that CometBFT 0.38 orders. From one header that he trusts
 * to any later one by signatures alone, and from a header to the state root of our ledger.
 *
 * Never: opens a socket or a file, reads a clock (now_ms is passed in), or decides whom to trust first.
 * Start reading with light_verify_path. What this shows and what it does not: docs/light.md.
 *
 * Structure of headers, votes and hashes: CometBFT v0.38 (spec/core/data_structures.md, spec/light-client). Rules of
 * skipping: Braithwaite et al., "A Tendermint Light Client" (2020). crypto_setup must have been called. */
#ifndef HM_LIGHT_H
#define HM_LIGHT_H

#include "abci.pb-c.h"
#include "base.h"
#include "crypto.h"
#include "wire.h"

#define LIGHT_HASH_BYTES         32
#define LIGHT_ADDRESS_BYTES      20 /* of a validator: the first bytes of SHA-256(key) */
#define LIGHT_CHAIN_ID_MAX_BYTES 50 /* as the engine */
#define LIGHT_BLOCK_PROTOCOL     11 /* Header.version.block of CometBFT 0.38 */
#define LIGHT_VALIDATORS_MAX     256 /* the ledger makes at most 64 */
#define LIGHT_POWER_MAX          (INT64_MAX / 8) /* of all together, as the engine */
#define LIGHT_BLOCK_MAX_BYTES    ((size_t)128 * 1024) /* a packed LightBlock */
#define LIGHT_BLOCK_MAX_MEMORY   ((size_t)1024 * 1024) /* what it may unfold to */
#define LIGHT_PATH_FETCHES_MAX   1024 /* of one light_verify_path */

/* --- hashes, as the engine makes them ------------------------------------------------------------------------------ */
/* The block's hash: what a commit signs and what people write down. HM_EPARSE: a field is missing or has a length or range
 * that no header of ours has; HM_ENOMEM. */
int light_header_hash(const Hypermesh__Abci__Header *header, uint8_t out[LIGHT_HASH_BYTES],
                      struct hm_error *error);
/* HM_ENOMEM. */
int light_validator_address(const uint8_t public_key[CRYPTO_ED25519_PUBLIC_BYTES],
                            uint8_t out[LIGHT_ADDRESS_BYTES], struct hm_error *error);

struct light_validator {
    uint8_t public_key[CRYPTO_ED25519_PUBLIC_BYTES];
    uint8_t address[LIGHT_ADDRESS_BYTES];
    int64_t power; /* > 0 */
};
struct light_set {
    const struct light_validator *list; /* power descending, then address ascending */
    size_t count; /* 1..LIGHT_VALIDATORS_MAX */
    int64_t power; /* of all, <= LIGHT_POWER_MAX */
};
/* What Header.validators_hash holds for these validators; any order, as given. HM_EPARSE: none, not an Ed25519 key, a
 * power below one; HM_ELIMIT; HM_ENOMEM. */
int light_validators_hash(Hypermesh__Abci__SimpleValidator *const *validators, size_t count,
                          uint8_t out[LIGHT_HASH_BYTES], struct hm_error *error);
/* The same validators in plain form, in the arena. Refused beside the above: not in the engine's order, one twice
 * (HM_EPARSE), more power than LIGHT_POWER_MAX (HM_ELIMIT). */
int light_set_read(Hypermesh__Abci__SimpleValidator *const *validators, size_t count,
                   struct hm_arena *arena, struct light_set *out, struct hm_error *error);

/* --- one block by itself ------------------------------------------------------------------------------------------- */
/* More than two thirds of the set's power signed the block of this height with this hash. commit has one entry for each
 * validator of the set, in its order. Votes for nil, absent ones, and those whose signature is not right over exactly the bytes
 * the engine signs do not count (the engine's check of signatures is laxer than ours: a validator can make one on purpose that
 * only the engine takes, and must not make blocks uncheckable by it). An absent vote must be empty (without a time or with
 * 0001-01-01, which the engine writes).
 * voted (set->count, may be NULL): whose vote counts; *signed_power (may be NULL): their power; both are filled in as far as
 * it came on failure. HM_EAUTH: too little power, another block; HM_EPARSE: not of the form above. */
int light_commit_verify(const struct light_set *set, const char *chain_id, int64_t height,
                        const uint8_t block_hash[LIGHT_HASH_BYTES],
                        const Hypermesh__Abci__Commit *commit, bool *voted, int64_t *signed_power,
                        struct hm_error *error);

/* A block whose validators, header and commit agree. Says nothing of whether these are the validators of the chain. */
struct light_block {
    const Hypermesh__Abci__LightBlock *message; /* with header, commit, time: none is NULL */
    struct light_set set;
    const bool *voted; /* of each of the set: its vote for this block counts */
    uint8_t hash[LIGHT_HASH_BYTES]; /* of the header */
};
/* From bytes (pure; fuzzed), into the arena. Reads the form only. HM_EPARSE, HM_ELIMIT, HM_ENOMEM. */
int light_block_parse(struct hm_slice bytes, struct hm_arena *arena,
                      Hypermesh__Abci__LightBlock **out, struct hm_error *error);
/* Fills in out; it points into message and the arena. HM_EAUTH: they do not agree; as light_set_read and
 * light_commit_verify. */
int light_block_check(const Hypermesh__Abci__LightBlock *message, struct hm_arena *arena,
                      struct light_block *out, struct hm_error *error);

/* --- trust --------------------------------------------------------------------------------------------------------- */
/* A block that is trusted, with its memory. All zero: nothing yet. */
struct light_trust {
    struct hm_arena arena;
    struct light_block block;
};
void light_trust_release(
    struct light_trust *trust); /* NULL and all zero are fine; leaves it all zero */

/* What a person trusts to begin with, "HEIGHT:HASH" with 64 hexadecimal digits: learnt from somebody who runs a node. */
struct light_anchor {
    int64_t height; /* >= 1 */
    uint8_t hash[LIGHT_HASH_BYTES];
};
#define LIGHT_ANCHOR_TEXT_MAX 88 /* with NUL */
int light_anchor_parse(const char *text, struct light_anchor *out, struct hm_error *error);
void light_anchor_format(const struct light_anchor *anchor, char out[LIGHT_ANCHOR_TEXT_MAX]);

/* Trust from an anchor and the block that somebody gave for it (copied). chain_id NULL: whatever the header says.
 * Replaces what *trust held. HM_EAUTH: another block or chain, or it does not agree with itself. */
int light_trust_begin(struct light_trust *trust, const struct light_anchor *anchor,
                      const char *chain_id, const Hypermesh__Abci__LightBlock *message,
                      struct hm_error *error);
/* For a file, and back: appends; takes what was packed only, and checks all but whether the block was trusted, which only
 * the file's owner can know. Format: docs/light.md. HM_ENOMEM; HM_EPARSE: no such file; HM_ECORRUPT: damaged. unpack replaces
 * what *trust held; fuzzed. */
#define LIGHT_TRUST_MAX_BYTES (8 + LIGHT_HASH_BYTES + LIGHT_BLOCK_MAX_BYTES)
int light_trust_pack(const struct light_trust *trust, struct hm_buf *out, struct hm_error *error);
int light_trust_unpack(struct light_trust *trust, struct hm_slice bytes, struct hm_error *error);

/* State root of our ledger after block `height`, for store_tree_verify. The engine's header says it one block later: trust must
 * stand at height + 1 (HM_ERANGE otherwise). HM_EPARSE: the application's hash has not 32 bytes, so it is no ledger of ours. */
int light_state_root(const struct light_trust *trust, int64_t height,
                     uint8_t root[LIGHT_HASH_BYTES], struct hm_error *error);

/* --- from block to block ------------------------------------------------------------------------------------------- */
struct light_rules {
    /* How long a block is trusted after its own time. Must be shorter than the engine remembers faults, which is at most
     * the ledger's unbond_delay_ms: whoever signed it can lose his bond only so long. */
    uint64_t trusting_period_ms;
    uint64_t clock_drift_ms; /* how far a block's time may lie ahead of now */
};
#define LIGHT_TRUSTING_PERIOD_MS \
    (UINT64_C(16) * 3600 * 1000) /* two thirds of the default unbond_delay_ms */
#define LIGHT_CLOCK_DRIFT_MS (UINT64_C(10) * 1000)

enum light_outcome {
    LIGHT_ACCEPTED,
    LIGHT_TOO_FAR, /* nothing is wrong, but the validators changed too much: try a block between the two */
};
/* Whether trust carries over to next. The block one higher: its validators are those that the trusted header names as next.
 * A higher one: more than a third of the trusted power signed it. 0 and *outcome; else it is refused whatever lies between:
 * HM_ETIMEOUT: the trusted block is older than the trusting period; HM_EAUTH: another chain, height or time not later, from
 * the future, other validators than the trusted header names. error says so, and for LIGHT_TOO_FAR too (its code is then 0). */
int light_step(const struct light_trust *trust, const struct light_block *next, uint64_t now_ms,
               const struct light_rules *rules, enum light_outcome *outcome,
               struct hm_error *error);

/* Where blocks come from; may lie. */
struct light_source {
    /* The block of this height, in the arena. 0 or an error, which ends the verification. */
    int (*fetch)(void *ctx, int64_t height, struct hm_arena *arena,
                 Hypermesh__Abci__LightBlock **out, struct hm_error *error);
    void *ctx;
};
/* Moves trust to the block of that height: in one step where possible, else by halves. On failure trust stays where it was.
 * Trust at that height already: 0 without a fetch. HM_ERANGE: it lies before the trusted block; HM_ELIMIT: more than
 * LIGHT_PATH_FETCHES_MAX blocks would be needed; else as light_step and light_block_check. */
int light_verify_path(struct light_trust *trust, int64_t height, uint64_t now_ms,
                      const struct light_rules *rules, const struct light_source *source,
                      struct hm_error *error);

#endif
