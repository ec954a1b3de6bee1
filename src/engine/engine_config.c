/* config.toml, and the folders it lies in. */
#include "engine_config.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

/* --- writing TOML ---------------------------------------------------------------------------------------- */

/* The first failure stays; later lines are left out. */
struct toml {
    struct hm_buf *out;
    struct hm_error *error;
    int rc;
};

static void toml_raw(struct toml *toml, const char *text)
{
    if (toml->rc == 0 && hm_buf_append_str(toml->out, text) != 0)
        toml->rc = hm_fail(toml->error, HM_ENOMEM, "no memory for the engine's configuration");
}

static bool toml_text_is_plain(const char *text)
{
    if (!hm_utf8_valid(text, strlen(text)))
        return false;
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7F)
            return false;
    return true;
}

static void toml_quoted(struct toml *toml, const char *member, const char *text)
{
    if (toml->rc != 0)
        return;
    if (strlen(text) > ENGINE_TEXT_MAX_BYTES)
        toml->rc = hm_fail(toml->error, HM_ELIMIT,
                           "the engine's %s has %zu bytes, at most %d are taken", member,
                           strlen(text), ENGINE_TEXT_MAX_BYTES);
    else if (!toml_text_is_plain(text))
        toml->rc = hm_fail(toml->error, HM_EINVAL,
                           "the engine's %s holds control characters or is not UTF-8", member);
    for (; toml->rc == 0 && *text != '\0'; text++) {
        const char escaped[] = {'\\', *text, '\0'};

        toml_raw(toml, *text == '"' || *text == '\\' ? escaped : &escaped[1]);
    }
}

static void toml_text(struct toml *toml, const char *key, const char *before, const char *text)
{
    toml_raw(toml, key);
    toml_raw(toml, " = \"");
    toml_raw(toml, before);
    toml_quoted(toml, key, text);
    toml_raw(toml, "\"\n");
}

static void toml_number(struct toml *toml, const char *key, uint64_t value)
{
    char line[64];

    snprintf(line, sizeof(line), " = %" PRIu64 "\n", value);
    toml_raw(toml, key);
    toml_raw(toml, line);
}

static void toml_ms(struct toml *toml, const char *key, uint64_t ms)
{
    char line[64];

    snprintf(line, sizeof(line), " = \"%" PRIu64 "ms\"\n", ms);
    toml_raw(toml, key);
    toml_raw(toml, line);
}

static void toml_switch(struct toml *toml, const char *key, bool on)
{
    toml_raw(toml, key);
    toml_raw(toml, on ? " = true\n" : " = false\n");
}

static void toml_fail(struct toml *toml, int code, const char *text)
{
    if (toml->rc == 0)
        toml->rc = hm_fail(toml->error, code, "%s", text);
}

/* A member that must be there, and for a path must be absolute. */
static const char *toml_need(struct toml *toml, const char *member, const char *text, bool path)
{
    if (toml->rc != 0)
        return "";
    if (text == NULL || text[0] == '\0')
        toml->rc = hm_fail(toml->error, HM_EINVAL, "the engine's %s is missing", member);
    else if (path && text[0] != '/')
        toml->rc = hm_fail(toml->error, HM_EINVAL, "the engine's %s '%.200s' is not absolute",
                           member, text);
    return toml->rc == 0 ? text : "";
}

/* --- sections -------------------------------------------------------------------------------------------- */

static void toml_key_file(struct toml *toml, const char *key, const char *dir, const char *name)
{
    toml_raw(toml, key);
    toml_raw(toml, " = \"");
    toml_quoted(toml, "keys_dir", dir);
    toml_raw(toml, "/");
    toml_raw(toml, name);
    toml_raw(toml, "\"\n");
}

static void toml_base(struct toml *toml, const struct engine_config *config)
{
    const char *keys = toml_need(toml, "keys_dir", config->keys_dir, true);

    toml_raw(toml, "# Written anew at each start: changes here are lost.\n");
    toml_text(toml, "proxy_app", "unix://",
              toml_need(toml, "abci_socket", config->abci_socket, true));
    toml_text(toml, "abci", "", "socket");
    toml_text(toml, "moniker", "", toml_need(toml, "name", config->name, false));
    toml_text(toml, "db_backend", "", "goleveldb");
    toml_text(toml, "log_format", "", "json");
    toml_text(toml, "log_level", "",
              config->log_level != NULL ? config->log_level : ENGINE_CONFIG_LOG_LEVEL);
    toml_key_file(toml, "node_key_file", keys, ENGINE_NODE_KEY_NAME);
    toml_key_file(toml, "priv_validator_key_file", keys, ENGINE_VALIDATOR_KEY_NAME);
    toml_key_file(toml, "priv_validator_state_file", keys, ENGINE_VALIDATOR_STATE_NAME);
    toml_raw(toml, "[rpc]\n");
    toml_text(toml, "laddr", "unix://", toml_need(toml, "rpc_socket", config->rpc_socket, true));
    toml_number(toml, "max_body_bytes", UINT64_C(16) << 20);
}

static void toml_peers(struct toml *toml, const struct engine_config *config)
{
    if (config->peer_count > ENGINE_PEERS_MAX)
        toml_fail(toml, HM_ELIMIT, "the engine has more than 256 peers to connect to always");
    toml_raw(toml, "persistent_peers = \"");
    for (size_t i = 0; toml->rc == 0 && i < config->peer_count; i++) {
        const struct engine_config_peer *peer = &config->peers[i];
        uint8_t id[ENGINE_ADDRESS_BYTES];

        if (strlen(peer->node_id) != ENGINE_NODE_ID_DIGITS ||
            hm_hex_decode(peer->node_id, ENGINE_NODE_ID_DIGITS, id, sizeof(id), NULL) != 0)
            toml_fail(toml, HM_EINVAL,
                      "a peer of the engine has a node id that is not 40 hexadecimal digits");
        if (peer->address != NULL && strpbrk(peer->address, ",@ ") != NULL)
            toml_fail(toml, HM_EINVAL,
                      "a peer of the engine has an address with a comma, an @ or a space");
        toml_raw(toml, i > 0 ? "," : "");
        toml_raw(toml, peer->node_id);
        toml_raw(toml, "@");
        toml_quoted(toml, "persistent_peers",
                    toml_need(toml, "peer's address", peer->address, false));
    }
    toml_raw(toml, "\"\n");
}

/* Peers are given, so the engine looks for no others; several may share an address (one machine, one relay). */
static void toml_p2p(struct toml *toml, const struct engine_config *config)
{
    toml_raw(toml, "[p2p]\n");
    toml_text(toml, "laddr", "tcp://", toml_need(toml, "p2p_listen", config->p2p_listen, false));
    if (config->p2p_external != NULL)
        toml_text(toml, "external_address", "", config->p2p_external);
    toml_peers(toml, config);
    toml_text(toml, "persistent_peers_max_dial_period", "", "5s");
    toml_switch(toml, "pex", false);
    toml_switch(toml, "addr_book_strict", false);
    toml_switch(toml, "allow_duplicate_ip", true);
    toml_ms(toml, "flush_throttle_timeout", 5);
    toml_number(toml, "send_rate", UINT64_C(50) << 20);
    toml_number(toml, "recv_rate", UINT64_C(50) << 20);
    toml_number(toml, "max_packet_msg_payload_size", 65536);
}

/* Blocks come when there is something to put into them: an idle mesh makes none. A little time between a decision and the
 * next block lets the slowest validator's vote in. What waits is checked again after each block: what no proposal would take
 * any more must leave the pool, or block follows block for as long as it lies there. */
static void toml_consensus(struct toml *toml)
{
    toml_raw(toml, "[mempool]\n");
    toml_number(toml, "size", 5000);
    toml_number(toml, "max_txs_bytes", UINT64_C(256) << 20);
    toml_number(toml, "max_tx_bytes", ENGINE_TX_MAX_BYTES);
    toml_switch(toml, "recheck", true);
    toml_raw(toml, "[consensus]\n");
    toml_ms(toml, "timeout_propose", ENGINE_CONFIG_PROPOSE_MS);
    toml_ms(toml, "timeout_propose_delta", 250);
    toml_ms(toml, "timeout_prevote", 300);
    toml_ms(toml, "timeout_prevote_delta", 100);
    toml_ms(toml, "timeout_precommit", 300);
    toml_ms(toml, "timeout_precommit_delta", 100);
    toml_ms(toml, "timeout_commit", 10);
    toml_switch(toml, "skip_timeout_commit", true);
    toml_switch(toml, "create_empty_blocks", false);
    toml_ms(toml, "create_empty_blocks_interval", 0);
    toml_ms(toml, "peer_gossip_sleep_duration", 5);
    toml_raw(toml, "[storage]\n");
    toml_switch(toml, "discard_abci_responses", true);
    toml_raw(toml, "[tx_index]\n");
    toml_text(toml, "indexer", "", "null");
}

static void toml_sync(struct toml *toml, const struct engine_config_sync *sync)
{
    char hash[2 * sizeof(sync->trust_hash) + 1];

    toml_raw(toml, "[statesync]\n");
    toml_switch(toml, "enable", sync != NULL);
    if (sync == NULL)
        return;
    if (sync->rpc_server_count < 2 || sync->rpc_server_count > ENGINE_RPC_SERVERS_MAX)
        toml_fail(toml, HM_EINVAL,
                  "state sync needs 2 to 16 RPC servers, as the engine compares them");
    if (sync->trust_height == 0 || sync->trust_period_ms == 0)
        toml_fail(toml, HM_EINVAL, "state sync needs a height and a time for which it is trusted");
    if (sync->discovery_ms < ENGINE_DISCOVERY_MIN_MS)
        toml_fail(toml, HM_EINVAL, "state sync looks for snapshots for 5 s at least");
    toml_raw(toml, "rpc_servers = \"");
    for (size_t i = 0; toml->rc == 0 && i < sync->rpc_server_count; i++) {
        const char *server = toml_need(toml, "RPC server", sync->rpc_servers[i], false);

        if (strchr(server, ',') != NULL)
            toml_fail(toml, HM_EINVAL, "an RPC server of state sync has a comma in its name");
        toml_raw(toml, i > 0 ? "," : "");
        toml_quoted(toml, "rpc_servers", server);
    }
    toml_raw(toml, "\"\n");
    hm_hex_encode(sync->trust_hash, sizeof(sync->trust_hash), hash);
    toml_number(toml, "trust_height", sync->trust_height);
    toml_text(toml, "trust_hash", "", hash);
    toml_ms(toml, "trust_period", sync->trust_period_ms);
    toml_ms(toml, "discovery_time", sync->discovery_ms);
}

static void toml_metrics(struct toml *toml, const char *listen)
{
    toml_raw(toml, "[instrumentation]\n");
    toml_switch(toml, "prometheus", listen != NULL);
    if (listen == NULL)
        return;
    /* It has no password: nobody but this machine may ask. */
    if (strncmp(listen, "127.", 4) != 0 && strncmp(listen, "[::1]:", 6) != 0)
        toml_fail(toml, HM_EINVAL, "the engine's metrics may be listened for on loopback only");
    toml_text(toml, "prometheus_listen_addr", "", listen);
    toml_text(toml, "namespace", "", "hypermesh_engine");
}

int engine_config_toml(const struct engine_config *config, struct hm_buf *out,
                       struct hm_error *error)
{
    struct toml toml = {.out = out, .error = error};
    size_t before = out->len;

    toml_base(&toml, config);
    toml_p2p(&toml, config);
    toml_consensus(&toml);
    toml_sync(&toml, config->sync);
    toml_metrics(&toml, config->metrics_listen);
    if (toml.rc != 0)
        out->len = before;
    return toml.rc;
}

/* --- the folders ----------------------------------------------------------------------------------------- */

#define CONFIG_DIR_MODE  0700
#define CONFIG_FILE_MODE 0600

/* What write is about to do: nothing is written before all of it has been looked at. */
struct config_plan {
    char *genesis_path, *toml_path, *node_path, *validator_path, *record_path;
    struct hm_buf toml;
    bool put_genesis, put_node, put_validator, put_record;
};

static void config_plan_release(struct config_plan *plan)
{
    hm_free(plan->genesis_path);
    hm_free(plan->toml_path);
    hm_free(plan->node_path);
    hm_free(plan->validator_path);
    hm_free(plan->record_path);
    hm_buf_release(&plan->toml);
}

static int config_plan_paths(struct config_plan *plan, const char *home, const char *keys_dir,
                             struct hm_error *error)
{
    plan->genesis_path = hm_asprintf("%s/config/genesis.json", home);
    plan->toml_path = hm_asprintf("%s/config/config.toml", home);
    plan->node_path = hm_asprintf("%s/" ENGINE_NODE_KEY_NAME, keys_dir);
    plan->validator_path = hm_asprintf("%s/" ENGINE_VALIDATOR_KEY_NAME, keys_dir);
    plan->record_path = hm_asprintf("%s/" ENGINE_VALIDATOR_STATE_NAME, keys_dir);
    return plan->genesis_path && plan->toml_path && plan->node_path && plan->validator_path &&
                   plan->record_path
               ? 0
               : hm_fail(error, HM_ENOMEM, "no memory for the engine's folders");
}

static int config_plan_genesis(struct config_plan *plan, struct hm_slice genesis,
                               struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf there = {0};
    int rc = hm_file_read(plan->genesis_path, ENGINE_GENESIS_MAX_BYTES, &there, error);

    if (rc == HM_ENOTFOUND) {
        plan->put_genesis = genesis.len > 0;
        return plan->put_genesis
                   ? 0
                   : hm_fail(error, HM_ENOTFOUND, "%s is missing: the engine has no chain to run",
                             plan->genesis_path);
    }
    if (rc == 0 && genesis.len > 0 && !hm_slice_equal(genesis, hm_buf_slice(&there)))
        rc = hm_fail(error, HM_ECONFLICT,
                     "%s is of another chain than the one to be run: give another data folder",
                     plan->genesis_path);
    return rc;
}

static int config_plan_key(const char *keys_dir, const char *name,
                           const struct crypto_ed25519_key *wanted, bool *put,
                           struct hm_error *error)
{
    struct crypto_ed25519_key there;
    int rc = engine_key_load(keys_dir, name, &there, error);

    *put = rc == HM_ENOTFOUND && wanted != NULL;
    if (*put)
        return 0;
    if (rc == 0 && wanted != NULL &&
        !hm_equal_ct(there.secret_key, wanted->secret_key, sizeof(there.secret_key)))
        rc = hm_fail(error, HM_ECONFLICT, "%s/%s holds another key: nothing was changed", keys_dir,
                     name);
    crypto_ed25519_wipe(&there);
    return rc;
}

static int config_plan_keys(struct config_plan *plan, const char *keys_dir,
                            const struct engine_config_keys *keys, struct hm_error *error)
{
    struct stat info;
    int rc = config_plan_key(keys_dir, ENGINE_NODE_KEY_NAME, keys ? keys->node : NULL,
                             &plan->put_node, error);

    if (rc == 0)
        rc = config_plan_key(keys_dir, ENGINE_VALIDATOR_KEY_NAME, keys ? keys->validator : NULL,
                             &plan->put_validator, error);
    if (rc != 0)
        return rc;
    plan->put_record = stat(plan->record_path, &info) != 0;
    if (plan->put_record && !plan->put_validator && !(keys && keys->may_lose_record))
        return hm_fail(
            error, HM_ECONFLICT,
            "%s is missing, the record of what this validator has signed: without it it could sign "
            "two blocks of one height and lose its bond. Bring the file back, or join as a new "
            "validator",
            plan->record_path);
    return plan->put_record ? 0 : engine_validator_state_check(plan->record_path, error);
}

/* The record goes before the key: a key without its record is refused ever after. */
static int config_put(const struct config_plan *plan, struct hm_slice genesis,
                      const struct engine_config_keys *keys, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf record = {0};
    int rc = engine_validator_state_pack(&record);

    if (rc != 0)
        return hm_fail(error, rc, "no memory for the engine's files");
    if (plan->put_record)
        rc = hm_file_replace(plan->record_path, record.data, record.len, CONFIG_FILE_MODE, error);
    if (rc == 0 && plan->put_validator)
        rc = engine_key_write(plan->validator_path, keys->validator, engine_validator_key_pack,
                              error);
    if (rc == 0 && plan->put_node)
        rc = engine_key_write(plan->node_path, keys->node, engine_node_key_pack, error);
    if (rc == 0 && plan->put_genesis)
        rc = hm_file_replace(plan->genesis_path, genesis.data, genesis.len, CONFIG_FILE_MODE,
                             error);
    if (rc == 0)
        rc = hm_file_replace(plan->toml_path, plan->toml.data, plan->toml.len, CONFIG_FILE_MODE,
                             error);
    return rc;
}

static int config_make_dirs(const char *home, const char *keys_dir, struct hm_error *error)
{
    HM_AUTOFREE char *config_dir = hm_asprintf("%s/config", home);
    HM_AUTOFREE char *data_dir = hm_asprintf("%s/data", home);
    int rc;

    if (config_dir == NULL || data_dir == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the engine's folders");
    rc = hm_mkdir_all(config_dir, CONFIG_DIR_MODE, error);
    if (rc == 0)
        rc = hm_mkdir_all(data_dir, CONFIG_DIR_MODE, error);
    return rc != 0 ? rc : hm_mkdir_all(keys_dir, CONFIG_DIR_MODE, error);
}

int engine_config_write(const char *home, const struct engine_config *config,
                        struct hm_slice genesis, const struct engine_config_keys *keys,
                        struct hm_error *error)
{
    HM_CLEANUP(config_plan) struct config_plan plan = {0};
    int rc = engine_config_toml(config, &plan.toml, error);

    if (rc == 0)
        rc = config_plan_paths(&plan, home, config->keys_dir, error);
    if (rc == 0)
        rc = config_plan_genesis(&plan, genesis, error);
    if (rc == 0)
        rc = config_plan_keys(&plan, config->keys_dir, keys, error);
    if (rc == 0)
        rc = config_make_dirs(home, config->keys_dir, error);
    return rc != 0 ? rc : config_put(&plan, genesis, keys, error);
}
