/* A single node's ledger becomes the first state of a cluster. In three parts, so that a kill between any two of them leaves a
 * node that works: the validator's key is made; the node, still alone, declares it (one operation as any other); and when
 * the node has stopped, the engine's folder is put beside the ledger. */
#include <stdio.h>
#include <unistd.h>

#include "node_idle.h"

/* --- the key -------------------------------------------------------------------------------------------- */

/* The key in the folder, or a new one. */
static int node_promote_load_key(const char *folder, const char *name,
                                 const struct hm_random *random, engine_key_pack *pack,
                                 struct crypto_ed25519_key *out, struct hm_error *error)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/%s", folder, name);
    uint8_t seed[CRYPTO_SEED_BYTES];
    int rc = path != NULL ? engine_key_load(folder, name, out, error)
                          : hm_fail(error, HM_ENOMEM, "no memory for a key");

    if (rc != HM_ENOTFOUND)
        return rc;
    if (random->fill(random->ctx, seed, sizeof(seed)) != 0)
        return hm_fail(error, HM_EIO, "no random bytes for a key");
    crypto_ed25519_from_seed(out, seed);
    hm_wipe(seed, sizeof(seed));
    return engine_key_write(path, out, pack, error);
}

/* Before there is a key there is a record of what it signed: nothing. A key that has lost its record is not taken. */
static int node_promote_record(const char *folder, struct hm_error *error)
{
    HM_AUTOFREE char *record = hm_asprintf("%s/" ENGINE_VALIDATOR_STATE_NAME, folder);
    HM_AUTOFREE char *key = hm_asprintf("%s/" ENGINE_VALIDATOR_KEY_NAME, folder);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};

    if (record == NULL || key == NULL || engine_validator_state_pack(&text) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a validator's record");
    if (access(record, F_OK) == 0)
        return 0;
    if (access(key, F_OK) == 0)
        return hm_fail(error, HM_ECONFLICT,
                       "%s is missing, the record of what the key beside it has signed: bring it "
                       "back, or remove the key",
                       record);
    return hm_file_replace(record, text.data, text.len, 0600, error);
}

static int node_promote_names(const char *chain_id, const uint8_t operator_id[WIRE_ID_BYTES],
                              const struct crypto_ed25519_key *node,
                              const struct crypto_ed25519_key *validator,
                              struct node_cluster_member *out, struct hm_error *error)
{
    uint8_t chain_hash[CRYPTO_HASH_BYTES], digest[CRYPTO_HASH_BYTES];
    int rc = engine_config_node_id(node->public_key, out->node_id, error);

    if (rc == 0)
        rc = engine_config_address(validator->public_key, out->address, error);
    if (rc != 0)
        return rc;
    memcpy(out->account, operator_id, WIRE_ID_BYTES);
    memcpy(out->key, validator->public_key, sizeof(out->key));
    crypto_hash(chain_id, strlen(chain_id), chain_hash);
    ledger_validator_digest(chain_hash, operator_id, digest);
    crypto_ed25519_sign(validator, digest, sizeof(digest), out->proof);
    return 0;
}

int node_engine_check(const char *engine_path, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    char version[ENGINE_PROCESS_VERSION_BYTES];
    const char *program = NULL;
    int rc;

    hm_arena_init(&arena, 0);
    rc = engine_process_find(engine_path, &arena, &program, error);
    return rc != 0 ? rc : engine_process_check(program, version, error);
}

static int node_promote_keys(const char *folder, const struct hm_random *random,
                             struct crypto_ed25519_key *node, struct crypto_ed25519_key *validator,
                             struct hm_error *error)
{
    int rc = hm_mkdir_all(folder, 0700, error);

    if (rc == 0)
        rc = node_promote_record(folder, error);
    if (rc == 0)
        rc = node_promote_load_key(folder, ENGINE_VALIDATOR_KEY_NAME, random,
                                   engine_validator_key_pack, validator, error);
    return rc != 0 ? rc
                   : node_promote_load_key(folder, ENGINE_NODE_KEY_NAME, random,
                                           engine_node_key_pack, node, error);
}

int node_promote_make_keys(const char *data_dir, const struct hm_random *random,
                           struct hm_error *error)
{
    HM_AUTOFREE char *folder = hm_asprintf("%s/validator", data_dir);
    struct crypto_ed25519_key node = {.public_key = {0}}, validator = {.public_key = {0}};
    int rc = folder != NULL ? node_promote_keys(folder, random, &node, &validator, error)
                            : hm_fail(error, HM_ENOMEM, "no memory for a validator's key");

    crypto_ed25519_wipe(&node);
    crypto_ed25519_wipe(&validator);
    return rc;
}

int node_promote_key(const char *data_dir, const char *engine_path, const char *chain_id,
                     const char *operator_text, const struct hm_random *random,
                     struct node_cluster_member *out, struct hm_error *error)
{
    HM_AUTOFREE char *folder = hm_asprintf("%s/validator", data_dir);
    struct crypto_ed25519_key node = {.public_key = {0}}, validator = {.public_key = {0}};
    struct node_cluster_member member = {.name = "node0"};
    uint8_t operator_id[WIRE_ID_BYTES];
    int rc = folder != NULL ? crypto_setup(error)
                            : hm_fail(error, HM_ENOMEM, "no memory for a validator's key");

    if (rc == 0)
        rc = wire_account_parse(operator_text, operator_id, error);
    if (rc == 0)
        rc = node_engine_check(engine_path, error);
    if (rc == 0)
        rc = node_promote_keys(folder, random, &node, &validator, error);
    if (rc == 0)
        rc = node_promote_names(chain_id, operator_id, &node, &validator, &member, error);
    crypto_ed25519_wipe(&node);
    crypto_ed25519_wipe(&validator);
    if (rc == 0)
        *out = member;
    return rc;
}

/* --- the engine's folder ---------------------------------------------------------------------------------- */

static int node_promote_own_key(const struct node_idle *idle,
                                uint8_t out[CRYPTO_ED25519_PUBLIC_BYTES], struct hm_error *error)
{
    char folder[NODE_PATH_MAX_BYTES];
    struct crypto_ed25519_key key;
    int rc = node_idle_path(idle, "validator", folder, error);

    if (rc == 0)
        rc = engine_key_load(folder, ENGINE_VALIDATOR_KEY_NAME, &key, error);
    if (rc != 0)
        return rc;
    memcpy(out, key.public_key, CRYPTO_ED25519_PUBLIC_BYTES);
    crypto_ed25519_wipe(&key);
    return 0;
}

/* The ledger's validators as the engine's genesis lists them. This node alone must be able to make the first blocks. */
static int node_promote_validators(const struct node_idle *idle, struct hm_arena *arena,
                                   struct engine_genesis *genesis, struct hm_error *error)
{
    uint8_t own[CRYPTO_ED25519_PUBLIC_BYTES];
    struct engine_genesis_validator *list;
    struct ledger_validator_update *set;
    Hypermesh__Params *params;
    struct ledger_view *view;
    uint64_t power = 0, all = 0;
    size_t count;
    int rc = node_promote_own_key(idle, own, error);

    if (rc == 0)
        rc = ledger_view_open(idle->ledger, &view, error);
    if (rc != 0)
        return rc;
    rc = ledger_view_engine_set(view, arena, &set, &count, error);
    if (rc == 0)
        rc = ledger_view_params(view, arena, &params, error);
    ledger_view_close(view);
    if (rc != 0)
        return rc;
    genesis->evidence_max_age_ms = ledger_evidence_age_ms(params);
    list = hm_arena_alloc(arena, (count + 1) * sizeof(*list));
    if (list == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the validators");
    for (size_t i = 0; i < count; i++) {
        memcpy(list[i].key, set[i].key, sizeof(list[i].key));
        list[i].power = (int64_t)set[i].power;
        all += set[i].power;
        if (memcmp(own, set[i].key, sizeof(own)) == 0)
            power = set[i].power;
    }
    if (power == 0)
        return hm_fail(error, HM_ECONFLICT,
                       "this node's validator is not declared on its ledger: nexus node promote "
                       "does that while the node runs");
    if (3 * power <= 2 * all)
        return hm_fail(
            error, HM_ECONFLICT,
            "other validators are declared on this ledger, and this node has %llu of %llu "
            "units of power: with two thirds or less it could make no block",
            (unsigned long long)power, (unsigned long long)all);
    genesis->validators = list;
    genesis->validator_count = count;
    return 0;
}

/* May it be? A ledger that an engine has ordered already has lost its engine's folder. */
static int node_promote_may(const struct node_idle *idle, struct hm_error *error)
{
    char path[NODE_PATH_MAX_BYTES];
    uint64_t era = 0;
    int rc = node_idle_path(idle, "engine/config/genesis.json", path, error);

    if (rc == 0 && access(path, F_OK) == 0)
        return hm_fail(error, HM_EEXIST, "%s is a cluster's node already: %s is there",
                       idle->data_dir, path);
    if (rc == 0)
        rc = ledger_era(idle->ledger, &era, error);
    if (rc == 0 && era > 0 && idle->info.height >= era)
        rc = hm_fail(error, HM_ECONFLICT,
                     "the blocks of %s from %llu on are a cluster's: its folder engine is missing, "
                     "and is brought back from where it went",
                     idle->data_dir, (unsigned long long)era);
    return rc;
}

static int node_promote_put(struct node_idle *idle, const struct hm_clock *clock,
                            struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf state = {0};
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct engine_genesis genesis = {.chain_id = idle->info.chain_id,
                                     .time_ms = hm_wall_ms(clock) - ENGINE_GENESIS_AGE_MS,
                                     .initial_height = idle->info.height + 1,
                                     .has_app_hash = true};
    int rc = node_promote_may(idle, error);

    hm_arena_init(&arena, 0);
    memcpy(genesis.app_hash, idle->info.state_root, sizeof(genesis.app_hash));
    if (rc == 0)
        rc = node_promote_validators(idle, &arena, &genesis, error);
    if (rc == 0)
        rc = engine_cometbft_app_state(idle->ledger, &state, error);
    genesis.app_state = hm_buf_slice(&state);
    if (rc == 0)
        rc = engine_genesis_pack(&genesis, &text, error);
    return rc != 0 ? rc : node_era_put(idle->data_dir, hm_buf_slice(&text), NULL, 0, true, error);
}

int node_promote(const char *data_dir, const struct hm_clock *clock, struct node_promote_facts *out,
                 struct hm_error *error)
{
    HM_CLEANUP(node_idle) struct node_idle idle = {.store = NULL};
    int rc = node_idle_open(data_dir, &idle, error);

    if (rc == 0)
        rc = node_promote_put(&idle, clock, error);
    if (rc != 0)
        return rc;
    snprintf(out->chain_id, sizeof(out->chain_id), "%s", idle.info.chain_id);
    out->height = idle.info.height;
    memcpy(out->state_root, idle.info.state_root, sizeof(out->state_root));
    return 0;
}
