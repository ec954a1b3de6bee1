/* What the files of the ledger share: the ledger itself and the block under way. */
#ifndef HM_LEDGER_PRIVATE_H
#define HM_LEDGER_PRIVATE_H

#include <pthread.h>

#include "ledger.h"
#include "ledger_kv_block.h"
#include "ledger_limits.h"
#include "ledger_overlay.h"
#include "ledger_seen.h"

/* Keys of LEDGER_TABLE_META. */
#define LEDGER_META_CHAIN   'c' /* -> ChainState */
#define LEDGER_META_GENESIS 'g' /* -> Genesis, the exact bytes */
#define LEDGER_META_HASH    'h' /* + be64 height -> 32 bytes: block hash, without reading the block */
#define LEDGER_META_ERA     'E' /* -> be64 height of the engine's first block */
#define LEDGER_META_SWEPT \
    'k' /* -> be64 revision: how far this node has erased history, in a cluster */
#define LEDGER_META_FIRST \
    'F' /* -> be64 height, be64 revision: struct ledger_first, of a ledger that began with a snapshot */
#define LEDGER_META_HEADER  'p' /* + be64 height -> BlockHeader: of blocks before that */
#define LEDGER_META_RESTORE 'R' /* -> empty: a snapshot is being taken over */

extern const struct store_tree ledger_tree;

struct ledger_block;

struct ledger {
    struct store *store;
    pthread_mutex_t lock; /* guards info and has_chain */
    struct ledger_info info;
    bool has_chain;
    /* Set once when the chain is known, before other threads may ask; never changes after. */
    struct hm_arena params_arena;
    const Hypermesh__Params *params;
    bool stake_known; /* from the beginning: the genesis has the parameters of proof of stake */
    struct ledger_seen seen;
    struct ledger_kv_rules *kv_rules; /* as of the last commit; of the thread that finalizes */
    struct ledger_block *block; /* between finalize and commit or abandon */
    struct ledger_block *done; /* committed: its record is read until the next finalize */
};

/* A line of an asset's history waiting to be written. */
struct ledger_line {
    uint8_t subject[LEDGER_ID_BYTES]; /* the asset */
    uint64_t number;
    struct hm_slice value; /* packed AssetEvent */
};

struct ledger_lines {
    struct ledger_line *list;
    size_t count;
    size_t cap;
};

/* A change of LEDGER_TABLE_INDEX waiting to be written; of several of one key the last counts. */
#define LEDGER_INDEX_KEY_BYTES (1 + 2 * LEDGER_ID_BYTES)
struct ledger_listing {
    uint8_t key[LEDGER_INDEX_KEY_BYTES];
    bool present;
};

struct ledger_listings {
    struct ledger_listing *list;
    size_t count;
    size_t cap;
};

/* Kinds of index entries: the first byte of the key, then who, then what. */
#define LEDGER_INDEX_ASSET         's' /* owner: active assets */
#define LEDGER_INDEX_ASSET_ALL     'S' /* owner: with retired ones */
#define LEDGER_INDEX_LEASE         'l' /* consumer, provider, everybody: active leases */
#define LEDGER_INDEX_LEASE_ALL     'L' /* with ended ones */
#define LEDGER_INDEX_LEASED        'I' /* asset: every lease of it, ended ones too */
#define LEDGER_INDEX_NETWORK       'n' /* account: networks it is in, or invited to */
#define LEDGER_INDEX_DELEGATION    'd' /* delegator: operators of the validators */
#define LEDGER_INDEX_CHALLENGE     'c' /* challenger, node, everybody: open challenges */
#define LEDGER_INDEX_CHALLENGE_ALL 'C' /* with ended ones */
extern const uint8_t ledger_everybody[LEDGER_ID_BYTES]; /* zeros: stands for all parties */

/* Where a result's transaction stands. */
struct ledger_placed {
    Hypermesh__TxResult *result;
    uint32_t item;
    uint32_t tx;
    bool charged; /* paid its fee: it counts among the account's transactions */
};

/* Ids that the block's record names. */
struct ledger_named {
    ProtobufCBinaryData *list;
    size_t count;
};

/* The block under way: one write transaction. */
struct ledger_block {
    struct ledger *ledger;
    const Hypermesh__Params *params;
    struct store_txn *txn;
    struct hm_arena arena; /* until commit or abandon: overlay, results, record */
    struct hm_arena scratch; /* until the next transaction */
    struct hm_arena batch; /* until the next batch */
    struct hm_buf pack;
    struct ledger_overlay overlay;
    Hypermesh__Supply supply;
    Hypermesh__Supply supply_before;
    uint8_t hash[CRYPTO_HASH_BYTES];
    uint8_t seed[LEDGER_MAP_SEED_BYTES]; /* of the block's maps: the start of its own hash */
    uint64_t height;
    uint64_t time_ms;
    uint64_t base_fee;
    uint64_t weight; /* of transactions that paid */
    uint64_t offered; /* of batches that were taken; <= params->block_weight_max */
    uint64_t anchor_height; /* the last anchor looked up, */
    uint8_t anchor_hash[CRYPTO_HASH_BYTES];
    bool anchor_known; /* and whether there is one */
    struct ledger_lines lines;
    struct ledger_listings listings;
    struct ledger_placed *placed;
    size_t placed_count;
    size_t placed_cap;
    ProtobufCBinaryData *expired;
    size_t expired_count;
    ProtobufCBinaryData *silent;
    size_t silent_count;
    const Hypermesh__EngineFacts *engine; /* NULL: one node's block */
    uint64_t scope; /* the operations it takes */
    uint32_t *item_charged; /* of each item: transactions that paid */
    struct ledger_named jailed; /* operators */
    struct ledger_named tombstoned;
    bool stake_changed; /* who should have power is to be found anew */
    const struct ledger_validator_update *updates; /* by address; in the arena */
    size_t updates_count;
    struct ledger_kv kv;
    Hypermesh__BlockRecord record;
    struct ledger_info next; /* what info becomes at commit */
};

/* --- keys --- */
#define LEDGER_KEY_ID_BYTES      (1 + LEDGER_ID_BYTES)
#define LEDGER_KEY_DUE_MIN_BYTES (1 + 8 + 1)
#define LEDGER_KEY_DUE_MAX_BYTES (LEDGER_KEY_DUE_MIN_BYTES + 2 * LEDGER_ID_BYTES)
#define LEDGER_KEY_MEMBER_BYTES  (1 + 2 * LEDGER_ID_BYTES)
struct hm_slice ledger_key_id(uint8_t prefix, const uint8_t id[LEDGER_ID_BYTES],
                              uint8_t out[LEDGER_KEY_ID_BYTES]);
/* thing: the key of what the time ends, prefix byte and at most two ids. */
struct hm_slice ledger_key_due(uint64_t due_ms, struct hm_slice thing,
                               uint8_t out[LEDGER_KEY_DUE_MAX_BYTES]);
struct hm_slice ledger_key_member(const uint8_t network[LEDGER_ID_BYTES],
                                  const uint8_t account[LEDGER_ID_BYTES],
                                  uint8_t out[LEDGER_KEY_MEMBER_BYTES]);
struct hm_slice ledger_key_height(uint64_t height, uint8_t out[8]);
struct hm_slice ledger_key_numbered(const uint8_t id[LEDGER_ID_BYTES], uint64_t number,
                                    uint8_t out[LEDGER_ID_BYTES + 8]);

static inline bool ledger_id_ok(ProtobufCBinaryData id)
{
    return id.len == LEDGER_ID_BYTES;
}

static inline bool ledger_id_equal(ProtobufCBinaryData a, ProtobufCBinaryData b)
{
    return hm_slice_equal(wire_slice(a), wire_slice(b));
}

/* Reads what is known of the chain into the ledger; HM_ENOTFOUND when there is none. */
int ledger_load(struct ledger *ledger, struct hm_error *error);

/* --- reading one transaction of the store --- */
/* Height, time, hashes, base fee and next due lease; HM_ENOTFOUND when there is no chain. The name of the
 * chain, which never changes, stays as it is in *info: ledger_read_name reads it from the genesis. */
int ledger_read_info(struct store_txn *txn, struct ledger_info *info, struct hm_error *error);
int ledger_read_name(struct store_txn *txn, struct ledger_info *info, struct hm_error *error);
int ledger_read_params(struct store_txn *txn, struct hm_arena *arena, Hypermesh__Params **out,
                       struct hm_error *error);
/* As they are stored: of a chain of before proof of stake without its parameters. */
int ledger_read_params_stored(struct store_txn *txn, struct hm_arena *arena,
                              Hypermesh__Params **out, struct hm_error *error);
/* When the first thing is due to end by itself, 0 when none waits. */
int ledger_read_next_due(struct store_txn *txn, uint64_t *due_ms, struct hm_error *error);
/* Hash of the block at height: HM_ENOTFOUND (error is not set) when there is none, HM_ECORRUPT. */
int ledger_read_hash(struct store_txn *txn, uint64_t height, uint8_t hash[CRYPTO_HASH_BYTES]);
/* An account nobody touched is all zero. */
int ledger_read_account(struct store_txn *txn, const uint8_t id[LEDGER_ID_BYTES],
                        struct hm_arena *arena, Hypermesh__Account **out, struct hm_error *error);
/* What has finished unbonding by now_ms counts as free, as it will when a block touches the account. */
void ledger_account_mature(Hypermesh__Account *account, uint64_t now_ms);
/* Blank account with a presence of 32 zero bytes; NULL: memory. */
Hypermesh__Account *ledger_account_blank(struct hm_arena *arena);
/* Unpacks an account and gives it its presence when it has none yet. */
int ledger_account_unpack(struct hm_slice bytes, struct hm_arena *arena, Hypermesh__Account **out,
                          struct hm_error *error);

/* --- writing --- */
int ledger_chain_write(struct store_txn *txn, const struct ledger_info *info, struct hm_buf *pack,
                       struct hm_error *error);
/* Everything a block leaves: state, tree, block, record, indexes. Fills record and next. */
int ledger_block_write(struct ledger_block *block, const struct ledger_proposal *proposal,
                       struct hm_error *error);
int ledger_lines_add(struct ledger_lines *lines, struct hm_arena *arena,
                     const struct ledger_line *line);
int ledger_listings_add(struct ledger_listings *listings, struct hm_arena *arena,
                        const struct ledger_listing *listing);

/* --- blocks --- */
int ledger_block_new(struct ledger *ledger, const struct ledger_proposal *proposal,
                     struct ledger_block **out, struct hm_error *error);
void ledger_block_free(struct ledger_block *block); /* drops what was not committed; NULL is fine */
/* Ends what its time has come for: leases, challenges. */
int ledger_block_expire(struct ledger_block *block, struct hm_error *error);

/* --- fees --- */
uint64_t ledger_fee_next(const Hypermesh__Params *params, uint64_t base_fee, uint64_t weight);

/* --- genesis --- */
bool ledger_chain_id_ok(const char *text);
int ledger_params_check(const Hypermesh__Params *params, struct hm_error *error);

#endif
