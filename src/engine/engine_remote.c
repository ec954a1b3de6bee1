#include "engine_remote.h"

#include <stdio.h>

#include "json.h"

#define REMOTE_NS_PER_MS UINT64_C(1000000)

int engine_remote_new(const char *rpc_path, struct engine_remote **out, struct hm_error *error)
{
    struct engine_remote *remote = hm_calloc(1, sizeof(*remote));

    if (remote == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the engine's client");
    pthread_mutex_init(&remote->asking, NULL);
    pthread_mutex_init(&remote->lighting, NULL);
    pthread_mutex_init(&remote->lock, NULL);
    int rc = engine_rpc_new(rpc_path, &remote->rpc, error);
    if (rc == 0)
        rc = engine_rpc_new(rpc_path, &remote->light_rpc, error);
    if (rc != 0) {
        engine_remote_free(remote);
        return rc;
    }
    *out = remote;
    return 0;
}

void engine_remote_free(struct engine_remote *remote)
{
    if (remote == NULL)
        return;
    engine_rpc_free(remote->rpc);
    engine_rpc_free(remote->light_rpc);
    pthread_mutex_destroy(&remote->lock);
    pthread_mutex_destroy(&remote->lighting);
    pthread_mutex_destroy(&remote->asking);
    hm_free(remote);
}

/* --- how it does --------------------------------------------------------------------------------------------- */

static void remote_status(const json_t *status, struct engine_remote_facts *facts)
{
    const json_t *sync = json_object_get(status, "sync_info");
    const json_t *validator = json_object_get(status, "validator_info");

    snprintf(facts->version, sizeof(facts->version), "%s",
             engine_rpc_text(json_object_get(status, "node_info"), "version"));
    hm_text_clean(facts->version);
    facts->height = engine_rpc_number(sync, "latest_block_height");
    facts->catching_up = json_is_true(json_object_get(sync, "catching_up"));
    facts->validator = engine_rpc_number(validator, "voting_power") > 0;
}

/* The asking thread's. */
static void remote_ask(struct engine_remote *remote, struct engine_remote_facts *facts)
{
    const struct hm_slice none = hm_slice_str("{}");
    HM_CLEANUP(json) json_t *status = NULL;
    HM_CLEANUP(json) json_t *net = NULL;

    facts->reachable = false;
    if (engine_rpc_call(remote->rpc, "status", none, ENGINE_REMOTE_LOOK_MS, &status, NULL) != 0)
        return;
    remote_status(status, facts);
    facts->reachable = true;
    if (engine_rpc_call(remote->rpc, "net_info", none, ENGINE_REMOTE_LOOK_MS, &net, NULL) == 0)
        facts->peers = (unsigned)engine_rpc_number(net, "n_peers");
}

static bool remote_is_fresh(struct engine_remote *remote, struct engine_remote_facts *out)
{
    uint64_t now_ns = hm_mono_ns(hm_clock_system());

    pthread_mutex_lock(&remote->lock);
    *out = remote->facts;
    bool fresh = remote->asked_ns != 0 &&
                 now_ns - remote->asked_ns < ENGINE_REMOTE_FRESH_MS * REMOTE_NS_PER_MS;
    pthread_mutex_unlock(&remote->lock);
    return fresh;
}

void engine_remote_look(struct engine_remote *remote, struct engine_remote_facts *out)
{
    if (remote_is_fresh(remote, out))
        return;
    pthread_mutex_lock(&remote->asking);
    if (!remote_is_fresh(remote, out)) {
        remote_ask(remote, out);
        pthread_mutex_lock(&remote->lock);
        remote->facts = *out;
        remote->asked_ns = hm_mono_ns(hm_clock_system());
        pthread_mutex_unlock(&remote->lock);
    }
    pthread_mutex_unlock(&remote->asking);
}

/* --- light blocks ---------------------------------------------------------------------------------------------- */

/* The engine's refusal of a height that it lacks. */
static int remote_refused(int rc, uint64_t height, struct hm_error *error)
{
    if (rc == HM_ECONFLICT)
        return hm_error_prefix(error, HM_ENOTFOUND, "the engine has no signed block %llu",
                               (unsigned long long)height);
    return rc == HM_EIO ? hm_error_prefix(error, HM_EUNAVAILABLE, "the engine") : rc;
}

static int remote_get(struct engine_remote *remote, const char *method, const char *params,
                      uint64_t height, json_t **out, struct hm_error *error)
{
    int rc = engine_rpc_call(remote->light_rpc, method, hm_slice_str(params),
                             ENGINE_REMOTE_LIGHT_MS, out, error);

    return rc == 0 ? 0 : remote_refused(rc, height, error);
}

static int remote_header(struct engine_remote *remote, uint64_t height, struct hm_arena *arena,
                         Hypermesh__Abci__SignedHeader **out, struct hm_error *error)
{
    HM_CLEANUP(json) json_t *commit = NULL;
    char params[64] = "{}";

    if (height > 0)
        snprintf(params, sizeof(params), "{\"height\":\"%llu\"}", (unsigned long long)height);
    int rc = remote_get(remote, "commit", params, height, &commit, error);
    return rc == 0 ? engine_light_header(commit, arena, out, error) : rc;
}

static int remote_validators_page(struct engine_remote *remote, uint64_t height, unsigned number,
                                  struct hm_arena *arena, Hypermesh__Abci__SimpleValidator **out,
                                  size_t room, size_t *count, size_t *total, struct hm_error *error)
{
    HM_CLEANUP(json) json_t *page = NULL;
    char params[128];

    snprintf(params, sizeof(params), "{\"height\":\"%llu\",\"page\":\"%u\",\"per_page\":\"%d\"}",
             (unsigned long long)height, number, ENGINE_REMOTE_PAGE);
    int rc = remote_get(remote, "validators", params, height, &page, error);
    return rc == 0 ? engine_light_validators(page, arena, out, room, count, total, error) : rc;
}

static int remote_validators(struct engine_remote *remote, uint64_t height, struct hm_arena *arena,
                             Hypermesh__Abci__LightBlock *block, struct hm_error *error)
{
    size_t room = (size_t)ENGINE_REMOTE_PAGE * ENGINE_REMOTE_PAGES_MAX;
    size_t count, total = 1;

    block->validators = hm_arena_alloc(arena, room * sizeof(*block->validators));
    if (block->validators == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the engine's validators");
    for (unsigned page = 1; block->n_validators < total; page++) {
        int rc = remote_validators_page(remote, height, page, arena,
                                        block->validators + block->n_validators,
                                        room - block->n_validators, &count, &total, error);

        if (rc != 0)
            return rc;
        if (count == 0 || page > ENGINE_REMOTE_PAGES_MAX)
            return hm_fail(error, HM_EPARSE, "the engine gives %zu of its %zu validators",
                           block->n_validators, total);
        block->n_validators += count;
    }
    return 0;
}

int engine_remote_light_block(struct engine_remote *remote, uint64_t height, struct hm_arena *arena,
                              Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    Hypermesh__Abci__LightBlock *block = hm_arena_alloc(arena, sizeof(*block));

    if (block == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a light block");
    hypermesh__abci__light_block__init(block);
    pthread_mutex_lock(&remote->lighting);
    int rc = remote_header(remote, height, arena, &block->signed_header, error);
    if (rc == 0)
        rc = remote_validators(remote, (uint64_t)block->signed_header->header->height, arena, block,
                               error);
    pthread_mutex_unlock(&remote->lighting);
    if (rc == 0)
        *out = block;
    return rc;
}
