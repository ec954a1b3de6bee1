/* api: HTTP on loopback and on a unix socket: routing, authentication, JSON, streams, metrics
 * text, OpenAPI. What requests mean is the node's, behind struct api_backend.
 *
 * Never: touches ledger, engine or files of the node; keeps state between requests but counters.
 * Start reading with api_routes.c: one row a route. The contract is openapi.json, made from it. */
#ifndef HM_API_H
#define HM_API_H

#include "abci.pb-c.h"
#include "base.h"
#include "wire.h"

/* --- what the node answers ----------------------------------------------------------------------
 * Every function may be called from many threads at once. Messages and strings live in the
 * request's arena. Accounts are named by keystore name ("user") or text id ("hm1..."). */

/* The engine of a node that orders its blocks together with others. */
struct api_cluster {
    const char *version; /* of the engine; NULL: has not been there yet */
    size_t validators; /* that may vote now */
    unsigned peers; /* connected now */
    unsigned starts; /* of the engine, since the node's own */
    size_t pending; /* transactions handed to it that are in no block yet */
    bool reachable, catching_up;
    bool validator; /* this node is one */
    bool quorum; /* more than two thirds of the votes may be in reach */
    unsigned
        votes_percent; /* that are in reach at most: this node's, and those of the strongest whom its peers may be */
    uint64_t block_age_ms;
    const struct api_link *links;
    size_t link_count;
};

/* What came of packets to another node and back lately. */
struct api_link {
    uint8_t node[20];
    unsigned packets, lost, overtaken, duplicated;
    bool bad;
};

struct api_status {
    const char *version, *chain_id, *engine, *node_account, *data_dir, *listen;
    uint64_t height, time_ms, base_fee, started_ms;
    uint8_t block_hash[32], state_root[32];
    bool ready;
    const char *not_ready; /* sentence */
    size_t queued;
    uint64_t plot_bytes;
    struct api_cluster *cluster; /* NULL: the chain is this node's alone */
    const char *sandbox; /* "runc 1.1.5, cgroup v1, rootful", or why none */
    const char **warnings; /* limits that don't hold here, ... */
    size_t warning_count;
};

/* How a submitted transaction ended; code 0 means it did what it says. */
struct api_receipt {
    uint8_t digest[32];
    uint64_t height;
    uint8_t block_hash[32], state_root[32];
    uint64_t fee;
    uint8_t (*created)[32];
    size_t created_count;
    Hypermesh__KvAnswer **kv; /* of its key-value operations, in their order */
    size_t kv_count;
};

/* An act that nobody waits for. Both functions are called by any thread, which they must not hold up. */
struct api_later {
    /* later_lead is to be called soon: it signs what has come together by then. */
    void (*lead)(struct api_later *later);
    void (*done)(struct api_later *later); /* once: later_end is to be called */
    void *act; /* the node's */
};

/* What happened on the ledger; (height, index) is its id. Ids of things are 32 bytes or NULL. */
struct api_event {
    uint64_t height, time_ms;
    uint32_t index;
    const char *type; /* "allocate", ..., "lease_expired", "challenge_silent", "kv" */
    const uint8_t *tx, *account, *asset, *lease, *network, *challenge;
    const Hypermesh__Operation *op; /* NULL for what is not an operation */
    const Hypermesh__KvEvent *kv; /* type "kv" */
};

/* Which news a subscriber wants to be woken for. */
struct api_interest {
    bool blocks; /* every block */
    struct hm_slice kv_key,
        kv_range_end; /* changes of these keys (key empty: none), as etcd's ranges */
};
struct api_subscription; /* the node's */

struct api_kv_query {
    struct hm_slice key, range_end;
    uint64_t revision; /* 0: now */
    size_t limit; /* 0: all, as far as one answer may hold */
    bool keys_only, count_only;
};
struct api_kv_pairs {
    Hypermesh__KvPair **pairs;
    size_t count;
    uint64_t total; /* keys in the range */
    bool more;
    uint64_t revision; /* of the store when it was read */
};
struct api_kv_changes {
    Hypermesh__KvEvent **events;
    Hypermesh__KvEntry **previous; /* one an event; NULL entries: none */
    size_t count;
    uint64_t next; /* where to go on: revision and sub */
    uint32_t next_sub;
    uint64_t revision; /* of the store when it was read */
};

/* Where the ledger stands on this node. */
struct api_fresh {
    uint64_t height; /* of the last block; 0: the genesis */
    uint64_t time_ms; /* that it says */
};

struct api_backup {
    const char *path;
    uint64_t bytes, height;
    uint8_t state_root[32];
};

struct api_page {
    const uint8_t *after; /* 32 bytes, or NULL */
    size_t limit;
};

struct api_account {
    const char *name; /* in this node's keystore; NULL: not ours */
    uint8_t id[32];
    Hypermesh__Account *state;
};

struct api_block {
    Hypermesh__BlockHeader *header;
    Hypermesh__BlockRecord *record;
    size_t txs;
};

struct api_tx {
    uint8_t digest[32];
    uint64_t height;
    Hypermesh__Tx *tx;
    Hypermesh__TxBody *body;
    Hypermesh__TxResult *result;
};

struct api_state_proof {
    struct hm_slice value; /* data NULL: absent */
    struct hm_slice proof; /* store_tree_proof_encode form */
    uint8_t root[32];
    uint64_t height;
};

struct api_image {
    const char *name, *digest;
    uint64_t bytes, stored_bytes, created_ms;
    size_t layers;
};

struct api_scan_item { /* discovery, as the machine is now */
    const char *kind, *hardware_id, *title, *unit;
    uint64_t capacity;
    const char *const *attributes; /* name, value, name, value, ... */
    size_t attribute_count; /* pairs */
    const char *const *live;
    size_t live_count;
    const char *health; /* NULL: healthy */
    const uint8_t *asset; /* 32 bytes when registered, else NULL */
};

struct api_check { /* doctor */
    const char *name;
    const char *level; /* "ok", "note", "warning", "error" */
    const char *text; /* what was found */
    const char *advice; /* what to do; NULL when ok */
};

struct api_log { /* a job's log file: frames as runtime.h describes */
    const char *path;
    bool ended; /* no more frames will come */
};

/* A join ticket of a cluster's member. */
#define API_TICKET_ID_BYTES 16
struct api_ticket_new {
    uint64_t lasts_ms; /* 0: the node's default */
    bool validator; /* what the newcomer is to be: else a full node */
    bool fund; /* the node's user pays its accounts, and bond more (HYPER) for a validator */
    uint64_t bond;
    const char *const *addresses; /* "ADDRESS:PORT" of the node's door; none: where it listens */
    size_t address_count;
};
struct api_ticket {
    uint8_t id[API_TICKET_ID_BYTES];
    char *
        text; /* of one just issued, in the call's arena: the API wipes it; NULL: never shown again */
    const char *const *addresses; /* of one just issued */
    size_t address_count;
    bool validator, funded, revoked;
    uint64_t bond;
    uint64_t issued_ms, expires_ms, used_ms; /* used_ms 0: not used */
    const char *used_by; /* id of the newcomer's engine node; NULL: not used */
};

/* What an account has with one validator. */
struct api_stake {
    uint8_t validator[32]; /* its operator */
    uint64_t stake, leaving; /* HYPER */
    uint64_t free_ms; /* when the last of what leaves is free; 0: nothing leaves */
    uint64_t rewards; /* CAES */
};

struct api_backend {
    void *ctx;
    int (*status)(void *ctx, struct hm_arena *arena, struct api_status *out,
                  struct hm_error *error);
    int (*stop)(void *ctx, struct hm_error *error); /* orderly end, returns at once */
    /* Prometheus text of everything but HTTP itself, appended. */
    int (*metrics)(void *ctx, struct hm_buf *out, struct hm_error *error);

    /* accounts */
    int (*accounts)(void *ctx, struct hm_arena *arena, struct api_account **out, size_t *count,
                    struct hm_error *error); /* the keystore's */
    int (*account)(void *ctx, const char *name_or_id, struct hm_arena *arena,
                   struct api_account *out, struct hm_error *error);
    int (*account_create)(void *ctx, const char *name, struct hm_arena *arena,
                          struct api_account *out, struct hm_error *error);

    /* acts: signs with the account's session key, adds the proofs, orders, waits until durable. A
	 * failed transaction is this function's failure. */
    int (*submit)(void *ctx, const char *account, Hypermesh__Operation *const *ops, size_t count,
                  struct hm_arena *arena, struct api_receipt *out, struct hm_error *error);
    int (*submit_signed)(void *ctx, struct hm_slice tx, struct hm_arena *arena,
                         struct api_receipt *out, struct hm_error *error);
    /* As submit, but returns before the act is durable: *begun, and the later's functions are called
     * from then on. Not begun (0): this act does not go this way now, submit is to be used. ops must
     * last until later_end. submit_later NULL: the node cannot. */
    int (*submit_later)(void *ctx, const char *account, Hypermesh__Operation *const *ops,
                        size_t count, struct api_later *later, bool *begun, struct hm_error *error);
    void (*later_lead)(void *ctx, struct api_later *later);
    /* After done: what submit would have given. *again: nothing has happened, submit is to be used. */
    int (*later_end)(void *ctx, struct api_later *later, struct hm_arena *arena,
                     struct api_receipt *out, bool *again, struct hm_error *error);
    /* Facts for a client that signs by itself. */
    int (*signing)(void *ctx, const uint8_t account[32], struct hm_arena *arena,
                   Hypermesh__TxBody *out, unsigned *work_bits, uint64_t *base_fee,
                   struct hm_error *error);

    /* ledger reads */
    int (*assets)(void *ctx, const char *owner, Hypermesh__AssetKind kind, bool with_retired,
                  const struct api_page *page, struct hm_arena *arena, Hypermesh__Asset ***out,
                  size_t *count, struct hm_error *error);
    int (*asset)(void *ctx, const uint8_t id[32], struct hm_arena *arena, Hypermesh__Asset **out,
                 uint8_t address[16], struct hm_error *error);
    int (*asset_history)(void *ctx, const uint8_t id[32], uint64_t from, size_t limit,
                         struct hm_arena *arena, Hypermesh__AssetEvent ***out, size_t *count,
                         struct hm_error *error);
    int (*leases)(void *ctx, const char *party, const uint8_t *asset, bool active_only,
                  const struct api_page *page, struct hm_arena *arena, Hypermesh__Lease ***out,
                  size_t *count, struct hm_error *error);
    int (*lease)(void *ctx, const uint8_t id[32], struct hm_arena *arena, Hypermesh__Lease **out,
                 struct hm_error *error);
    int (*chain)(void *ctx, struct hm_arena *arena, Hypermesh__Params **params,
                 Hypermesh__Supply **supply, Hypermesh__Genesis **genesis, struct hm_error *error);
    /* From height `from` down. */
    int (*blocks)(void *ctx, uint64_t from, size_t limit, struct hm_arena *arena,
                  struct api_block **out, size_t *count, struct hm_error *error);
    int (*block)(void *ctx, uint64_t height, struct hm_arena *arena, struct api_block *out,
                 uint8_t (**tx_digests)[32], struct hm_error *error);
    int (*tx)(void *ctx, const uint8_t digest[32], struct hm_arena *arena, struct api_tx *out,
              struct hm_error *error);
    int (*state_proof)(void *ctx, struct hm_slice key, struct hm_arena *arena,
                       struct api_state_proof *out, struct hm_error *error);
    /* *out: array of four (space, stake, work, time) of a transaction on the chain, or of one in a
     * packed Batch from outside. */
    int (*validate_tx)(void *ctx, const uint8_t digest[32], struct hm_arena *arena,
                       Hypermesh__ProofReport **out, struct hm_error *error);
    int (*validate_batch)(void *ctx, struct hm_slice batch, size_t tx_index, struct hm_arena *arena,
                          Hypermesh__ProofReport **out, struct hm_error *error);
    /* Replays the chain; may take long. progress as text lines is the api's affair. */
    int (*verify_chain)(void *ctx, int (*progress)(void *pctx, uint64_t done, uint64_t total),
                        void *pctx, uint64_t *blocks, uint64_t *txs, struct hm_error *error);

    /* Without waiting for anything. HM_EBUSY: not ready; HM_ENOTFOUND: no chain yet. NULL: answers do not say it. */
    int (*fresh)(void *ctx, struct api_fresh *out, struct hm_error *error);
    /* Until the block of that height can be read: HM_ETIMEOUT; HM_EUNAVAILABLE: it will not come. ask: where nobody needs
     * it, it is asked for, if it is one of the next API_ASK_AHEAD; HM_EUNSUPPORTED where that cannot be. */
    int (*wait_height)(void *ctx, uint64_t height, bool ask, unsigned timeout_ms,
                       struct hm_error *error);
    /* What a light client needs of a block (0: the newest). HM_EUNSUPPORTED: nobody signs this node's blocks;
     * HM_ENOTFOUND. May take seconds. */
    int (*light_block)(void *ctx, uint64_t height, struct hm_arena *arena,
                       Hypermesh__Abci__LightBlock **out, struct hm_error *error);

    /* networks, challenges */
    int (*network)(void *ctx, const uint8_t id[32], struct hm_arena *arena,
                   Hypermesh__Network **out, struct hm_error *error);
    int (*networks)(void *ctx, const char *member, const struct api_page *page,
                    struct hm_arena *arena, Hypermesh__Network ***out, size_t *count,
                    struct hm_error *error); /* member NULL: all */
    int (*members)(void *ctx, const uint8_t network[32], const struct api_page *page,
                   struct hm_arena *arena, Hypermesh__Member ***out, size_t *count,
                   struct hm_error *error);
    int (*challenge)(void *ctx, const uint8_t id[32], struct hm_arena *arena,
                     Hypermesh__Challenge **out, struct hm_error *error);
    int (*challenges)(void *ctx, const char *party, bool open_only, const struct api_page *page,
                      struct hm_arena *arena, Hypermesh__Challenge ***out, size_t *count,
                      struct hm_error *error);

    /* validators, by their operators' ids, and stake */
    int (*validator)(void *ctx, const uint8_t operator_id[32], struct hm_arena *arena,
                     Hypermesh__Validator **out, struct hm_error *error);
    int (*validators)(void *ctx, const struct api_page *page, struct hm_arena *arena,
                      Hypermesh__Validator ***out, size_t *count, struct hm_error *error);
    int (*delegations)(void *ctx, const uint8_t validator[32], const struct api_page *page,
                       struct hm_arena *arena, Hypermesh__Delegation ***out, size_t *count,
                       struct hm_error *error);
    /* What one account has delegated, by validator. */
    int (*stakes)(void *ctx, const uint8_t delegator[32], const struct api_page *page,
                  struct hm_arena *arena, struct api_stake **out, size_t *count,
                  struct hm_error *error);

    /* Time and place, and the chain of delays. HM_EUNSUPPORTED: no cluster; HM_ENOTFOUND: nothing yet. NULL: no cluster. */
    int (*witness)(void *ctx, struct hm_arena *arena, Hypermesh__WitnessView **out,
                   struct hm_error *error);
    int (*vdf)(void *ctx, struct hm_arena *arena, Hypermesh__VdfLink **out, struct hm_error *error);

    /* join tickets; NULL: no cluster */
    int (*ticket_create)(void *ctx, const struct api_ticket_new *wanted, struct hm_arena *arena,
                         struct api_ticket *out, struct hm_error *error);
    int (*tickets)(void *ctx, struct hm_arena *arena, struct api_ticket **out, size_t *count,
                   struct hm_error *error);
    int (*ticket_revoke)(void *ctx, const uint8_t id[API_TICKET_ID_BYTES], struct hm_error *error);

    /* key-value store. account: who asks (keystore name or "hm1..."); its right to read is checked. */
    int (*kv_state)(void *ctx, struct hm_arena *arena, Hypermesh__KvState **out,
                    struct hm_error *error);
    int (*kv_range)(void *ctx, const char *account, const struct api_kv_query *query,
                    struct hm_arena *arena, struct api_kv_pairs *out, struct hm_error *error);
    int (*kv_changes)(void *ctx, const char *account, struct hm_slice key,
                      struct hm_slice range_end, uint64_t from, uint32_t sub, size_t limit,
                      bool with_previous, struct hm_arena *arena, struct api_kv_changes *out,
                      struct hm_error *error);
    int (*kv_lease)(void *ctx, uint64_t id, struct hm_arena *arena, Hypermesh__KvLease **out,
                    struct hm_slice **keys, size_t *key_count, struct hm_error *error);
    int (*kv_leases)(void *ctx, uint64_t after, size_t limit, struct hm_arena *arena,
                     Hypermesh__KvLease ***out, size_t *count, struct hm_error *error);
    int (*kv_rules)(void *ctx, struct hm_slice after, size_t limit, struct hm_arena *arena,
                    Hypermesh__KvRule ***out, size_t *count, struct hm_error *error);

    /* news */
    int (*events)(void *ctx, uint64_t height, uint32_t index, size_t limit, struct hm_arena *arena,
                  struct api_event **out, size_t *count, uint32_t *total, struct hm_error *error);
    /* wake may be called from any thread until unsubscribe has returned; it must not block, nor call back.
     * It is called after what it tells of can be read. */
    int (*subscribe)(void *ctx, const struct api_interest *interest, void (*wake)(void *wake_ctx),
                     void *wake_ctx, struct api_subscription **out, struct hm_error *error);
    void (*unsubscribe)(void *ctx, struct api_subscription *subscription); /* NULL is fine */

    /* audit and backup */
    int (*genesis_bytes)(void *ctx, struct hm_arena *arena, struct hm_slice *out,
                         struct hm_error *error);
    int (*block_bytes)(void *ctx, uint64_t height, struct hm_arena *arena, struct hm_slice *block,
                       Hypermesh__BlockRecord **record, struct hm_error *error);
    /* Writes an encrypted backup to path (absolute, must not exist) and returns when it is durable. */
    int (*backup_create)(void *ctx, const char *path, struct hm_slice passphrase,
                         struct hm_arena *arena, struct api_backup *out, struct hm_error *error);

    /* this machine */
    int (*scan)(void *ctx, struct hm_arena *arena, struct api_scan_item **out, size_t *count,
                const char *const **notes, size_t *note_count, struct hm_error *error);
    int (*doctor)(void *ctx, struct hm_arena *arena, struct api_check **out, size_t *count,
                  struct hm_error *error);

    /* jobs */
    int (*job_create)(void *ctx, const Hypermesh__JobSpec *spec, const char *account,
                      struct hm_arena *arena, Hypermesh__JobRecord **out, struct hm_error *error);
    int (*jobs)(void *ctx, const char *after, size_t limit, struct hm_arena *arena,
                Hypermesh__JobRecord ***out, size_t *count,
                struct hm_error *error); /* newest first */
    int (*job)(void *ctx, const char *id, struct hm_arena *arena, Hypermesh__JobRecord **out,
               struct hm_error *error); /* id, or "latest" */
    int (*job_cancel)(void *ctx, const char *id, struct hm_error *error); /* returns at once */
    /* Blocks until the record's state or log grew past what the caller saw, or timeout. */
    int (*job_wait)(void *ctx, const char *id, Hypermesh__JobState seen_state,
                    uint64_t seen_log_bytes, unsigned timeout_ms, struct hm_error *error);
    int (*job_log)(void *ctx, const char *id, struct hm_arena *arena, struct api_log *out,
                   struct hm_error *error);

    /* images */
    int (*images)(void *ctx, struct hm_arena *arena, struct api_image **out, size_t *count,
                  struct hm_error *error);
    int (*image_import)(void *ctx, const char *path, const char *name, struct hm_arena *arena,
                        struct api_image *out, struct hm_error *error);
    int (*image_build_base)(void *ctx, struct hm_arena *arena, struct api_image *out,
                            struct hm_error *error);
    int (*image_remove)(void *ctx, const char *name, struct hm_error *error);

    /* Answers kept by their Idempotency-Key, across restarts. NULL: the server keeps them in memory only.
     * get: HM_ENOTFOUND when there is none. put replaces, and is durable when it returns; an empty record
     * removes. What has expired is forgotten, and beyond API_IDEMPOTENCY_ENTRIES_MAX records or
     * API_IDEMPOTENCY_BYTES_MAX the oldest. */
    int (*idempotency_get)(void *ctx, const uint8_t key[32], struct hm_arena *arena,
                           struct hm_slice *out, struct hm_error *error);
    int (*idempotency_put)(void *ctx, const uint8_t key[32], uint64_t expires_ms,
                           struct hm_slice record, struct hm_error *error);
};
#define API_ASK_AHEAD               2 /* blocks beyond the newest */
#define API_IDEMPOTENCY_KEEP_MS     UINT64_C(86400000) /* since the request */
#define API_IDEMPOTENCY_ENTRIES_MAX 16384
#define API_IDEMPOTENCY_BYTES_MAX   ((size_t)64 << 20)
#define API_IDEMPOTENCY_ANSWER_MAX_BYTES \
    ((size_t)64 << 10) /* of one; a longer one is not repeated */

/* --- the server ------------------------------------------------------------------------------- */
struct api_options {
    const struct api_backend *backend;
    const char *socket_path; /* unix socket, mode 0600; only this uid and root get in */
    const char *listen; /* "127.0.0.1:7470", "[::1]:0"; loopback only; "" : no TCP */
    const char *token_path; /* bearer token made here (0600) when missing */
    bool
        open_proofs; /* GET /light/... and GET /state/... need no token: for those who check without a node */
    unsigned connections; /* at once and by each way in; 0: API_CONNECTIONS_MAX. Fewer where the
                             process may not have so many descriptors. */
    unsigned threads; /* that poll the connections of each way in; 0: one a processor, up to 8 */
    unsigned rate_per_s; /* requests of one principal a second; 0: 400,000 */
    /* A loopback address for programs written for etcd: no token, only /v3/, /version and /health.
     * NULL or "": none. Whoever is on this machine acts there as kv_account (NULL:
     * API_ACCOUNT_DEFAULT). */
    const char *kv_listen;
    const char *kv_account;
    const struct hm_clock *clock;
    const struct hm_random *random;
};
#define API_CONNECTIONS_MAX 10240
#define API_ACCOUNT_DEFAULT "user" /* whose jobs and leases they are when a request names nobody */
#define API_BODY_MAX_BYTES  ((size_t)2 << 20) /* etcd's requests have at most 1.5 MiB */
#define API_URL_MAX_BYTES   2048
#define API_PAGE_DEFAULT    100
#define API_PAGE_MAX        1000

struct api_server;
/* HM_EBUSY names the address in use and how to choose another. */
int api_server_open(const struct api_options *options, struct api_server **out,
                    struct hm_error *error);
/* The TCP address really bound ("127.0.0.1:40123"), or "". */
const char *api_server_listen(const struct api_server *server);
/* The same of kv_listen. */
const char *api_server_kv_listen(const struct api_server *server);
/* Stops accepting, ends streams, waits for requests under way. NULL is fine. */
void api_server_close(struct api_server *server);

#endif
