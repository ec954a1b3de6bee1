/* The folders of a cluster's first nodes: keys for each, one genesis for all. No node runs yet. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node_private.h"

/* What one of them brings to the genesis. */
struct node_cluster_keys {
    struct crypto_ed25519_key node, validator;
    uint8_t user[WIRE_ID_BYTES], operator_id[WIRE_ID_BYTES];
};

struct node_cluster_plan {
    const char *folder;
    const struct hm_random *random;
    struct node_cluster *cluster;
    const uint64_t *vdf_blocks; /* NULL: the default */
    struct node_cluster_keys keys[NODE_CLUSTER_MAX];
    struct hm_buf genesis;
};

static void node_cluster_plan_release(struct node_cluster_plan *plan)
{
    hm_wipe(plan->keys, sizeof(plan->keys));
    hm_buf_release(&plan->genesis);
}

static int node_cluster_new_key(const struct hm_random *random, struct crypto_ed25519_key *out,
                                struct hm_error *error)
{
    uint8_t seed[CRYPTO_SEED_BYTES];
    int rc = random->fill(random->ctx, seed, sizeof(seed));

    if (rc == 0)
        crypto_ed25519_from_seed(out, seed);
    hm_wipe(seed, sizeof(seed));
    return rc != 0 ? hm_fail(error, HM_EIO, "no random bytes for a key") : 0;
}

static int node_cluster_new_accounts(const char *path, const struct hm_random *random,
                                     struct node_cluster_keys *keys, struct hm_error *error)
{
    struct trust_keystore *keystore;
    struct trust_entry entry;
    int rc = trust_keystore_open(path, NULL, random, &keystore, error);

    if (rc != 0)
        return rc;
    rc = trust_identity_create(keystore, NODE_OPERATOR, &entry, error);
    if (rc == 0)
        memcpy(keys->operator_id, entry.account, WIRE_ID_BYTES);
    if (rc == 0)
        rc = trust_identity_create(keystore, NODE_USER, &entry, error);
    if (rc == 0)
        memcpy(keys->user, entry.account, WIRE_ID_BYTES);
    trust_keystore_close(keystore);
    return rc;
}

static int node_cluster_new_keys(const char *folder, const struct hm_random *random,
                                 struct node_cluster_keys *keys, struct node_cluster_member *member,
                                 struct hm_error *error)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/keys", folder);
    int rc;

    if (path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a cluster");
    rc = hm_mkdir_all(folder, 0700, error);
    if (rc == 0)
        rc = node_cluster_new_accounts(path, random, keys, error);
    if (rc == 0)
        rc = node_cluster_new_key(random, &keys->node, error);
    if (rc == 0)
        rc = node_cluster_new_key(random, &keys->validator, error);
    if (rc == 0)
        rc = engine_config_node_id(keys->node.public_key, member->node_id, error);
    if (rc == 0)
        rc = engine_config_address(keys->validator.public_key, member->address, error);
    memcpy(member->account, keys->operator_id, WIRE_ID_BYTES);
    memcpy(member->user, keys->user, WIRE_ID_BYTES);
    memcpy(member->key, keys->validator.public_key, sizeof(member->key));
    return rc;
}

/* Only now the key is at hand. */
static void node_cluster_prove(const char *chain_id, const struct node_cluster_keys *keys,
                               struct node_cluster_member *member)
{
    join_prove_key(chain_id, &keys->validator, member->account, member->proof);
}

static int node_cluster_new_member(struct node_cluster_plan *plan, size_t at,
                                   struct hm_error *error)
{
    HM_AUTOFREE char *folder = hm_asprintf("%s/node%zu", plan->folder, at);
    struct node_cluster_member *member = &plan->cluster->members[at];

    if (folder == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a cluster");
    snprintf(member->name, sizeof(member->name), "node%zu", at);
    int rc = node_cluster_new_keys(folder, plan->random, &plan->keys[at], member, error);
    if (rc == 0)
        node_cluster_prove(plan->cluster->chain_id, &plan->keys[at], member);
    return rc;
}

/* Both genesis: the ledger's, and around it the engine's. */
static int node_cluster_new_genesis(struct node_cluster_plan *plan, uint64_t plot_bytes,
                                    uint64_t now_ms, struct hm_error *error)
{
    struct engine_genesis_validator validators[NODE_CLUSTER_MAX];
    uint8_t users[NODE_CLUSTER_MAX][WIRE_ID_BYTES], operators[NODE_CLUSTER_MAX][WIRE_ID_BYTES];
    uint8_t keys[NODE_CLUSTER_MAX][CRYPTO_ED25519_PUBLIC_BYTES];
    const struct node_cluster *cluster = plan->cluster;
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    uint64_t bond, power;
    const struct node_genesis_plan ledger = {
        .chain_id = cluster->chain_id,
        .time_ms = now_ms - ENGINE_GENESIS_AGE_MS,
        .plot_labels = node_plot_labels_of(plot_bytes),
        .users = (const uint8_t(*)[WIRE_ID_BYTES])users,
        .operators = (const uint8_t(*)[WIRE_ID_BYTES])operators,
        .validators = (const uint8_t(*)[CRYPTO_ED25519_PUBLIC_BYTES])keys,
        .nodes = cluster->count,
        .vdf_blocks = plan->vdf_blocks};

    node_genesis_stake(&bond, &power);
    for (size_t i = 0; i < cluster->count; i++) {
        validators[i] = (struct engine_genesis_validator){.power = (int64_t)power,
                                                          .name = cluster->members[i].name};
        memcpy(validators[i].key, plan->keys[i].validator.public_key, sizeof(validators[i].key));
        memcpy(keys[i], validators[i].key, sizeof(keys[i]));
        memcpy(users[i], plan->keys[i].user, WIRE_ID_BYTES);
        memcpy(operators[i], plan->keys[i].operator_id, WIRE_ID_BYTES);
    }
    int rc = node_genesis_pack(&ledger, &packed, error);
    if (rc != 0)
        return rc;
    const struct engine_genesis genesis = {.chain_id = cluster->chain_id,
                                           .time_ms = ledger.time_ms,
                                           .initial_height = 1,
                                           .validators = validators,
                                           .validator_count = cluster->count,
                                           .app_state = hm_buf_slice(&packed),
                                           .evidence_max_age_ms = node_genesis_evidence_age()};
    return engine_genesis_pack(&genesis, &plan->genesis, error);
}

/* The daemon writes config.toml anew at each start, when it knows who its peers are; what is here only has to be complete. */
static int node_cluster_write(const char *folder, const char *name, struct hm_slice genesis,
                              const struct node_cluster_keys *own, struct hm_error *error)
{
    HM_AUTOFREE char *home = hm_asprintf("%s/engine", folder);
    HM_AUTOFREE char *keys_dir = hm_asprintf("%s/validator", folder);
    HM_AUTOFREE char *abci = hm_asprintf("%s/bft.sock", folder);
    HM_AUTOFREE char *rpc = hm_asprintf("%s/rpc.sock", folder);
    const struct engine_config config = {.name = name,
                                         .abci_socket = abci,
                                         .rpc_socket = rpc,
                                         .p2p_listen = "127.0.0.1:0",
                                         .keys_dir = keys_dir};
    const struct engine_config_keys keys = {.node = &own->node, .validator = &own->validator};

    if (home == NULL || keys_dir == NULL || abci == NULL || rpc == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a cluster");
    return engine_config_write(home, &config, genesis, &keys, error);
}

static int node_cluster_write_member(struct node_cluster_plan *plan, size_t at,
                                     struct hm_error *error)
{
    HM_AUTOFREE char *folder = hm_asprintf("%s/node%zu", plan->folder, at);

    return folder == NULL
               ? hm_fail(error, HM_ENOMEM, "no memory for a cluster")
               : node_cluster_write(folder, plan->cluster->members[at].name,
                                    hm_buf_slice(&plan->genesis), &plan->keys[at], error);
}

static int node_cluster_must_be_free(const char *folder, size_t count, struct hm_error *error)
{
    for (size_t i = 0; i < count; i++) {
        HM_AUTOFREE char *path = hm_asprintf("%s/node%zu", folder, i);
        struct stat info;

        if (path == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory for a cluster");
        if (lstat(path, &info) == 0)
            return hm_fail(error, HM_EEXIST, "%s is there already: give an empty folder", path);
    }
    return 0;
}

static void node_cluster_take_back(const char *folder, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        HM_AUTOFREE char *path = hm_asprintf("%s/node%zu", folder, i);

        if (path != NULL)
            hm_remove_tree(path, NULL);
    }
}

static int node_cluster_make(struct node_cluster_plan *plan, uint64_t plot_bytes, uint64_t now_ms,
                             struct hm_error *error)
{
    struct node_cluster *cluster = plan->cluster;
    char chain_id[32];
    int rc = node_genesis_name(plan->random, chain_id, error);

    memcpy(cluster->chain_id, chain_id, sizeof(chain_id));
    for (size_t i = 0; rc == 0 && i < cluster->count; i++)
        rc = node_cluster_new_member(plan, i, error);
    if (rc == 0)
        rc = node_cluster_new_genesis(plan, plot_bytes, now_ms, error);
    for (size_t i = 0; rc == 0 && i < cluster->count; i++)
        rc = node_cluster_write_member(plan, i, error);
    return rc;
}

int node_cluster_create(const char *folder, size_t count, uint64_t plot_bytes,
                        const uint64_t *vdf_blocks, const struct hm_clock *clock,
                        const struct hm_random *random, struct node_cluster *out,
                        struct hm_error *error)
{
    struct node_cluster cluster = {.count = count};
    HM_CLEANUP(node_cluster_plan)
    struct node_cluster_plan plan = {
        .folder = folder, .random = random, .cluster = &cluster, .vdf_blocks = vdf_blocks};
    int rc;

    if (count < 1 || count > NODE_CLUSTER_MAX)
        return hm_fail(error, HM_ERANGE, "a cluster begins with 1 to %d nodes, not %zu",
                       NODE_CLUSTER_MAX, count);
    if (folder[0] != '/')
        return hm_fail(error, HM_EINVAL, "the cluster's folder '%.200s' is not an absolute path",
                       folder);
    rc = crypto_setup(error);
    if (rc == 0)
        rc = node_cluster_must_be_free(folder, count, error);
    if (rc == 0)
        rc = hm_mkdir_all(folder, 0700, error);
    if (rc != 0)
        return rc;
    rc = node_cluster_make(&plan, plot_bytes ? plot_bytes : NODE_PLOT_BYTES_DEFAULT,
                           hm_wall_ms(clock), error);
    if (rc != 0) {
        node_cluster_take_back(folder, count);
        return rc;
    }
    *out = cluster;
    return 0;
}

/* --- a further one ---------------------------------------------------------------------------------------- */

static int node_cluster_add_keys(const char *data_dir, const char *chain_id,
                                 struct hm_slice genesis, const struct hm_random *random,
                                 struct node_cluster_member *out, struct hm_error *error)
{
    struct node_cluster_keys keys;
    int rc = node_cluster_new_keys(data_dir, random, &keys, out, error);

    if (rc == 0)
        rc = node_cluster_write(data_dir, "hypermesh", genesis, &keys, error);
    if (rc == 0)
        node_cluster_prove(chain_id, &keys, out);
    hm_wipe(&keys, sizeof(keys));
    return rc;
}

/* A chain that goes on from an older ledger has no blocks before its first one that could be given. */
static int node_cluster_add_may(const struct engine_genesis *genesis, bool synced,
                                struct hm_error *error)
{
    if (synced || genesis->initial_height <= 1)
        return 0;
    return hm_fail(error, HM_ECONFLICT,
                   "this cluster goes on from block %llu of an older ledger: a new node can only "
                   "begin with a snapshot of it (--state-sync; nexus cluster add --snapshot)",
                   (unsigned long long)genesis->initial_height - 1);
}

static int node_cluster_add_any(const char *data_dir, const char *genesis_path, bool synced,
                                const struct hm_random *random, struct node_cluster_member *out,
                                struct hm_error *error)
{
    struct node_cluster_member member = {.name = ""};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct engine_genesis genesis;
    int rc;

    hm_arena_init(&arena, 0);
    if (data_dir[0] != '/')
        return hm_fail(error, HM_EINVAL, "the node's folder '%.200s' is not an absolute path",
                       data_dir);
    if (rmdir(data_dir) != 0 && errno != ENOENT)
        return hm_fail(error, HM_EEXIST, "%s is there already: give an empty folder", data_dir);
    rc = crypto_setup(error);
    if (rc == 0)
        rc = hm_file_read(genesis_path, ENGINE_GENESIS_MAX_BYTES, &text, error);
    if (rc == 0)
        rc = engine_genesis_read(hm_buf_slice(&text), &arena, &genesis, error);
    if (rc == 0)
        rc = node_cluster_add_may(&genesis, synced, error);
    if (rc != 0)
        return hm_error_prefix(error, rc, "%.200s", genesis_path);
    rc = node_cluster_add_keys(data_dir, genesis.chain_id, hm_buf_slice(&text), random, &member,
                               error);
    if (rc != 0) {
        hm_remove_tree(data_dir, NULL);
        return rc;
    }
    *out = member;
    return 0;
}

int node_cluster_add(const char *data_dir, const char *genesis_path, const struct hm_random *random,
                     struct node_cluster_member *out, struct hm_error *error)
{
    return node_cluster_add_any(data_dir, genesis_path, false, random, out, error);
}

/* --- one that begins with a snapshot ----------------------------------------------------------------------- */

int node_cluster_add_synced(const char *data_dir, const char *genesis_path,
                            const struct node_cluster_sync *sync, const struct hm_random *random,
                            struct node_cluster_member *out, struct hm_error *error)
{
    struct engine_config_sync kept = {.rpc_servers = sync->servers,
                                      .rpc_server_count = sync->server_count,
                                      .trust_height = sync->trust_height};
    HM_AUTOFREE char *home = hm_asprintf("%s/engine", data_dir);
    struct node_cluster_member member;
    int rc = 0;

    if (home == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a cluster");
    memcpy(kept.trust_hash, sync->trust_hash, sizeof(kept.trust_hash));
    if (sync->trust_height == 0)
        rc = engine_sync_ask(sync->servers, sync->server_count, &kept.trust_height, kept.trust_hash,
                             error);
    if (rc == 0)
        rc = node_cluster_add_any(data_dir, genesis_path, true, random, &member, error);
    if (rc != 0)
        return rc;
    rc = engine_sync_write(home, &kept, error);
    if (rc != 0) {
        hm_remove_tree(data_dir, NULL);
        return rc;
    }
    *out = member;
    return 0;
}
