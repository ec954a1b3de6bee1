/* A small chain for tests, fuzzing and benchmarks: people with keys, a node with a plot, transactions,
 * batches and blocks in a line or two. Everything is drawn from fixed seeds. */
#ifndef LEDGER_FIXTURE_H
#define LEDGER_FIXTURE_H

#include "ledger.h"

#define FIXTURE_PEOPLE   8
#define FIXTURE_CHAIN    "test-1"
#define FIXTURE_START_MS UINT64_C(1700000000000)
#define FIXTURE_BLOCK_MS UINT64_C(1000)
#define FIXTURE_HYPER    UINT64_C(1000000000)
#define FIXTURE_SUPPLY   (UINT64_C(8000000) * FIXTURE_HYPER)
#define FIXTURE_LABELS   UINT64_C(128)

/* Who is who: node is an ordinary account that has committed a plot. */
enum fixture_role { ALICE, BOB, CAROL, NODE, DAVE, ERIN, FRANK, POOR };

struct fixture_person {
    struct crypto_root_key *root;
    struct crypto_root_public root_public;
    uint8_t id[32];
    struct crypto_ed25519_key session;
    uint8_t presence[32]; /* after everything signed so far */
};

struct fixture {
    struct store *store;
    struct ledger *ledger;
    struct fixture_person people[FIXTURE_PEOPLE];
    struct proof_plot *plot;
    uint64_t next_ms; /* time of the next block */
    Hypermesh__Params params;
    struct hm_arena arena; /* until fixture_release, or fixture_forget */
    struct hm_error error;
    bool cluster; /* fixture_propose makes blocks as an engine outside orders them, without notes */
    int status_on_failure; /* 0: abort; else the process ends so when the fixture itself cannot go on */
    Hypermesh__BlockRecord *record; /* of the last block, in the arena */
};

/* Where the tables are: memory, or LMDB in the folder path. */
struct fixture_options {
    const char *lmdb_path;
    bool deferred; /* its store syncs at checkpoints only */
    void (*params)(Hypermesh__Params *params); /* changes the defaults; NULL is fine */
    bool bare; /* stop after genesis */
};

/* Genesis, and unless bare: every person has a session and a bond of 1000 HYPER, the node its plot.
 * 0 or an error that is in fixture->error. */
int fixture_init(struct fixture *fixture, const struct fixture_options *options);
void fixture_release(struct fixture *fixture);
/* The same people and plot with a new chain in memory, as fixture_init leaves it: much cheaper. */
int fixture_restart(struct fixture *fixture);
/* Lets go of messages made so far: for loops. */
void fixture_forget(struct fixture *fixture);
/* The genesis of a fixture, packed. */
struct hm_slice fixture_genesis(struct fixture *fixture);
const struct store_options *fixture_store_options(void);

/* --- memory in the arena; without it the test ends --- */
void *fixture_take(struct fixture *fixture, size_t size);
ProtobufCBinaryData fixture_keep(struct fixture *fixture, const void *data,
                                 size_t len); /* a copy */
void *fixture_new(struct fixture *fixture,
                  const ProtobufCMessageDescriptor *descriptor); /* with its defaults */

/* --- messages; each call may be changed before it goes on --- */
Hypermesh__TxBody *fixture_body(struct fixture *fixture, enum fixture_role who,
                                Hypermesh__Operation *const *ops, size_t count);
/* Signs by the session key, or by the root keys. Finds the Work; follows the person's presence. */
Hypermesh__Tx *fixture_sign(struct fixture *fixture, enum fixture_role who, Hypermesh__TxBody *body,
                            bool by_root);
struct hm_slice fixture_pack(struct fixture *fixture, const ProtobufCMessage *message);
/* body, sign and pack in one. */
struct hm_slice fixture_tx(struct fixture *fixture, enum fixture_role who,
                           Hypermesh__Operation *const *ops, size_t count);
struct hm_slice fixture_root_tx(struct fixture *fixture, enum fixture_role who,
                                Hypermesh__Operation *const *ops, size_t count);
void fixture_tx_digest(struct hm_slice tx, uint8_t digest[32]);

Hypermesh__BatchHead *fixture_head(struct fixture *fixture, enum fixture_role node,
                                   const struct hm_slice *txs, size_t count, bool with_space);
struct hm_slice fixture_seal(struct fixture *fixture, enum fixture_role node,
                             Hypermesh__BatchHead *head, const struct hm_slice *txs, size_t count);
/* Nothing but root-signed transactions: no signature. */
struct hm_slice fixture_seal_bare(struct fixture *fixture, Hypermesh__BatchHead *head,
                                  const struct hm_slice *txs, size_t count);
/* head and seal by NODE, with its Space proof. */
struct hm_slice fixture_batch(struct fixture *fixture, const struct hm_slice *txs, size_t count);

/* --- blocks --- */
/* Fills a proposal for the next block, header included. items are borrowed. */
void fixture_propose(struct fixture *fixture, const struct hm_slice *items, size_t count,
                     struct ledger_proposal *out);
/* Proposes, processes, finalizes, commits; time goes on by FIXTURE_BLOCK_MS. */
int fixture_block(struct fixture *fixture, const struct hm_slice *items, size_t count);
/* One batch, one block. */
int fixture_block_txs(struct fixture *fixture, const struct hm_slice *txs, size_t count);
/* One operation by its session key in a block of its own; NULL: the block failed. */
Hypermesh__TxResult *fixture_do(struct fixture *fixture, enum fixture_role who,
                                Hypermesh__Operation *op);
Hypermesh__TxResult *fixture_do_many(struct fixture *fixture, enum fixture_role who,
                                     Hypermesh__Operation *const *ops, size_t count);
/* Presences anew from the state, after a transaction that did not pay. */
void fixture_resync(struct fixture *fixture);

/* --- reading (aborts the test on failure) --- */
Hypermesh__Account *fixture_account(struct fixture *fixture, enum fixture_role who);
Hypermesh__Asset *fixture_asset(struct fixture *fixture, const uint8_t id[32]); /* NULL: none */
Hypermesh__Lease *fixture_lease(struct fixture *fixture, const uint8_t id[32]);
Hypermesh__Supply *fixture_supply(struct fixture *fixture);
Hypermesh__Network *fixture_network(struct fixture *fixture, const uint8_t id[32]); /* NULL: none */
Hypermesh__Challenge *fixture_challenge(struct fixture *fixture, const uint8_t id[32]);
/* What who is in the network; MEMBER_NONE when nothing. */
Hypermesh__MemberState fixture_member(struct fixture *fixture, const uint8_t network[32],
                                      enum fixture_role who);

/* --- operations --- */
Hypermesh__Operation *op_new(struct fixture *f, Hypermesh__Operation__OpCase number);
Hypermesh__Operation *op_transfer(struct fixture *f, enum fixture_role to, uint64_t amount);
Hypermesh__Operation *op_transfer_caes(struct fixture *f, enum fixture_role to, uint64_t amount);
Hypermesh__Operation *op_grant(struct fixture *f, const uint8_t key[32], uint64_t scope,
                               uint64_t expires_ms);
Hypermesh__Operation *op_revoke(struct fixture *f, const uint8_t key[32]);
Hypermesh__Operation *op_bond(struct fixture *f, uint64_t amount);
Hypermesh__Operation *op_unbond(struct fixture *f, uint64_t amount);
Hypermesh__Operation *op_space(struct fixture *f); /* the node's plot */
Hypermesh__Operation *op_register(struct fixture *f, const char *hardware_id, uint64_t price,
                                  Hypermesh__PrivacyLevel level);
Hypermesh__Operation *op_update(struct fixture *f, const uint8_t asset[32], uint64_t capacity,
                                uint64_t price);
Hypermesh__Operation *op_give(struct fixture *f, const uint8_t asset[32], enum fixture_role to);
Hypermesh__Operation *op_retire(struct fixture *f, const uint8_t asset[32]);
Hypermesh__Operation *op_privacy(struct fixture *f, const uint8_t asset[32],
                                 Hypermesh__PrivacyLevel level);
Hypermesh__Operation *op_allocate(struct fixture *f, const uint8_t (*assets)[32], size_t count,
                                  uint32_t share_ppm, uint64_t duration_ms);
Hypermesh__Operation *op_renew(struct fixture *f, const uint8_t lease[32], uint64_t extra_ms);
Hypermesh__Operation *op_free(struct fixture *f, const uint8_t lease[32]); /* release */
/* With one usage record an item, read from the lease in the state. */
Hypermesh__Operation *op_settle(struct fixture *f, const uint8_t lease[32]);

Hypermesh__Operation *op_network(struct fixture *f, const char *name, bool open);
Hypermesh__Operation *op_join(struct fixture *f, const uint8_t network[32]);
Hypermesh__Operation *op_leave(struct fixture *f, const uint8_t network[32]);
Hypermesh__Operation *op_invite(struct fixture *f, const uint8_t network[32],
                                enum fixture_role who);
Hypermesh__Operation *op_expel(struct fixture *f, const uint8_t network[32], enum fixture_role who);
Hypermesh__Operation *op_dissolve(struct fixture *f, const uint8_t network[32]);
Hypermesh__Operation *op_peers(struct fixture *f, const enum fixture_role *who, size_t count);
Hypermesh__Operation *op_proxy(struct fixture *f, bool any, const enum fixture_role *relays,
                               size_t count);
/* lease NULL: of the node's space. */
Hypermesh__Operation *op_challenge(struct fixture *f, enum fixture_role node, const uint8_t *lease);
/* The node's plot at the positions that the challenge in the state asks for. */
Hypermesh__Operation *op_answer_space(struct fixture *f, const uint8_t challenge[32]);
Hypermesh__Operation *op_answer_result(struct fixture *f, const uint8_t challenge[32],
                                       const char *job, const char *manifest);
/* An allocation for a job, a settlement with the hash of a manifest. */
Hypermesh__Operation *op_allocate_job(struct fixture *f, const uint8_t (*assets)[32],
                                      uint32_t share_ppm, uint64_t duration_ms, const char *job);
Hypermesh__Operation *op_settle_result(struct fixture *f, const uint8_t lease[32],
                                       const char *manifest);
/* One more id at the end of a list, which is copied. */
void fixture_id_append(struct fixture *f, ProtobufCBinaryData **list, size_t *count,
                       const uint8_t id[32]);
/* Adds a network, or an account, to a privacy. */
void privacy_network(struct fixture *f, Hypermesh__Privacy *privacy, const uint8_t network[32]);
void privacy_account(struct fixture *f, Hypermesh__Privacy *privacy, enum fixture_role who);

/* Id of the CPU that op_register makes. */
void fixture_asset_id(const struct fixture *fixture, enum fixture_role owner,
                      const char *hardware_id, uint8_t id[32]);

#endif
