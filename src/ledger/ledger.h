/* ledger: the deterministic state machine. Batches of signed transactions in, results and a new state
 * root out. Every rule of HyperMesh (ownership, shares, escrow, fees, the four proofs) is decided
 * here and nowhere else.
 *
 * Never: reads a clock, draws a random number, opens a file or socket, starts a thread, uses a float or
 * iterates in an order that two machines might not share. Time arrives with the block.
 * Start reading with ledger_finalize, then ledger_batch.c. The shape is ABCI 2.0's: check, prepare,
 * process, finalize, commit; `solo` calls these functions in the process, a CometBFT server will call the
 * same ones. */
#ifndef HM_LEDGER_H
#define HM_LEDGER_H

#include "base.h"
#include "crypto.h"
#include "proof.h"
#include "store.h"
#include "wire.h"

/* --- tables: the ledger's part of the store ------------------------------------------------------ */
enum ledger_table {
    LEDGER_TABLE_STATE, /* authenticated: prefix byte + id -> message (docs/formats-ledger.md) */
    LEDGER_TABLE_LEAF, /* tree */
    LEDGER_TABLE_PAGE, /* tree */
    LEDGER_TABLE_META, /* chain state, genesis; written with the state, in the same transaction */
    LEDGER_TABLE_BLOCK, /* be64 height -> Block */
    LEDGER_TABLE_RECORD, /* be64 height -> BlockRecord */
    LEDGER_TABLE_TX, /* tx digest -> TxLocation */
    LEDGER_TABLE_HISTORY, /* asset id + be64 number -> AssetEvent */
    LEDGER_TABLE_INDEX, /* 1 byte kind + party id + thing id -> empty: who owns or is party to what */
    LEDGER_TABLE_KV_LOG, /* be64 revision + be32 sub -> KvEvent: what watches read */
    LEDGER_TABLE_KV_PAST, /* escaped key + be64 revision + be32 sub -> empty: history by key */
    LEDGER_TABLE_COUNT,
};
extern const char *const ledger_table_names[LEDGER_TABLE_COUNT];

/* Prefix bytes of keys in LEDGER_TABLE_STATE. */
#define LEDGER_KEY_ACCOUNT   'a' /* + account id -> Account */
#define LEDGER_KEY_ASSET     's' /* + asset id -> Asset */
#define LEDGER_KEY_LEASE     'l' /* + lease id -> Lease */
#define LEDGER_KEY_DUE       'x' /* + be64 due_ms + prefix + id of what its time ends -> empty */
#define LEDGER_KEY_PARAMS    'P' /* -> Params */
#define LEDGER_KEY_SUPPLY    'S' /* -> Supply */
#define LEDGER_KEY_NETWORK   'n' /* + network id -> Network */
#define LEDGER_KEY_MEMBER    'm' /* + network id + account id -> Member */
#define LEDGER_KEY_CHALLENGE 'c' /* + challenge id -> Challenge */
#define LEDGER_KEY_VALIDATOR 'v' /* + operator's account id -> Validator */
#define LEDGER_KEY_ADDRESS \
    'A' /* + 20 bytes, an engine's name of a key -> EngineMember: whose it is or was */
#define LEDGER_KEY_ACTIVE     'o' /* + operator -> empty: neither retired nor tombstoned */
#define LEDGER_KEY_DELEGATION 'd' /* + operator + delegator -> Delegation */
#define LEDGER_KEY_ENGINE     'V' /* -> EngineState */
#define LEDGER_KEY_KV         'k' /* + key -> KvEntry */
#define LEDGER_KEY_KV_LEASE   'e' /* + be64 lease -> KvLease */
#define LEDGER_KEY_KV_HELD    'h' /* + be64 lease + key -> empty: keys that go with the lease */
#define LEDGER_KEY_KV_RULE    'r' /* + prefix -> KvRule */
#define LEDGER_KEY_KV_STATE   'K' /* -> KvState */
#define LEDGER_KEY_CHAIN      'C' /* -> ChainFacts; from a cluster's first block on */
#define LEDGER_KEY_WITNESS    'w' /* -> WitnessView */
#define LEDGER_KEY_VDF        'D' /* -> VdfChain; of a chain with params.vdf_blocks, in a cluster */

/* Limits of the key-value store. STORE_KEY_MAX_BYTES bounds keys: in the history's key every zero byte of it
 * counts twice, and 16 bytes are the index's own. */
#define LEDGER_KV_KEY_MAX_BYTES         440
#define LEDGER_KV_KEY_ESCAPED_MAX_BYTES 464 /* zero bytes counted twice */
#define LEDGER_KV_VALUE_MAX_BYTES       ((size_t)1024 * 1024)
#define LEDGER_KV_RANGE_MAX             10000 /* pairs in one answer; more: paged by the caller */
#define LEDGER_KV_ANSWER_MAX_BYTES      ((size_t)4 * 1024 * 1024) /* of ranges inside one transaction */
#define LEDGER_KV_TXN_OPS_MAX \
    128 /* of a KvTxn, compares and operations each, nested ones counted */
#define LEDGER_KV_TXN_DEPTH_MAX   4
#define LEDGER_KV_DELETE_MAX      100000 /* keys that one operation may delete */
#define LEDGER_KV_TTL_MAX_MS      (UINT64_C(365) * 24 * 3600 * 1000)
#define LEDGER_KV_SWEEP_PER_BLOCK 10000 /* history lines that a block erases after a compaction */
#define LEDGER_KV_RULES_MAX       4096 /* of a chain */
#define LEDGER_KV_ACCOUNTS_MAX    64 /* writers of a rule, and readers */
/* Answers of ranges in one block's transactions: they must fit the block's record. */
#define LEDGER_KV_BLOCK_ANSWERS_MAX_BYTES ((size_t)16 * 1024 * 1024)
/* History lines that one call of ledger_view_kv_changes looks at, but for the revision it is in. */
#define LEDGER_KV_SCAN_MAX 100000

struct ledger;
struct ledger_view; /* one committed state; see below */

/* store is borrowed and outlives the ledger; its first LEDGER_TABLE_COUNT tables are the ledger's. */
int ledger_open(struct store *store, struct ledger **out, struct hm_error *error);
void ledger_close(struct ledger *ledger);

/* Writes the state of height 0 from packed Genesis. HM_EEXIST when a chain is there already; HM_EINVAL
 * names the wrong field. */
int ledger_init_chain(struct ledger *ledger, struct hm_slice genesis, struct hm_error *error);
void ledger_default_params(Hypermesh__Params *out); /* what `nexus up` puts in a new genesis */
/* How long an engine must remember faults: five sixths of the time for which stake stays bound, so that every fault that it tells of
 * finds what it is to take. */
uint64_t ledger_evidence_age_ms(const Hypermesh__Params *params);
/* Those of proof of stake, which hold also where a genesis has none of them (max_validators 0). */
void ledger_default_staking(Hypermesh__Params *params);

#define LEDGER_ENGINE_CHAIN_MAX_BYTES 50
struct ledger_info {
    char chain_id[33];
    uint8_t chain_hash[CRYPTO_HASH_BYTES]; /* crypto_hash of the chain id */
    char
        engine_chain[51]; /* by which an engine names it: the same, until a cluster was recovered */
    uint64_t height;
    uint64_t time_ms;
    uint8_t block_hash[CRYPTO_HASH_BYTES]; /* of `height`; for 0 the genesis hash */
    uint8_t state_root[CRYPTO_HASH_BYTES];
    uint64_t base_fee;
    uint64_t
        next_due_ms; /* block time at which something must happen by itself; 0: nothing waits */
};
/* Thread-safe: the last committed block's. HM_ENOTFOUND before init_chain. */
int ledger_info(struct ledger *ledger, struct ledger_info *out, struct hm_error *error);

/* --- the application interface ------------------------------------------------------------------- */

/* CheckTx for one client transaction: syntax, limits, signature, Work, Time against the state of the
 * last commit; presence may be ahead (an account may have several on their way). Thread-safe. A good
 * signature is remembered, so finalize does not verify it again. digest (32 bytes) may be NULL. */
int ledger_check_tx(struct ledger *ledger, struct hm_slice tx, uint64_t now_ms, uint8_t *digest,
                    struct hm_error *error);

/* What this process has just signed itself, with a key whose public half the transaction or batch names: its
 * signature is taken as good. Everything else is judged as ever. The bytes are those that will be handed in.
 * Thread-safe. */
void ledger_note_tx(struct ledger *ledger, struct hm_slice tx);
void ledger_note_batch(struct ledger *ledger, struct hm_slice head, struct hm_slice signature);

/* Limits on what is handed in: one Batch, all items of a block, their number. */
#define LEDGER_BATCH_MAX_BYTES ((size_t)8 * 1024 * 1024)
#define LEDGER_BLOCK_MAX_BYTES ((size_t)32 * 1024 * 1024)
#define LEDGER_BLOCK_MAX_ITEMS ((size_t)4096)
/* Transactions of all batches of a block together: each has a result, also one that cannot be read, and the
 * results must fit the block's record. */
#define LEDGER_BLOCK_MAX_TXS ((size_t)65536)

/* How many of the waiting transactions (in order) fit one Batch and one block: number, bytes, weight. At
 * least 1 when there is one: a transaction that fits nowhere is for the block to refuse. Thread-safe. */
size_t ledger_prepare_batch(struct ledger *ledger, const struct hm_slice *txs, size_t count);

/* PrepareProposal: how many of the items (in order) fit one block; a note counts only as the first, where a batch
 * after it fits in any case. At least 1 when there is one. Thread-safe. */
size_t ledger_prepare(struct ledger *ledger, const struct hm_slice *items, size_t count);

struct ledger_proposal {
    uint64_t height;
    uint64_t time_ms; /* > the previous block's */
    uint8_t hash[CRYPTO_HASH_BYTES];
    struct hm_slice header; /* kept with the block; empty, or a packed BlockHeader */
    const struct hm_slice *items; /* Batches; in a cluster the first may be a note */
    size_t count;
};

/* ProcessProposal: 0 when every item parses and is within limits; no state changes. Of a note the form is checked, not
 * the time: ledger_note_check. */
int ledger_process(struct ledger *ledger, const struct ledger_proposal *proposal,
                   struct hm_error *error);

/* --- blocks of a cluster: an engine outside orders the items ---------------------------------------------
 * A proposal's header is then a packed BlockHeader with `engine` set, in ledger_process as well. ledger_finalize reads
 * it: its time must be that of ledger_note_time; what it says of absent validators and faults counts; and a block in
 * which nothing happens changes nothing under the state root and leaves the base fee, so that an idle mesh makes no
 * blocks. What a later block's outcome depends on is under the root (ChainFacts), but for the hashes of the last
 * params.anchor_max_blocks blocks. One node's chain knows no such header and keeps its rules; a chain may have blocks of
 * both kinds. */

/* CheckTx for an item of others. A Batch is read, weighed, judged against the last commit as its node's (Time, Stake,
 * Space), and every signature in it is verified and remembered; one in which no transaction would pay now is refused
 * with the first one's reason, and so is one with too many bytes that nobody pays for (ledger_items_pay). It may be anchored LEDGER_CHECK_AHEAD_BLOCKS past this node's last block. A note must be a
 * request for a block that is still to come, byte for byte as ledger_note_request writes it. HM_EINVAL, HM_EPARSE, HM_ELIMIT,
 * HM_EPROOF_*, HM_EFUNDS. Thread-safe. */
int ledger_check_item(struct ledger *ledger, struct hm_slice item, uint64_t now_ms,
                      struct hm_error *error);
#define LEDGER_CHECK_AHEAD_BLOCKS 2
/* The same. next: the next block would take it as it is (ledger_items_pay), so it waits for no other one. A request never does. */
int ledger_check_item_again(struct ledger *ledger, struct hm_slice item, uint64_t now_ms,
                            bool *next, struct hm_error *error);
/* Which of these Batches have a place in a block of this time after the last one? Those of which at least one transaction would pay: it
 * follows its account's last act, in the state or as the batches before it that have a place leave it, and the account can pay.
 * And of the bytes of all their transactions no more than LEDGER_UNPAID_FREE_BYTES may be unpaid beyond as many as are surely paid
 * for. Whether a batch has a place does not depend on what comes behind it. pays (count of them) is set; NULL: all must
 * have one, or the code and the sentence are the first one's that has none. The same answer on every node with the same last block, so
 * that who proposes and who judges agree. Codes as ledger_check_item's. Thread-safe. */
#define LEDGER_UNPAID_FREE_BYTES ((size_t)64 * 1024)
int ledger_items_pay(struct ledger *ledger, const struct hm_slice *items, size_t count,
                     uint64_t time_ms, bool *pays, struct hm_error *error);

#define LEDGER_NOTE_MAX_BYTES         ((size_t)192 * 1024)
#define LEDGER_NOTE_NONCE_BYTES       16
#define LEDGER_NOTE_REQUEST_MAX_BYTES 32 /* of one that asks for a block */
/* Does the item begin as a note does? No Batch does. */
bool ledger_item_is_note(struct hm_slice item);
/* Appends a note as an item. HM_ELIMIT, HM_ENOMEM. */
int ledger_note_pack(const Hypermesh__BlockNote *note, struct hm_buf *out, struct hm_error *error);
/* A request for a block: the nonce is be64 height that is asked for (the last one's + 1) and be64 number of who asks
 * (its rank, below LEDGER_NOTE_ASKERS_MAX), so that there are only so many of them, and an old one is refused. It is for
 * the pool of waiting items and never in a block, whose own note has a time: so the pool must ask ledger_check_item again
 * after each block, or it would never be rid of it. */
int ledger_note_request(const uint8_t nonce[LEDGER_NOTE_NONCE_BYTES], struct hm_buf *out,
                        struct hm_error *error);
#define LEDGER_NOTE_ASKERS_MAX UINT64_C(1024)
/* Time of the next block: the note's where there is one, else the engine's, always after `last_ms`. The same on all
 * nodes. item: the block's first, or empty; one that is no note counts as none. HM_EINVAL: a note that is malformed. */
int ledger_note_time(struct hm_slice item, uint64_t bft_ms, uint64_t last_ms, uint64_t *time_ms,
                     struct hm_error *error);
/* The rules of a proposer's note that depend on this node's own clock: it has a time, not before the engine's or the last
 * block's, and not more than LEDGER_NOTE_AHEAD_MS after both this clock and the engine's time, unless no earlier one is
 * allowed. So the engine's own time is always good, whatever clocks say. 0 for an item that is no note. HM_EINVAL. */
int ledger_note_check(struct hm_slice item, uint64_t bft_ms, uint64_t last_ms, uint64_t now_ms,
                      struct hm_error *error);
#define LEDGER_NOTE_AHEAD_MS UINT64_C(2000)

/* --- what validators see of each other: time and place (docs/ledger.md) -----------------------------------
 * A validator says with its vote what it measured of the other nodes; a later block's note holds such votes, and the state the
 * medians. Less than a third of the power (all of it, not only of those that voted) can neither list a node, nor doubt one. */
#define LEDGER_WITNESS_MAX_BYTES  ((size_t)8 * 1024) /* of a VoteWitness */
#define LEDGER_WITNESS_ECHOES_MAX 128
#define LEDGER_WITNESS_NODE_BYTES 20
#define LEDGER_WITNESS_EVERY_MS   UINT64_C(10000) /* between two notes with votes, by block times */
#define LEDGER_WITNESS_RTT_MAX_US UINT32_C(600000000)
#define LEDGER_WITNESS_CLOCK_MAX_MS \
    (INT64_C(1) << 52) /* of a difference of clocks, either way; and of a clock */
/* A node's clock is doubted when more than a third of the power measured it off by more than this, in one direction. */
#define LEDGER_WITNESS_CLOCK_OFF_MS INT64_C(2000)
/* What two nodes measured of each other disagrees when one is more than FACTOR times the other and MARGIN; a node is doubted
 * that disagrees with more than a third of the power. */
#define LEDGER_WITNESS_RTT_FACTOR    UINT64_C(2)
#define LEDGER_WITNESS_RTT_MARGIN_US UINT64_C(50000)
#define LEDGER_WITNESS_DOUBT_CLOCK   UINT32_C(1) /* WitnessNode.doubts */
#define LEDGER_WITNESS_DOUBT_RTT     UINT32_C(2)
/* Is a VoteWitness within its limits and in order? node is there, key and proof both or neither (whether the proof is good is
 * not looked at). HM_EINVAL, HM_EPARSE, HM_ELIMIT. Pure. */
int ledger_witness_check(struct hm_slice extension, struct hm_error *error);
/* What a node's key signs (VoteWitness.proof) to show that it is the node of that validator; never changes. */
void ledger_witness_digest(const uint8_t chain_hash[CRYPTO_HASH_BYTES],
                           const uint8_t address[LEDGER_WITNESS_NODE_BYTES],
                           uint8_t out[CRYPTO_HASH_BYTES]);
/* Appends what the engine signs of a vote extension: CanonicalVoteExtension of CometBFT v0.38 behind its length. HM_ENOMEM. */
int ledger_witness_sign_bytes(const char *chain_id, uint64_t height, uint32_t round,
                              struct hm_slice extension, struct hm_buf *out);
/* Should the next block's note, at this time, hold votes? Only in front of a batch. Thread-safe. */
bool ledger_witness_due(struct ledger *ledger, uint64_t time_ms);
/* Puts into a note those of the votes (of the block before, in the given round) that this ledger will believe: of validators of
 * the set that voted, signed by their keys, well formed; as many as fit, greatest power first, in order of address; none when they do not
 * have two thirds of the power. Messages lie in the arena, bytes are the votes'. HM_ENOMEM. Thread-safe. */
int ledger_witness_choose(struct ledger *ledger, const Hypermesh__WitnessVote *const *votes,
                          size_t count, uint32_t round, struct hm_slice next_set,
                          struct hm_arena *arena, Hypermesh__BlockNote *note,
                          struct hm_error *error);
/* Medians of the newest note with votes. HM_ENOTFOUND: there was none. */
int ledger_view_witness(struct ledger_view *view, struct hm_arena *arena,
                        Hypermesh__WitnessView **out, struct hm_error *error);

/* --- the chain of delays (docs/formats-vdf.md) ------------------------------------------------------------- */
struct ledger_vdf_task {
    uint64_t index;
    uint64_t steps;
    uint8_t input[32];
    uint64_t since_ms; /* time of the block that made it due */
    uint64_t height; /* of it */
};
/* The link to compute next. HM_ENOTFOUND: none is due. */
int ledger_view_vdf_task(struct ledger_view *view, struct ledger_vdf_task *out,
                         struct hm_error *error);
/* The newest link. HM_ENOTFOUND: there is none. */
int ledger_view_vdf(struct ledger_view *view, struct hm_arena *arena, Hypermesh__VdfLink **out,
                    struct hm_error *error);
/* Puts the link into a note when it is the one that is due and right; else leaves the note as it is. output and proof, 256 bytes
 * each, are borrowed by the note. HM_ENOMEM; HM_EPROOF_TIME, HM_EPARSE: it is due, but wrong. Thread-safe. */
int ledger_vdf_choose(struct ledger *ledger, uint64_t index, struct hm_slice output,
                      struct hm_slice proof, struct hm_arena *arena, Hypermesh__BlockNote *note,
                      struct hm_error *error);

/* Height of the engine's first block on this chain; 0: it has none, and none is announced. The first engine block sets
 * it by itself. An engine is told height 0 until that block is committed. */
int ledger_era(struct ledger *ledger, uint64_t *height, struct hm_error *error);
/* Announces it, as durable as a committed block: 1 to the last block's height + 1. A block may not be under way
 * (HM_ECONFLICT). Of the thread that finalizes. */
int ledger_era_set(struct ledger *ledger, uint64_t height, struct hm_error *error);

/* A validator's new power, as the engine is told; 0: it leaves the set. */
struct ledger_validator_update {
    uint8_t key[32]; /* Ed25519 */
    uint64_t power;
};

struct ledger_outcome {
    uint8_t state_root[CRYPTO_HASH_BYTES];
    bool changed; /* the root differs from the one before */
    /* What follows is valid until the next finalize or close, also past commit. */
    const Hypermesh__BlockRecord *record; /* results in order of items, then txs; a note has none */
    const uint32_t
        *item_charged; /* of each item: how many of its transactions paid. A batch of which
                                     none did is not worth a place in a block */
    size_t item_count;
    const struct ledger_validator_update *updates; /* of a cluster's validators, by address */
    size_t updates_count;
    uint64_t next_due_ms;
};

/* FinalizeBlock: opens the write transaction, ends leases that are due, applies the items, checks that
 * supply is conserved, hashes the tree once. Nothing is visible to readers until commit. A bad item is a
 * result, not a failure; a failure (HM_EIO, HM_ECORRUPT, HM_EINTERNAL for a broken invariant) leaves the
 * state as it was and the caller must not go on. One thread. */
int ledger_finalize(struct ledger *ledger, const struct ledger_proposal *proposal,
                    struct ledger_outcome *out, struct hm_error *error);
/* Commit: state, tree, block, record, indexes durable in one transaction. */
int ledger_commit(struct ledger *ledger, struct hm_error *error);
void ledger_abandon(struct ledger *ledger); /* drops what finalize did */
/* Did the transaction pay its fee (and so move its account's presence on), whatever its operations did?
 * One that did not left nothing behind. */
bool ledger_result_charged(const Hypermesh__TxResult *result);

/* --- views: snapshots for readers ------------------------------------------------------------------
 * A view is one read transaction, used by one thread. Messages it gives live in the arena. */
int ledger_view_open(struct ledger *ledger, struct ledger_view **out, struct hm_error *error);
void ledger_view_close(struct ledger_view *view);
int ledger_view_info(struct ledger_view *view, struct ledger_info *out, struct hm_error *error);

/* An account nobody has touched is not an error: all zero. */
int ledger_view_account(struct ledger_view *view, const uint8_t id[32], struct hm_arena *arena,
                        Hypermesh__Account **out, struct hm_error *error);
int ledger_view_asset(struct ledger_view *view, const uint8_t id[32], struct hm_arena *arena,
                      Hypermesh__Asset **out, struct hm_error *error);
int ledger_view_lease(struct ledger_view *view, const uint8_t id[32], struct hm_arena *arena,
                      Hypermesh__Lease **out, struct hm_error *error);
int ledger_view_params(struct ledger_view *view, struct hm_arena *arena, Hypermesh__Params **out,
                       struct hm_error *error);
int ledger_view_supply(struct ledger_view *view, struct hm_arena *arena, Hypermesh__Supply **out,
                       struct hm_error *error);

/* Pages in id order: up to limit messages after `after` (32 bytes, or NULL for the first); HM_ELIMIT
 * when limit is over LEDGER_PAGE_MAX. Filters: NULL or 0 means any. */
#define LEDGER_PAGE_MAX 1024
struct ledger_asset_filter {
    const uint8_t *owner; /* 32 bytes or NULL */
    Hypermesh__AssetKind kind;
    bool with_retired;
};
int ledger_view_assets(struct ledger_view *view, const struct ledger_asset_filter *filter,
                       const uint8_t *after, size_t limit, struct hm_arena *arena,
                       Hypermesh__Asset ***out, size_t *count, struct hm_error *error);
struct ledger_lease_filter {
    const uint8_t *party; /* consumer or provider, 32 bytes or NULL */
    const uint8_t *asset; /* 32 bytes or NULL */
    bool active_only;
};
int ledger_view_leases(struct ledger_view *view, const struct ledger_lease_filter *filter,
                       const uint8_t *after, size_t limit, struct hm_arena *arena,
                       Hypermesh__Lease ***out, size_t *count, struct hm_error *error);
/* An asset's history, oldest first, from event number `from`. */
int ledger_view_asset_history(struct ledger_view *view, const uint8_t id[32], uint64_t from,
                              size_t limit, struct hm_arena *arena, Hypermesh__AssetEvent ***out,
                              size_t *count, struct hm_error *error);

/* Blocks and transactions. HM_ENOTFOUND. Height 0 has no block. */
int ledger_view_block(struct ledger_view *view, uint64_t height, struct hm_arena *arena,
                      struct hm_slice *block, Hypermesh__BlockRecord **record,
                      struct hm_error *error);
/* tx (exact bytes), head of its batch and result; any out may be NULL. */
int ledger_view_tx(struct ledger_view *view, const uint8_t digest[32], struct hm_arena *arena,
                   struct hm_slice *tx, uint64_t *height, Hypermesh__TxResult **result,
                   struct hm_error *error);
int ledger_view_genesis(struct ledger_view *view, struct hm_slice *genesis, struct hm_error *error);
/* What the state says of a cluster's chain. HM_ENOTFOUND: it has been one node's only. */
int ledger_view_chain_facts(struct ledger_view *view, struct hm_arena *arena,
                            Hypermesh__ChainFacts **out, struct hm_error *error);

/* --- networks, challenges -------------------------------------------------------------------------- */
int ledger_view_network(struct ledger_view *view, const uint8_t id[32], struct hm_arena *arena,
                        Hypermesh__Network **out, struct hm_error *error);
/* member: only networks that this account has joined, was invited to or owns; NULL: all. */
int ledger_view_networks(struct ledger_view *view, const uint8_t *member, const uint8_t *after,
                         size_t limit, struct hm_arena *arena, Hypermesh__Network ***out,
                         size_t *count, struct hm_error *error);
/* Members, invited and expelled accounts in account id order. */
int ledger_view_members(struct ledger_view *view, const uint8_t network[32], const uint8_t *after,
                        size_t limit, struct hm_arena *arena, Hypermesh__Member ***out,
                        size_t *count, struct hm_error *error);
int ledger_view_challenge(struct ledger_view *view, const uint8_t id[32], struct hm_arena *arena,
                          Hypermesh__Challenge **out, struct hm_error *error);
struct ledger_challenge_filter {
    const uint8_t *party; /* challenger or node, 32 bytes or NULL */
    bool open_only;
};
int ledger_view_challenges(struct ledger_view *view, const struct ledger_challenge_filter *filter,
                           const uint8_t *after, size_t limit, struct hm_arena *arena,
                           Hypermesh__Challenge ***out, size_t *count, struct hm_error *error);
/* The positions of the plot that a space challenge asks for; indices in the arena. */
int ledger_challenge_indices(const Hypermesh__Challenge *challenge, const Hypermesh__Params *params,
                             struct hm_arena *arena, uint64_t **indices, size_t *count,
                             struct hm_error *error);

/* --- validators ------------------------------------------------------------------------------------- */
/* By the operator's account. HM_ENOTFOUND. */
int ledger_view_validator(struct ledger_view *view, const uint8_t operator_id[32],
                          struct hm_arena *arena, Hypermesh__Validator **out,
                          struct hm_error *error);
int ledger_view_validators(struct ledger_view *view, const uint8_t *after, size_t limit,
                           struct hm_arena *arena, Hypermesh__Validator ***out, size_t *count,
                           struct hm_error *error);
int ledger_view_delegation(struct ledger_view *view, const uint8_t validator[32],
                           const uint8_t delegator[32], struct hm_arena *arena,
                           Hypermesh__Delegation **out, struct hm_error *error);
/* To one validator, by delegator. */
int ledger_view_delegations(struct ledger_view *view, const uint8_t validator[32],
                            const uint8_t *after, size_t limit, struct hm_arena *arena,
                            Hypermesh__Delegation ***out, size_t *count, struct hm_error *error);
/* The validators that an account has delegated to, or still waits for what it took out. */
int ledger_view_delegated(struct ledger_view *view, const uint8_t delegator[32],
                          const uint8_t *after, size_t limit, struct hm_arena *arena,
                          Hypermesh__Validator ***out, size_t *count, struct hm_error *error);
struct ledger_delegation_worth {
    uint64_t stake; /* HYPER that it would bring now */
    uint64_t leaving; /* HYPER that waits */
    uint64_t free_ms; /* when the last of it is free; 0: none waits */
    uint64_t rewards; /* CAES, without an operator's commission */
};
/* Both as one view gave them. */
void ledger_delegation_worth(const Hypermesh__Validator *validator,
                             const Hypermesh__Delegation *delegation,
                             struct ledger_delegation_worth *out);
/* The set that an engine has been told by now; before its first block, the one it must begin with (its genesis): power
 * descending, then address ascending. Empty: nobody is declared, and such an engine keeps its own set for ever. */
int ledger_view_engine_set(struct ledger_view *view, struct hm_arena *arena,
                           struct ledger_validator_update **out, size_t *count,
                           struct hm_error *error);
/* The same for an engine that goes on with the operators that the recovery names: the set it must begin with. HM_EINVAL: a
 * recovery that is not well formed; HM_ECONFLICT: one of the named has no power, or is no validator. */
int ledger_view_recovery_set(struct ledger_view *view, const Hypermesh__EngineRecovery *recovery,
                             struct hm_arena *arena, struct ledger_validator_update **out,
                             size_t *count, struct hm_error *error);
/* How often the chain was recovered. */
int ledger_view_recoveries(struct ledger_view *view, uint32_t *count, struct hm_error *error);
/* What a validator's key signs to show that the operator has it (ValidatorDeclare.proof). */
void ledger_validator_digest(const uint8_t chain_hash[CRYPTO_HASH_BYTES],
                             const uint8_t operator_id[32], uint8_t out[CRYPTO_HASH_BYTES]);

/* Would the asset, as given, be leased to the consumer now, as far as its privacy goes? 0, or the refusal as `allocate`
 * would say it. share_ppm 0: a renewal. What its owner demands of the leasing transaction itself is not judged, as
 * there is none yet: whoever signs it gives it asset->privacy->demand's min_work_bits and an anchor at most
 * max_anchor_age blocks old. */
int ledger_view_admits(struct ledger_view *view, const Hypermesh__Asset *asset,
                       const uint8_t consumer[32], uint32_t share_ppm, uint64_t duration_ms,
                       struct hm_error *error);

/* --- key-value store ---------------------------------------------------------------------------------
 * Ranges as etcd's: range_end empty is the one key, a single zero byte is "all from key on", else
 * [key, range_end). */
int ledger_view_kv_state(struct ledger_view *view, struct hm_arena *arena, Hypermesh__KvState **out,
                         struct hm_error *error);
struct ledger_kv_query {
    struct hm_slice key, range_end;
    uint64_t revision; /* 0: now */
    size_t limit; /* 0: LEDGER_KV_RANGE_MAX */
    bool keys_only, count_only;
};
/* Pairs in key order. *total: keys in the whole range (etcd's count); *more: the limit (or
 * LEDGER_KV_ANSWER_MAX_BYTES) cut it. Pairs lie in the arena. HM_ERANGE: revision compacted (says from which on
 * there is history) or in the future. */
int ledger_view_kv_range(struct ledger_view *view, const struct ledger_kv_query *query,
                         struct hm_arena *arena, Hypermesh__KvPair ***out, size_t *count,
                         uint64_t *total, bool *more, struct hm_error *error);
/* Changes from revision `from` on (and within it from `sub`) that touch the range, in order, up to limit and
 * LEDGER_KV_ANSWER_MAX_BYTES, never a part of a revision unless that alone is over the limit. *next and
 * *next_sub: where to go on. HM_ERANGE when compacted. with_previous also gives each key's entry
 * before the change (previous[i] NULL: none, or compacted); previous may be NULL. */
int ledger_view_kv_changes(struct ledger_view *view, struct hm_slice key, struct hm_slice range_end,
                           uint64_t from, uint32_t sub, size_t limit, struct hm_arena *arena,
                           Hypermesh__KvEvent ***out, Hypermesh__KvEntry ***previous, size_t *count,
                           uint64_t *next, uint32_t *next_sub, struct hm_error *error);
int ledger_view_kv_lease(struct ledger_view *view, uint64_t id, struct hm_arena *arena,
                         Hypermesh__KvLease **out, struct hm_error *error); /* HM_ENOTFOUND */
/* Keys attached to a lease, in order; after NULL: from the first. */
int ledger_view_kv_lease_keys(struct ledger_view *view, uint64_t id, struct hm_slice after,
                              size_t limit, struct hm_arena *arena, struct hm_slice **keys,
                              size_t *count, struct hm_error *error);
int ledger_view_kv_leases(struct ledger_view *view, uint64_t after, size_t limit,
                          struct hm_arena *arena, Hypermesh__KvLease ***out, size_t *count,
                          struct hm_error *error);
int ledger_view_kv_rules(struct ledger_view *view, struct hm_slice after, size_t limit,
                         struct hm_arena *arena, Hypermesh__KvRule ***out, size_t *count,
                         struct hm_error *error);
/* May the account read (write) every key of the range? 0, or HM_EPERM naming the prefix whose rule
 * refuses. Readers are not kept off the blocks: SECURITY.md says so. */
int ledger_view_kv_allowed(struct ledger_view *view, const uint8_t account[32], struct hm_slice key,
                           struct hm_slice range_end, bool write, struct hm_error *error);

/* --- events ------------------------------------------------------------------------------------------
 * What happened, block by block: one event an operation that took effect, one a thing that the block's time
 * ended, one a changed key. Made from the blocks, so that any height can be read again. */
struct ledger_event {
    uint64_t height;
    uint32_t index; /* within the block; (height, index) is the event's id */
    uint64_t time_ms;
    const char *type; /* "allocate", ... (ledger_op_name), "lease_expired", "challenge_silent",
                 * "validator_jailed", "validator_tombstoned", "kv" */
    const uint8_t *tx; /* 32 bytes; NULL: the block's time did it */
    const uint8_t *account; /* that acted, 32 bytes; NULL */
    const uint8_t *asset, *lease, *network, *challenge; /* 32 bytes or NULL: what it is about */
    const Hypermesh__Operation *op; /* NULL for what is not an operation */
    const Hypermesh__KvEvent *kv; /* type "kv" */
};
/* Events of the block at height, from index on, up to limit (at most LEDGER_EVENTS_MAX, which is more than a
 * page of other things has: each call reads the whole block); in the arena. *total: events of the block. */
#define LEDGER_EVENTS_MAX 16384
int ledger_view_events(struct ledger_view *view, uint64_t height, uint32_t index, size_t limit,
                       struct hm_arena *arena, struct ledger_event **out, size_t *count,
                       uint32_t *total, struct hm_error *error);
/* Name of operation `number` as in the schema ("kv_put"); NULL when there is none. */
const char *ledger_op_name(unsigned number);

/* Every rule by which an operation can be refused: TxResult.rule holds the name, and the refusal's sentence ends
 * with " (rule NAME)". In the order of docs/ledger.md. */
struct ledger_rule_info {
    const char *name;
    int code; /* HM_E* */
    const char *says; /* what holds */
};
const struct ledger_rule_info *ledger_rule_list(size_t *count);

/* Authenticated read of a raw state key (prefix byte + id). value.data is NULL when absent; valid until
 * the view closes. Verify with store_tree_verify(root, key, value, proof). */
int ledger_view_prove(struct ledger_view *view, struct hm_slice key, struct hm_slice *value,
                      struct store_tree_proof *proof, uint8_t root[CRYPTO_HASH_BYTES],
                      struct hm_error *error);

/* --- fees and signing facts: what a client needs to make a good transaction ------------------------ */
struct ledger_signing {
    struct ledger_info info; /* anchor = info.height, info.block_hash */
    uint8_t presence[CRYPTO_HASH_BYTES];
    unsigned work_bits; /* needed now */
};
int ledger_view_signing(struct ledger_view *view, const uint8_t account[32], uint64_t now_ms,
                        struct ledger_signing *out, struct hm_error *error);
/* Fee of a body at base_fee; deterministic from the bytes and operation kinds. */
uint64_t ledger_tx_weight(const Hypermesh__TxBody *body, size_t tx_bytes);
/* Operations are numbered 1..LEDGER_OP_COUNT (field in Operation); a session's scope holds their bits. */
#define LEDGER_OP_COUNT  41
#define LEDGER_SCOPE_ALL ((UINT64_C(1) << (LEDGER_OP_COUNT + 1)) - 2)
/* Those of before proof of stake: a chain that began without its parameters knows no others in blocks of one node. */
#define LEDGER_OP_COUNT_OLD 33
#define LEDGER_SCOPE_OLD    ((UINT64_C(1) << (LEDGER_OP_COUNT_OLD + 1)) - 2)
/* The operations that this chain's next block takes, as bits of a scope. */
uint64_t ledger_scope_taken(struct ledger *ledger);
/* True for operations that carry all four proofs: the batch must open its node's plot. */
bool ledger_op_touches_assets(unsigned op);
/* What a lease costs at most: ceil(price * share * duration) summed over items. false: overflow. */
bool ledger_lease_cost(const uint64_t *price_per_hour, const uint32_t *share_ppm, size_t count,
                       uint64_t duration_ms, uint64_t *cost);

/* --- proofs, checked again and explained ------------------------------------------------------------ */
enum ledger_proof_kind {
    LEDGER_PROOF_SPACE,
    LEDGER_PROOF_STAKE,
    LEDGER_PROOF_WORK,
    LEDGER_PROOF_TIME
};
#define LEDGER_PROOF_COUNT 4
struct ledger_proof_case; /* lives in the arena */
/* A transaction on the chain, with the facts of its block. */
int ledger_proof_case_included(struct ledger_view *view, const uint8_t digest[32],
                               struct hm_arena *arena, struct ledger_proof_case **out,
                               struct hm_error *error);
/* Packed Batch from outside, transaction number tx_index, judged against this view as of now_ms. */
int ledger_proof_case_offered(struct ledger_view *view, struct hm_slice batch, size_t tx_index,
                              uint64_t now_ms, struct hm_arena *arena,
                              struct ledger_proof_case **out, struct hm_error *error);
/* Runs one verifier afresh (no cache), so that a caller can time it. 0 or HM_EPROOF_*; shows receives a
 * plain sentence, in the arena, also on failure (what it would have shown). */
int ledger_proof_case_check(struct ledger_proof_case *proof_case, enum ledger_proof_kind kind,
                            const char **shows, struct hm_error *error);

/* --- snapshots: a whole ledger handed to a new node in checked pieces --------------------------------------
 * Format 1 (docs/formats-snapshot.md). Metadata name the state root; a chunk is all of the state whose key's hash begins with
 * certain bits, as many as make chunks of about one size; after those come the headers that a node needs to judge anchors. With the state root
 * of the block from somewhere that is trusted, the metadata are checked as they come, and each chunk on its own. Chunks are
 * not compressed: who stores or sends them does that. Only of a chain that an engine orders, and of a block that
 * changed the state: the state then names its last block. */
#define LEDGER_SNAPSHOT_FORMAT             1
#define LEDGER_SNAPSHOT_CHUNK_MAX_BYTES    ((size_t)15 << 20)
#define LEDGER_SNAPSHOT_METADATA_MAX_BYTES ((size_t)3 << 20)
struct ledger_snapshot;
/* Of the view's block. The view is borrowed until close; both may be used by another thread than the one that opened
 * the view, one at a time. Goes through the whole state: a second or so for a million entries. At most about 100 MiB are
 * held, however large the state. HM_EUNSUPPORTED: one node's chain. HM_ECONFLICT: the block changed nothing. HM_ELIMIT: a
 * state of more than some 250 GiB. HM_ECORRUPT, HM_ENOMEM. */
int ledger_snapshot_open(struct ledger_view *view, struct ledger_snapshot **out,
                         struct hm_error *error);
void ledger_snapshot_close(struct ledger_snapshot *snapshot); /* before its view */
uint32_t ledger_snapshot_chunks(const struct ledger_snapshot *snapshot);
/* The next chunk, replacing what is in *out: 0, 1, ... HM_ENOTFOUND (error is not set) after the last. Every 64 MiB or so
 * of state it goes through the state once more. */
int ledger_snapshot_next(struct ledger_snapshot *snapshot, uint32_t *index, struct hm_buf *out,
                         struct hm_error *error);
/* After the last chunk; replaces what is in *out. HM_ECORRUPT: the state is not what the chain says. */
int ledger_snapshot_metadata(struct ledger_snapshot *snapshot, struct hm_buf *out,
                             struct hm_error *error);

/* What a node knows of the snapshot's block from elsewhere, and trusts. */
struct ledger_restore_expect {
    struct hm_slice genesis; /* the chain's, exact bytes */
    uint64_t height;
    const uint8_t *state_root; /* 32 bytes: after block `height` */
    uint64_t
        era; /* height of the engine's first block; 0: not known, and of no weight to the chain */
};
struct ledger_restore;
/* Into a ledger without a chain, whose store is emptied. From here until finish it is marked: ledger_open then gives
 * HM_ECONFLICT, and ledger_restore_drop makes the store empty again. One at a time, from one thread. HM_EEXIST: there is a
 * chain. HM_EAUTH says why the metadata are not believed; HM_EPARSE, HM_ELIMIT; HM_EUNSUPPORTED: another format. */
int ledger_restore_begin(struct ledger *ledger, const struct ledger_restore_expect *expect,
                         struct hm_slice metadata, struct ledger_restore **out,
                         struct hm_error *error);
uint32_t ledger_restore_chunks(const struct ledger_restore *restore);
/* Chunks of state in any order, those of headers each after the one before (HM_ECONFLICT). One that is there already is
 * good. HM_EAUTH, HM_EPARSE, HM_ELIMIT: wrong, nothing of it is kept, and the right one may follow. */
int ledger_restore_chunk(struct ledger_restore *restore, uint32_t index, struct hm_slice chunk,
                         struct hm_error *error);
/* When all are there (else HM_ECONFLICT): the ledger has its chain, durably. */
int ledger_restore_finish(struct ledger_restore *restore, struct hm_error *error);
/* Lets go of memory only. NULL is fine. */
void ledger_restore_close(struct ledger_restore *restore);
/* Empties a store in which a restore was not finished; any other is left as it is. No ledger need be open. */
int ledger_restore_drop(struct store *store, struct hm_error *error);
/* Of a ledger that holds what a snapshot brought and no block after it: marks it as a restore that was not finished. Nothing may be
 * done with it then but ledger_close; the next ledger_open gives HM_ECONFLICT, and ledger_restore_drop empties the store. HM_EPERM: it did
 * not begin with a snapshot, or has a block of its own; it is left as it is. */
int ledger_restore_undo(struct ledger *ledger, struct hm_error *error);
/* The first block that this node has: 1, or the one after its snapshot's. Earlier ones, transactions in them and
 * changes of keys before them are HM_ENOTFOUND or HM_ERANGE, and the sentence says where history begins. */
int ledger_view_first_height(struct ledger_view *view, uint64_t *height, struct hm_error *error);

/* --- replay ------------------------------------------------------------------------------------------ */
/* Applies every block of source to an empty scratch ledger and compares each state root. HM_ECORRUPT
 * names the first height that differs. progress as for plots; NULL is fine. At the end also adds up
 * every balance against Supply. */
int ledger_replay(struct ledger *source, struct ledger *scratch, proof_plot_progress progress,
                  void *ctx, uint64_t *blocks, uint64_t *txs, struct hm_error *error);

/* What can be checked of a ledger that began with a snapshot: the tree's root, and that every balance and index adds up. */
int ledger_audit(struct ledger *ledger, struct hm_error *error);
/* Applies the blocks up to `until` (0: all) that source has and target, of the same chain, has not, comparing as replay does; target
 * may have begun with a snapshot. HM_ECONFLICT: target is further, or its last block is not one of source's; HM_ENOTFOUND:
 * source began later. */
int ledger_follow(struct ledger *source, struct ledger *target, uint64_t until, uint64_t *blocks,
                  struct hm_error *error);

#endif
