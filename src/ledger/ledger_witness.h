/* What validators said of each other with their votes, as a block's note holds it. Private to this room. */
#ifndef HM_LEDGER_WITNESS_H
#define HM_LEDGER_WITNESS_H

#include "ledger_private.h"
#include "ledger_validator.h"

#define LEDGER_WITNESS_VOTES_MAX ((size_t)1000) /* as many as max_validators can be */

/* A vote of a validator of the set, with a good signature. */
struct ledger_witness_voter {
    const struct ledger_member *member;
    const Hypermesh__VoteWitness *said;
    bool bound; /* it proved that the node is its own */
};
struct ledger_witness_votes {
    struct ledger_witness_voter *list; /* by address */
    size_t count;
    uint64_t power; /* theirs */
    uint64_t total; /* of the whole set that voted */
};

/* What all votes for one block are judged with. */
struct ledger_witness_jury {
    struct ledger *ledger;
    const struct ledger_info *info;
    uint64_t height; /* that was voted for */
    uint32_t round;
    struct hm_arena *arena;
    struct hm_buf bytes; /* scratch; the owner's to release */
};
/* One vote, as the member's. Errors as ledger_witness_read. */
int ledger_witness_vote(struct ledger_witness_jury *jury, const Hypermesh__WitnessVote *vote,
                        const struct ledger_member *member, struct ledger_witness_voter *out,
                        struct hm_error *error);
/* The set whose votes the block at height holds, by address; empty: not known. */
int ledger_witness_voters(struct ledger *ledger, struct store_txn *txn, uint64_t height,
                          struct hm_slice next_set, struct hm_arena *arena,
                          struct ledger_members *out, struct hm_error *error);
uint64_t ledger_witness_power(const struct ledger_members *members);
/* Is that more than two thirds? */
bool ledger_witness_enough(uint64_t power, uint64_t total);
/* What is said, checked as ledger_witness_check does; in the arena. */
int ledger_witness_said(struct hm_slice extension, struct hm_arena *arena,
                        Hypermesh__VoteWitness **out, struct hm_error *error);

/* Where the note stands. */
struct ledger_witness_place {
    uint64_t height;
    uint64_t time_ms;
    const Hypermesh__EngineFacts *facts;
};

/* Judges a note's votes by the state before its block, which txn shows; none: *out is empty. HM_EINVAL, HM_EAUTH, HM_EPARSE,
 * HM_ELIMIT: what makes the note one to refuse. All else is a failure of this machine. */
int ledger_witness_read(struct ledger *ledger, struct store_txn *txn,
                        const struct ledger_witness_place *place, const Hypermesh__BlockNote *note,
                        struct hm_arena *arena, struct ledger_witness_votes *out,
                        struct hm_error *error);
/* The medians of at least one vote; the same on every machine. HM_ENOMEM. Pure. */
int ledger_witness_view(const struct ledger_witness_votes *votes, uint64_t height, uint64_t time_ms,
                        struct hm_arena *arena, Hypermesh__WitnessView **out,
                        struct hm_error *error);
/* The end of a cluster's block in which somebody paid: takes what its note (NULL: it has none) says into the state. A note that
 * should have been refused counts as if it had no votes. */
int ledger_witness_end_block(struct ledger_block *block, const Hypermesh__BlockNote *note,
                             struct hm_error *error);

/* --- the chain of delays (ledger_vdf.c) --- */
int ledger_vdf_params_check(const Hypermesh__Params *params, struct hm_error *error);
/* Is a note's link the one that is due, and right? 0 also when there is none. Errors as ledger_witness_read, and
 * HM_EPROOF_TIME. */
int ledger_vdf_read(struct ledger *ledger, struct store_txn *txn, const Hypermesh__BlockNote *note,
                    struct hm_arena *arena, struct hm_error *error);
/* As ledger_witness_end_block. */
int ledger_vdf_end_block(struct ledger_block *block, const Hypermesh__BlockNote *note,
                         struct hm_error *error);

/* A value of the state under a key of one byte. HM_ENOTFOUND (error is not set); HM_ECORRUPT names `what`. */
int ledger_single_read(struct store_txn *txn, uint8_t key,
                       const ProtobufCMessageDescriptor *descriptor, const char *what,
                       struct hm_arena *arena, ProtobufCMessage **out, struct hm_error *error);

#endif
