/* What a node's state sync begins with: kept in HOME/sync.json from the day its folder is made, asked of nodes whose word is
 * good for it. */
#include <stdio.h>

#include "engine_remote.h"

#include "engine_config.h"
#include "json.h"

#define SYNC_FILE       "sync.json"
#define SYNC_MAX_BYTES  ((size_t)64 << 10)
#define SYNC_DEPTH_MAX  4
#define SYNC_HASH_BYTES 32
#define SYNC_UNIX       "unix://"

/* --- the file ---------------------------------------------------------------------------------------------- */

static int sync_check(const struct engine_config_sync *sync, struct hm_error *error)
{
    if (sync->rpc_server_count < 2 || sync->rpc_server_count > ENGINE_RPC_SERVERS_MAX)
        return hm_fail(error, HM_EINVAL,
                       "state sync needs 2 to %d RPC servers, as the engine compares them, not %zu",
                       ENGINE_RPC_SERVERS_MAX, sync->rpc_server_count);
    for (size_t i = 0; i < sync->rpc_server_count; i++)
        if (sync->rpc_servers[i][0] == '\0' || strchr(sync->rpc_servers[i], ',') != NULL ||
            strlen(sync->rpc_servers[i]) > ENGINE_TEXT_MAX_BYTES)
            return hm_fail(error, HM_EINVAL,
                           "'%.100s' is no RPC server: unix:///PATH, or http://HOST:PORT",
                           sync->rpc_servers[i]);
    return sync->trust_height > 0
               ? 0
               : hm_fail(error, HM_EINVAL, "state sync needs a height whose block is trusted");
}

int engine_sync_write(const char *home, const struct engine_config_sync *sync,
                      struct hm_error *error)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/" SYNC_FILE, home);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct json_out json = {.out = &text};
    char hash[2 * SYNC_HASH_BYTES + 1];
    int rc = path == NULL ? HM_ENOMEM : sync_check(sync, error);

    if (rc != 0)
        return path == NULL ? hm_fail(error, rc, "no memory for a node's folder") : rc;
    hm_hex_encode(sync->trust_hash, SYNC_HASH_BYTES, hash);
    json_out_open(&json, '{');
    json_out_key(&json, "rpc_servers");
    json_out_open(&json, '[');
    for (size_t i = 0; i < sync->rpc_server_count; i++)
        json_out_text(&json, sync->rpc_servers[i]);
    json_out_close(&json, ']');
    json_out_key(&json, "trust_height");
    json_out_u64(&json, sync->trust_height);
    json_out_key(&json, "trust_hash");
    json_out_text(&json, hash);
    json_out_close(&json, '}');
    if (json.error != 0 || hm_buf_append_str(&text, "\n") != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a node's folder");
    return hm_file_replace(path, text.data, text.len, 0600, error);
}

static int sync_servers(const json_t *list, struct hm_arena *arena, struct engine_config_sync *out,
                        struct hm_error *error)
{
    size_t count = json_array_size(list);
    const char **servers = hm_arena_alloc(arena, (count + 1) * sizeof(*servers));

    if (servers == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for state sync");
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(list, i));

        servers[i] = hm_arena_strdup(arena, text != NULL ? text : "");
        if (servers[i] == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory for state sync");
    }
    out->rpc_servers = servers;
    out->rpc_server_count = count;
    return 0;
}

int engine_sync_read(struct hm_slice text, struct hm_arena *arena, struct engine_config_sync *out,
                     struct hm_error *error)
{
    struct engine_config_sync sync = {.trust_period_ms = ENGINE_SYNC_TRUST_MS,
                                      .discovery_ms = ENGINE_DISCOVERY_MIN_MS};
    HM_CLEANUP(json) json_t *json = NULL;
    int rc;

    if (text.len > SYNC_MAX_BYTES || !hm_json_is_within(text, SYNC_DEPTH_MAX))
        return hm_fail(error, HM_EPARSE, "it is not JSON of a state sync");
    rc = hm_json_parse(text, JSON_REJECT_DUPLICATES, &json, NULL);
    if (rc != 0)
        return hm_fail(error, rc, "it is not JSON of a state sync");
    const char *hash = engine_rpc_text(json, "trust_hash");
    if (strlen(hash) != 2 * SYNC_HASH_BYTES ||
        hm_hex_decode(hash, strlen(hash), sync.trust_hash, SYNC_HASH_BYTES, NULL) != 0)
        return hm_fail(error, HM_EPARSE, "its trust_hash is not 64 hexadecimal digits");
    sync.trust_height = engine_rpc_number(json, "trust_height");
    rc = sync_servers(json_object_get(json, "rpc_servers"), arena, &sync, error);
    if (rc == 0)
        rc = sync_check(&sync, error);
    if (rc == 0)
        *out = sync;
    return rc;
}

int engine_sync_load(const char *home, struct hm_arena *arena, struct engine_config_sync *out,
                     struct hm_error *error)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/" SYNC_FILE, home);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    int rc = path == NULL ? hm_fail(error, HM_ENOMEM, "no memory for state sync")
                          : hm_file_read(path, SYNC_MAX_BYTES, &text, error);

    if (rc != 0)
        return rc;
    rc = engine_sync_read(hm_buf_slice(&text), arena, out, error);
    return rc != 0 ? hm_error_prefix(error, rc, "%s", path) : 0;
}

/* --- whom to trust ------------------------------------------------------------------------------------------ */

/* Height 0: the newest. */
static int sync_header(const char *server, uint64_t height, struct hm_arena *arena,
                       Hypermesh__Abci__SignedHeader **out, struct hm_error *error)
{
    Hypermesh__Abci__LightBlock *block;
    struct engine_remote *remote;
    int rc;

    if (strncmp(server, SYNC_UNIX, sizeof(SYNC_UNIX) - 1) != 0)
        return hm_fail(
            error, HM_EUNSUPPORTED,
            "whether %.100s can be trusted cannot be asked of itself: say which block is "
            "(HEIGHT:HASH)",
            server);
    rc = engine_remote_new(server + sizeof(SYNC_UNIX) - 1, &remote, error);
    if (rc != 0)
        return rc;
    rc = engine_remote_light_block(remote, height, arena, &block, error);
    engine_remote_free(remote);
    if (rc != 0)
        return hm_error_prefix(error, rc, "%.200s", server);
    *out = block->signed_header;
    if (block->signed_header->commit->block_id->hash.len != SYNC_HASH_BYTES)
        return hm_fail(error, HM_EPARSE, "%.200s has not signed any block yet", server);
    return 0;
}

int engine_sync_ask(const char *const *servers, size_t count, uint64_t *height,
                    uint8_t hash[SYNC_HASH_BYTES], struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Abci__SignedHeader *header;
    uint8_t first[SYNC_HASH_BYTES];
    uint64_t lowest = UINT64_MAX;
    int rc = count == 0 ? hm_fail(error, HM_EINVAL, "state sync needs RPC servers") : 0;

    hm_arena_init(&arena, 0);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = sync_header(servers[i], 0, &arena, &header, error);
        if (rc == 0 && (uint64_t)header->header->height < lowest)
            lowest = (uint64_t)header->header->height;
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = sync_header(servers[i], lowest, &arena, &header, error);
        if (rc != 0)
            break;
        const uint8_t *found = header->commit->block_id->hash.data;
        if (i == 0)
            memcpy(first, found, sizeof(first));
        else if (memcmp(first, found, sizeof(first)) != 0)
            rc = hm_fail(error, HM_EAUTH, "%.100s and %.100s have different blocks at height %llu",
                         servers[0], servers[i], (unsigned long long)lowest);
    }
    if (rc != 0)
        return rc;
    memcpy(hash, first, sizeof(first));
    *height = lowest;
    return 0;
}
