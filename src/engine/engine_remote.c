#include "engine_remote.h"

#include <stdio.h>
#include <time.h>

#include "json.h"

#define REMOTE_NS_PER_MS UINT64_C(1000000)
#define REMOTE_NS_PER_S  UINT64_C(1000000000)
#define REMOTE_REST_FACTOR \
    2 /* facts are not asked for again for so many times as long as that took */
#define REMOTE_REST_MAX_MS \
    (2 * ENGINE_REMOTE_LOOK_MS) /* below ENGINE_REMOTE_KNOWN_MS with an asking */

static uint64_t remote_now_ns(void)
{
    return hm_mono_ns(hm_clock_system());
}

static void remote_init_locks(struct engine_remote *remote)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&remote->asking, NULL);
    pthread_mutex_init(&remote->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&remote->lit, &attr);
    pthread_condattr_destroy(&attr);
}

int engine_remote_new(const char *rpc_path, struct engine_remote **out, struct hm_error *error)
{
    struct engine_remote *remote = hm_calloc(1, sizeof(*remote));

    if (remote == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the engine's client");
    remote_init_locks(remote);
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
    pthread_cond_destroy(&remote->lit);
    pthread_mutex_destroy(&remote->lock);
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

/* Is it known, and not older than that? */
static bool remote_knows(const struct engine_remote *remote, uint64_t ms)
{
    return remote->asked_ns != 0 && remote_now_ns() - remote->asked_ns < ms * REMOTE_NS_PER_MS;
}

/* Neither asked for anew nor waited for. *known: it may be given while another one asks. */
static bool remote_is_fresh(struct engine_remote *remote, struct engine_remote_facts *out,
                            bool *known)
{
    pthread_mutex_lock(&remote->lock);
    uint64_t rest_ms = remote->took_ns / REMOTE_NS_PER_MS * REMOTE_REST_FACTOR;
    uint64_t fresh_ms = rest_ms > ENGINE_REMOTE_FRESH_MS ? rest_ms : ENGINE_REMOTE_FRESH_MS;
    bool fresh = remote_knows(remote,
                              fresh_ms < REMOTE_REST_MAX_MS ? fresh_ms : REMOTE_REST_MAX_MS);
    *known = remote_knows(remote, ENGINE_REMOTE_KNOWN_MS);
    *out = remote->facts;
    pthread_mutex_unlock(&remote->lock);
    return fresh;
}

/* Under `asking`. */
static void remote_renew(struct engine_remote *remote, struct engine_remote_facts *facts)
{
    uint64_t began_ns = remote_now_ns();

    remote_ask(remote, facts);
    pthread_mutex_lock(&remote->lock);
    remote->facts = *facts;
    remote->asked_ns = remote_now_ns();
    remote->took_ns = remote->asked_ns - began_ns;
    pthread_mutex_unlock(&remote->lock);
}

void engine_remote_look(struct engine_remote *remote, struct engine_remote_facts *out)
{
    bool known;

    if (remote_is_fresh(remote, out, &known))
        return;
    if (pthread_mutex_trylock(&remote->asking) != 0) {
        if (known)
            return;
        pthread_mutex_lock(&remote->asking);
    }
    if (!remote_is_fresh(remote, out, &known))
        remote_renew(remote, out);
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

/* What a light block is asked of. */
struct remote_light {
    struct engine_remote *remote;
    uint64_t height; /* 0: the newest */
    uint64_t until_ns;
    struct hm_arena *arena;
};

static int remote_get(const struct remote_light *light, const char *method, const char *params,
                      json_t **out, struct hm_error *error)
{
    uint64_t now_ns = remote_now_ns(), height = light->height;
    uint64_t left_ns = light->until_ns > now_ns ? light->until_ns - now_ns : 0;
    int rc = engine_rpc_call(light->remote->light_rpc, method, hm_slice_str(params),
                             left_ns / REMOTE_NS_PER_MS, out, error);

    return rc == 0 ? 0 : remote_refused(rc, height, error);
}

static int remote_header(struct remote_light *light, Hypermesh__Abci__SignedHeader **out,
                         struct hm_error *error)
{
    HM_CLEANUP(json) json_t *commit = NULL;
    char params[64] = "{}";

    if (light->height > 0)
        snprintf(params, sizeof(params), "{\"height\":\"%llu\"}",
                 (unsigned long long)light->height);
    int rc = remote_get(light, "commit", params, &commit, error);
    if (rc == 0)
        rc = engine_light_header(commit, light->arena, out, error);
    if (rc == 0)
        light->height = (uint64_t)(*out)->header->height;
    return rc;
}

static int remote_validators_page(const struct remote_light *light, unsigned number,
                                  Hypermesh__Abci__SimpleValidator **out, size_t room,
                                  size_t *count, size_t *total, struct hm_error *error)
{
    HM_CLEANUP(json) json_t *page = NULL;
    char params[128];

    snprintf(params, sizeof(params), "{\"height\":\"%llu\",\"page\":\"%u\",\"per_page\":\"%d\"}",
             (unsigned long long)light->height, number, ENGINE_REMOTE_PAGE);
    int rc = remote_get(light, "validators", params, &page, error);
    return rc == 0 ? engine_light_validators(page, light->arena, out, room, count, total, error)
                   : rc;
}

static int remote_validators(const struct remote_light *light, Hypermesh__Abci__LightBlock *block,
                             struct hm_error *error)
{
    size_t room = (size_t)ENGINE_REMOTE_PAGE * ENGINE_REMOTE_PAGES_MAX;
    size_t count, total = 1;

    block->validators = hm_arena_alloc(light->arena, room * sizeof(*block->validators));
    if (block->validators == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the engine's validators");
    for (unsigned page = 1; block->n_validators < total; page++) {
        int rc = remote_validators_page(light, page, block->validators + block->n_validators,
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

/* Until it is one's turn: where the engine hangs, those who ask would else wait for each other, a few seconds each. */
static int remote_light_enter(struct engine_remote *remote, struct hm_error *error)
{
    uint64_t until_ns = remote_now_ns() + ENGINE_REMOTE_LIGHT_MS * REMOTE_NS_PER_MS;
    const struct timespec until = {.tv_sec = (time_t)(until_ns / REMOTE_NS_PER_S),
                                   .tv_nsec = (long)(until_ns % REMOTE_NS_PER_S)};
    int waited = 0;

    pthread_mutex_lock(&remote->lock);
    while (remote->lighting && waited == 0)
        waited = pthread_cond_timedwait(&remote->lit, &remote->lock, &until);
    bool mine = !remote->lighting;
    remote->lighting = true;
    pthread_mutex_unlock(&remote->lock);
    return mine ? 0
                : hm_fail(error, HM_EBUSY,
                          "others ask the engine for light blocks, and it is slow: try again in a "
                          "few seconds");
}

static void remote_light_leave(struct engine_remote *remote)
{
    pthread_mutex_lock(&remote->lock);
    remote->lighting = false;
    pthread_cond_signal(&remote->lit);
    pthread_mutex_unlock(&remote->lock);
}

int engine_remote_light_block(struct engine_remote *remote, uint64_t height, struct hm_arena *arena,
                              Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    struct remote_light light = {.remote = remote, .height = height, .arena = arena};
    Hypermesh__Abci__LightBlock *block = hm_arena_alloc(arena, sizeof(*block));

    if (block == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a light block");
    hypermesh__abci__light_block__init(block);
    int rc = remote_light_enter(remote, error);
    if (rc != 0)
        return rc;
    light.until_ns = remote_now_ns() + ENGINE_REMOTE_LIGHT_MS * REMOTE_NS_PER_MS;
    rc = remote_header(&light, &block->signed_header, error);
    if (rc == 0)
        rc = remote_validators(&light, block, error);
    remote_light_leave(remote);
    if (rc == 0)
        *out = block;
    return rc;
}
