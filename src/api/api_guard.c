#include "api_guard.h"

#include "crypto.h"

bool api_method_acts(const char *method)
{
    return strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0;
}

/* --- the thing -------------------------------------------------------------------------------- */

/* A thing as the ledger knows it: the route that shows it, and its id. */
struct thing {
    const struct api_route *route;
    struct api_value id;
};

static const struct api_route *tagged_route(const char *pattern, bool whole)
{
    for (size_t i = 0; i < api_route_count; i++) {
        const struct api_route *route = &api_routes[i];
        size_t len = strlen(route->pattern);

        if ((route->flags & API_TAGGED) == 0 || strncmp(pattern, route->pattern, len) != 0)
            continue;
        if (pattern[len] == '\0' || (!whole && pattern[len] == '/'))
            return route;
    }
    return NULL;
}

/* What the act changes: the path's thing, or the asset that the body names. */
static bool thing_of(const struct api_call *call, struct thing *out)
{
    if ((call->route->flags & API_OF_ASSET) != 0) {
        out->route = tagged_route("/assets/{asset}", true);
        out->id = *api_record_get(&call->body, "asset");
        return out->route && out->id.set;
    }
    out->route = tagged_route(call->route->pattern, false);
    out->id = call->param;
    return out->route && out->id.set;
}

bool api_guard_fits(const struct api_route *route)
{
    return (route->flags & (API_OF_ASSET | API_MATCHES)) != 0 ||
           tagged_route(route->pattern, false) != NULL;
}

static struct hm_slice id_of(const struct thing *thing)
{
    return thing->id.text ? hm_slice_str(thing->id.text)
                          : hm_slice_of(thing->id.id, sizeof(thing->id.id));
}

/* The tag that GET would answer with now, "" when there is nothing there. */
static int tag_now(const struct api_call *call, const struct thing *thing, char etag[API_ETAG_MAX],
                   struct hm_error *error)
{
    struct api_request request = {.method = "GET", .target = call->request->target};
    struct api_response response = {0};
    struct api_call look = {.core = call->core,
                            .backend = call->backend,
                            .request = &request,
                            .route = thing->route,
                            .account = call->account,
                            .param = thing->id,
                            .response = &response,
                            .json = {.out = &response.body}};
    int rc;

    hm_arena_init(&look.arena, API_ARENA_MAX_BYTES);
    response.status = thing->route->status;
    rc = thing->route->handle(&look, error);
    if (rc == 0)
        rc = look.json.error;
    if (rc == 0 && response.etag[0] == '\0')
        api_etag_of(hm_buf_slice(&response.body), response.etag);
    if (rc == 0)
        memcpy(etag, response.etag, API_ETAG_MAX);
    else if (rc == HM_ENOTFOUND)
        etag[0] = '\0';
    api_response_release(&response);
    hm_arena_release(&look.arena);
    return rc == HM_ENOTFOUND ? 0 : rc;
}

static int condition_holds(const struct api_call *call, const struct thing *thing,
                           unsigned *refused, struct hm_error *error)
{
    const struct api_request *request = call->request;
    char etag[API_ETAG_MAX] = "";
    bool listed = true;
    int rc = tag_now(call, thing, etag, error);

    if (rc == 0 && request->if_match)
        rc = api_etag_listed(request->if_match, etag, false, &listed, error);
    if (rc == 0 && listed && request->if_none_match) {
        rc = api_etag_listed(request->if_none_match, etag, true, &listed, error);
        listed = !listed;
    }
    if (rc || listed)
        return rc;
    *refused = 412;
    return hm_fail(error, HM_ECONFLICT,
                   "the thing is not as the condition says: its ETag is %s now; GET it again and "
                   "decide anew",
                   etag[0] != '\0' ? etag : "none");
}

/* --- the key ---------------------------------------------------------------------------------- */

static void request_digest(const struct api_request *request, uint8_t digest[32])
{
    uint8_t lens[16];
    const struct hm_slice parts[] = {hm_slice_of(lens, sizeof(lens)), hm_slice_str(request->method),
                                     hm_slice_str(request->target), request->body};

    hm_put_be64(lens, strlen(request->method));
    hm_put_be64(lens + 8, strlen(request->target));
    crypto_hash_parts("hypermesh api request", parts, HM_COUNT_OF(parts), digest);
}

static int replay(struct api_call *call, const struct api_remembered *answer,
                  struct hm_error *error)
{
    struct api_response *response = call->response;

    if (answer->cut)
        return hm_fail(error, HM_ECONFLICT,
                       "this request was done (status %u), but its answer was too long to be kept, "
                       "or holds a secret",
                       answer->status);
    response->status = answer->status;
    response->replayed = true;
    if (answer->problem)
        response->content_type = API_PROBLEM_TYPE;
    if (answer->body.len > 0 &&
        hm_buf_append(&response->body, answer->body.data, answer->body.len) != 0)
        return hm_fail(error, HM_ENOMEM, "out of memory");
    return 0;
}

static int key_enter(struct api_call *call, struct api_guard *guard, unsigned *refused, bool *done,
                     struct hm_error *error)
{
    enum api_idempotency_word word = API_IDEMPOTENCY_RUN;
    struct api_remembered answer = {0};
    char principal[API_PRINCIPAL_MAX];
    uint8_t digest[32];
    int rc = api_idempotency_check(call->request->idempotency_key, error);

    if (rc)
        return rc;
    api_auth_principal(call->request, principal);
    api_idempotency_name(hm_slice_str(principal), call->request->idempotency_key, guard->name);
    request_digest(call->request, digest);
    rc = api_idempotency_begin(&call->core->idempotency, guard->name, digest, &call->arena, &word,
                               &answer, error);
    if (rc)
        return rc;
    switch (word) {
    case API_IDEMPOTENCY_REPLAY:
        *done = true;
        return replay(call, &answer, error);
    case API_IDEMPOTENCY_RUNNING:
        call->response->retry = true;
        return hm_fail(error, HM_ECONFLICT,
                       "the first request with this Idempotency-Key still runs; ask again");
    case API_IDEMPOTENCY_UNKNOWN:
        return hm_fail(error, HM_ECONFLICT,
                       "the first request with this Idempotency-Key was cut short when the node "
                       "ended; see whether it took effect, and use a new key if it did not");
    case API_IDEMPOTENCY_OTHER:
        *refused = 422;
        return hm_fail(error, HM_ECONFLICT,
                       "this Idempotency-Key was used for another request; use a new one");
    default:
        guard->keyed = true;
        return 0;
    }
}

/* Whether the request may have had an effect, or would fail the same way again. What was refused
 * for the moment may be asked again under the same key. */
static bool worth_keeping(const struct api_response *response, int rc)
{
    return !response->stream && rc != HM_ENOMEM && response->status != 503 &&
           response->status != 429;
}

static void key_leave(struct api_call *call, const struct api_guard *guard, int rc)
{
    const struct api_response *response = call->response;
    struct api_remembered answer = {.status = response->status, .problem = rc != 0};

    if (response->secret && rc == 0)
        answer.cut = true;
    else
        answer.body = hm_buf_slice(&response->body);

    request_digest(call->request, answer.digest);
    api_idempotency_end(&call->core->idempotency, guard->name,
                        worth_keeping(response, rc) ? &answer : NULL);
}

/* --- both ------------------------------------------------------------------------------------- */

int api_guard_enter(struct api_call *call, struct api_guard *guard, unsigned *refused, bool *done,
                    struct hm_error *error)
{
    const struct api_request *request = call->request;
    bool conditional = request->if_match || request->if_none_match;
    struct thing thing = {0};
    int rc = 0;

    *guard = (struct api_guard){0};
    if (request->idempotency_key)
        rc = key_enter(call, guard, refused, done, error);
    if (rc || *done || (call->route->flags & API_MATCHES) != 0)
        return rc;
    if (!thing_of(call, &thing)) {
        if (conditional)
            rc = hm_fail(error, HM_EINVAL,
                         "this request takes no If-Match: it changes nothing that has an ETag");
    } else {
        guard->thing = api_things_lock(&call->core->things, thing.route->pattern, id_of(&thing));
        (void)(conditional ? pthread_rwlock_wrlock(guard->thing)
                           : pthread_rwlock_rdlock(guard->thing));
        if (conditional)
            rc = condition_holds(call, &thing, refused, error);
    }
    if (rc) { /* nothing ran: the key is free again */
        if (guard->keyed)
            api_idempotency_end(&call->core->idempotency, guard->name, NULL);
        guard->keyed = false;
        api_guard_leave(call, guard, rc);
    }
    return rc;
}

void api_guard_leave(struct api_call *call, struct api_guard *guard, int rc)
{
    if (guard->thing)
        (void)pthread_rwlock_unlock(guard->thing);
    if (guard->keyed)
        key_leave(call, guard, rc);
    *guard = (struct api_guard){0};
}

int api_guard_tag(struct api_call *call, struct hm_error *error)
{
    struct api_response *response = call->response;
    bool listed = false;
    int rc = 0;

    if (response->stream)
        return 0;
    if ((call->route->flags & API_TAGGED) != 0 && response->etag[0] == '\0')
        api_etag_of(hm_buf_slice(&response->body), response->etag);
    if (response->etag[0] == '\0' || !call->request->if_none_match)
        return 0;
    rc = api_etag_listed(call->request->if_none_match, response->etag, true, &listed, error);
    if (rc == 0 && listed) {
        response->status = 304;
        hm_buf_clear(&response->body);
    }
    return rc;
}
