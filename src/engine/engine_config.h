/* What CometBFT v0.38 reads at its start: config.toml, genesis.json, and the three files that hold keys. Public part of
 * this room (engine.h includes it). Bytes are made and read by pure functions; engine_config_write puts them into a
 * folder.
 *
 * Never: starts anything (engine_process.h), makes a key, decides who validates.
 * Start reading with engine_config_write. The formats are those of the engine's config/toml.go, types/genesis.go, p2p/key.go
 * and privval/file.go; it takes a config.toml with a few keys only, and has defaults for the rest. */
#ifndef HM_ENGINE_CONFIG_H
#define HM_ENGINE_CONFIG_H

#include "base.h"
#include "crypto.h"

/* --- names of keys --------------------------------------------------------------------------------------- */
#define ENGINE_ADDRESS_BYTES  20
#define ENGINE_NODE_ID_DIGITS 40
/* The first 20 bytes of SHA-256(public key): a validator's address; in hexadecimal, a node's id. HM_ENOMEM. */
int engine_config_address(const uint8_t public_key[CRYPTO_ED25519_PUBLIC_BYTES],
                          uint8_t out[ENGINE_ADDRESS_BYTES], struct hm_error *error);
int engine_config_node_id(const uint8_t public_key[CRYPTO_ED25519_PUBLIC_BYTES],
                          char out[ENGINE_NODE_ID_DIGITS + 1], struct hm_error *error);

/* --- config.toml ----------------------------------------------------------------------------------------- */
#define ENGINE_PEERS_MAX       256
#define ENGINE_TEXT_MAX_BYTES  1024 /* of a name, an address, a path in the configuration */
#define ENGINE_RPC_SERVERS_MAX 16
#define ENGINE_TX_MAX_BYTES    ((size_t)8 << 20) /* an item of ours: a whole batch */
/* Of the genesis. The engine shows a proposer the first of what waits up to it: many times ENGINE_PROPOSAL_MAX_BYTES, so that what this
 * node leaves out does not hide what it would take. The engine's own limit is 100 MiB. */
#define ENGINE_BLOCK_MAX_BYTES  ((uint64_t)32 << 20)
#define ENGINE_DISCOVERY_MIN_MS UINT64_C(5000)

struct engine_config_peer {
    char node_id[ENGINE_NODE_ID_DIGITS + 1];
    const char *address; /* "127.0.0.1:26656", "[fd00::1]:26656" */
};

struct engine_config_sync { /* state sync: how a new node gets its first state */
    const char *const *rpc_servers; /* two at least; "unix:///PATH" or "http://HOST:PORT" */
    size_t rpc_server_count;
    uint64_t trust_height;
    uint8_t trust_hash[32];
    uint64_t trust_period_ms;
    uint64_t discovery_ms; /* at least ENGINE_DISCOVERY_MIN_MS, or the engine takes longer */
};

/* How long the block that a node's folder was made with is trusted: not longer than a validator who left can be fined. */
#define ENGINE_SYNC_TRUST_MS (UINT64_C(20) * 3600 * 1000)
/* HOME/sync.json: from it the configuration of a node that is to begin with a snapshot is made, at each start (the engine leaves
 * it alone once it has blocks). Servers, height and hash are kept; the times are fixed. HM_EINVAL. */
int engine_sync_write(const char *home, const struct engine_config_sync *sync,
                      struct hm_error *error);
/* Strings in the arena. HM_ENOTFOUND: the node begins with the genesis; HM_EPARSE. read is pure. */
int engine_sync_load(const char *home, struct hm_arena *arena, struct engine_config_sync *out,
                     struct hm_error *error);
int engine_sync_read(struct hm_slice text, struct hm_arena *arena, struct engine_config_sync *out,
                     struct hm_error *error);
/* The newest block that all of these servers have, and its hash, which must be the same at all. For servers that are trusted by
 * themselves (sockets of this machine); HM_EUNSUPPORTED: one that is not "unix:///PATH"; HM_EAUTH; HM_EUNAVAILABLE. */
int engine_sync_ask(const char *const *servers, size_t count, uint64_t *height, uint8_t hash[32],
                    struct hm_error *error);

/* Strings are borrowed. Texts of more than ENGINE_TEXT_MAX_BYTES, with control characters, or that are not UTF-8 are
 * refused; everything else is escaped. */
struct engine_config {
    const char *name; /* by which its log calls it */
    const char *abci_socket; /* absolute; where abci_server_open listens */
    const char *rpc_socket; /* absolute; where the engine's RPC is to listen */
    const char *p2p_listen; /* "ADDRESS:PORT" */
    const char *p2p_external; /* as others reach it; NULL: p2p_listen */
    const struct engine_config_peer *peers; /* connected to always */
    size_t peer_count;
    const char *metrics_listen; /* "127.0.0.1:PORT"; NULL: no metrics */
    const char *keys_dir; /* absolute folder of the three key files; apart from what may be wiped */
    const struct engine_config_sync *sync; /* NULL: from the genesis on */
    const char *log_level; /* the engine's own form; NULL: ENGINE_CONFIG_LOG_LEVEL */
};
#define ENGINE_CONFIG_PROPOSE_MS UINT64_C(1000) /* a first round waits so long for a proposal */
/* What happens to every block is told by our own log; the engine's says what goes wrong. */
#define ENGINE_CONFIG_LOG_LEVEL "main:info,*:error"

/* Appends the text. HM_EINVAL, HM_ELIMIT name the member. */
int engine_config_toml(const struct engine_config *config, struct hm_buf *out,
                       struct hm_error *error);

/* --- genesis.json ---------------------------------------------------------------------------------------- */
#define ENGINE_CHAIN_ID_MAX_BYTES   50
#define ENGINE_VALIDATORS_MAX       10000
#define ENGINE_POWER_TOTAL_MAX      (INT64_MAX / 8)
#define ENGINE_GENESIS_MAX_BYTES    ((size_t)16 << 20)
#define ENGINE_VALIDATOR_NAME_BYTES 64
/* A genesis that lies in the future keeps the engine asleep until then, on every machine whose clock is behind: so it is
 * written into the past by this. */
#define ENGINE_GENESIS_AGE_MS UINT64_C(60000)

struct engine_genesis_validator {
    uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES];
    int64_t power; /* > 0 */
    const char *name; /* printable ASCII; NULL: none */
};

struct engine_genesis {
    const char *chain_id;
    uint64_t time_ms;
    uint64_t
        initial_height; /* of the engine's first block; 1, or the height after a ledger that was one node's */
    const struct engine_genesis_validator *validators;
    size_t validator_count;
    uint8_t app_hash[32];
    bool has_app_hash; /* a ledger that was there before: its state root */
    struct hm_slice app_state; /* handed to init_chain, as a JSON string of base64; may be empty */
    uint64_t extensions_height; /* vote extensions from here on; 0: initial_height + 1 */
    uint64_t block_max_bytes; /* 0: ENGINE_BLOCK_MAX_BYTES */
    uint64_t evidence_max_age_ms; /* 0: 20 hours; must be less than bonds stay bound */
};

/* Appends the text; the same input gives the same bytes. Checked as engine_genesis_read does. */
int engine_genesis_pack(const struct engine_genesis *genesis, struct hm_buf *out,
                        struct hm_error *error);
/* Reads a genesis that may be another's. Everything lies in the arena. HM_EPARSE: not a genesis; HM_EINVAL: one that the
 * engine would not take, or with which no chain can go on (no validators, a key twice, a power of 0); HM_ELIMIT. Pure. */
int engine_genesis_read(struct hm_slice json, struct hm_arena *arena, struct engine_genesis *out,
                        struct hm_error *error);
/* As read, of a file; errors name it. HM_ENOTFOUND. */
int engine_genesis_load(const char *path, struct hm_arena *arena, struct engine_genesis *out,
                        struct hm_error *error);
/* Is it the one for this ledger? HM_ECONFLICT says what differs; HM_EINVAL: its time has not come yet. */
struct engine_genesis_wanted {
    const char *chain_id;
    uint64_t initial_height;
    uint64_t now_ms;
    const uint8_t *validator; /* key that must be among the validators; NULL: any */
};
int engine_genesis_check(const struct engine_genesis *genesis,
                         const struct engine_genesis_wanted *wanted, struct hm_error *error);

/* HOME/config/, a line as sha256sum writes it: the hash of the genesis.json that the ledger beside it began with. */
#define ENGINE_GENESIS_PIN_NAME "genesis.sha256"
/* Is HOME/config/genesis.json still that one? fresh: there is no ledger yet, so that from now on it is; also where none was
 * written down. HM_ECONFLICT: it is another one; HM_ENOTFOUND: there is no genesis.json; HM_ECORRUPT. */
int engine_genesis_pin(const char *home, bool fresh, struct hm_error *error);

/* --- keys ------------------------------------------------------------------------------------------------ */
#define ENGINE_NODE_KEY_NAME        "node_key.json"
#define ENGINE_VALIDATOR_KEY_NAME   "priv_validator_key.json"
#define ENGINE_VALIDATOR_STATE_NAME "priv_validator_state.json"
#define ENGINE_KEY_MAX_BYTES        4096

/* Append secrets: the caller wipes. HM_ENOMEM. */
typedef int engine_key_pack(const struct crypto_ed25519_key *key, struct hm_buf *out,
                            struct hm_error *error);
int engine_node_key_pack(const struct crypto_ed25519_key *key, struct hm_buf *out,
                         struct hm_error *error);
int engine_validator_key_pack(const struct crypto_ed25519_key *key, struct hm_buf *out,
                              struct hm_error *error);
/* Writes a key file (0600) in the place of what was there; no copy of the secret stays in memory. */
int engine_key_write(const char *path, const struct crypto_ed25519_key *key, engine_key_pack *pack,
                     struct hm_error *error);
/* Of a validator that has signed nothing yet. */
int engine_validator_state_pack(struct hm_buf *out);
/* Is the file such a record, as the engine takes it? HM_ECORRUPT says what to do; HM_ENOTFOUND, HM_EIO. Changes nothing. */
int engine_validator_state_check(const char *path, struct hm_error *error);
/* Either key file. HM_EPARSE; HM_ECORRUPT: its public half is not its secret's. Pure. */
int engine_key_read(struct hm_slice json, struct crypto_ed25519_key *out, struct hm_error *error);
/* As read, of a file; "" NAME_KEY in a folder. HM_ENOTFOUND, HM_EPERM: others may read it. */
int engine_key_load(const char *keys_dir, const char *name, struct crypto_ed25519_key *out,
                    struct hm_error *error);

/* --- the folders ----------------------------------------------------------------------------------------- */
struct engine_config_keys {
    const struct crypto_ed25519_key *node;
    const struct crypto_ed25519_key *validator;
    /* The record of what was signed is lost and may begin anew. A validator whose record is gone can sign a second block
     * of one height, which costs its bond: only for one that is known to have stopped long before. */
    bool may_lose_record;
};

/* Makes HOME (0700) with HOME/config and HOME/data, and config->keys_dir (0700), and writes into them (0600). config.toml
 * is written each time; the rest only where it is missing. genesis and keys may be NULL: what is there stays.
 * HM_ECONFLICT, and nothing is changed: another genesis or other keys are there, or the validator's key without the record of
 * what it signed; HM_ECORRUPT: that record is damaged. */
int engine_config_write(const char *home, const struct engine_config *config,
                        struct hm_slice genesis, const struct engine_config_keys *keys,
                        struct hm_error *error);

#endif
