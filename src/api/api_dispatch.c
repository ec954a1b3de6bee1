/* One request: find its route, check the caller, parse, call the handler, answer. */
#include "api_fresh.h"
#include "api_guard.h"

#include "trace.h"

/* --- finding the route ------------------------------------------------------------------------ */

struct match {
    const struct api_route *route; /* NULL: none with this method */
    const char *param; /* decoded text, or NULL */
    const char *param_name; /* in the pattern, not terminated */
    size_t param_name_len;
    bool path_known; /* some method would do */
};

/* Clients of etcd 3.3 say v3beta where later ones say v3. */
static bool segment_fits(const char *segment, const char *part, size_t len)
{
    if (len == 2 && memcmp(part, "v3", 2) == 0 && strcmp(segment, "v3beta") == 0)
        return true;
    return strlen(segment) == len && memcmp(segment, part, len) == 0;
}

/* Compares one pattern with the path's parts. */
static bool match_pattern(const char *pattern, const struct api_target *target, struct match *out)
{
    size_t at = 0;

    out->param = NULL;
    while (*pattern == '/' && pattern[1] != '\0') {
        const char *part = pattern + 1;

        size_t len = strcspn(part, "/");

        if (at == target->segment_count)
            return false;
        if (part[0] == '{') {
            out->param = target->segments[at];
            out->param_name = part + 1;
            out->param_name_len = len - 2;
        } else if (!segment_fits(target->segments[at], part, len)) {
            return false;
        }
        at++;
        pattern = part + len;
    }
    return at == target->segment_count;
}

/* May the pattern fit? For most it ends here. No pattern begins with a parameter. */
static bool begins_alike(const char *pattern, const struct api_target *target)
{
    return target->segment_count == 0 || pattern[1] == target->segments[0][0];
}

static bool method_fits(const struct api_route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* Fixed paths stand before patterns in the table, so the first that fits path and method is the
 * right one. */
static void find_route(const struct api_target *target, const char *method, struct match *out)
{
    bool path_known = false;

    *out = (struct match){0};
    for (size_t i = 0; i < api_route_count && !out->route; i++) {
        struct match found = {0};

        if (!begins_alike(api_routes[i].pattern, target) ||
            !match_pattern(api_routes[i].pattern, target, &found))
            continue;
        path_known = true;
        if (method_fits(&api_routes[i], method)) {
            *out = found;
            out->route = &api_routes[i];
        }
    }
    out->path_known = path_known;
}

/* Methods of a path, for the Allow header. Static, because there are few combinations. */
static const char *allow_text(const struct api_target *target)
{
    static const struct {
        const char *method;
        unsigned bit;
    } methods[] = {{"GET", 1}, {"POST", 2}, {"PUT", 4}, {"DELETE", 8}};
    static const char *const texts[16] = {"",
                                          "GET, HEAD",
                                          "POST",
                                          "GET, HEAD, POST",
                                          "PUT",
                                          "GET, HEAD, PUT",
                                          "POST, PUT",
                                          "GET, HEAD, POST, PUT",
                                          "DELETE",
                                          "GET, HEAD, DELETE",
                                          "POST, DELETE",
                                          "GET, HEAD, POST, DELETE",
                                          "PUT, DELETE",
                                          "GET, HEAD, PUT, DELETE",
                                          "POST, PUT, DELETE",
                                          "GET, HEAD, POST, PUT, DELETE"};
    unsigned bits = 0;

    for (size_t i = 0; i < api_route_count; i++) {
        struct match found = {0};

        for (size_t m = 0; m < HM_COUNT_OF(methods); m++) {
            if (strcmp(api_routes[i].method, methods[m].method) == 0 &&
                match_pattern(api_routes[i].pattern, target, &found))
                bits |= methods[m].bit;
        }
    }
    return texts[bits];
}

/* --- from request to answer ------------------------------------------------------------------- */

struct visit {
    struct api_call call;
    struct api_target target;
    struct match found;
    unsigned refused; /* status, when it is not the code's own */
    struct api_guard guard;
    bool counted; /* among the strangers */
    struct hm_error error;
    uint64_t started_ns;
};

static void visit_init(struct visit *visit, struct api_core *core,
                       const struct api_request *request, struct api_response *response)
{
    memset(visit, 0, sizeof(*visit));
    visit->call = (struct api_call){
        .core = core,
        .backend = core->backend,
        .account = request->transport == API_TRANSPORT_KV ? core->kv_account : API_ACCOUNT_DEFAULT,
        .request = request,
        .response = response,
        .json = {.out = &response->body}};
    visit->started_ns = hm_mono_ns(core->clock);
    hm_arena_init(&visit->call.arena, API_ARENA_MAX_BYTES);
}

/* Path of the request for the problem's `instance`; without the query, which may be long. */
static const char *instance_of(struct visit *visit)
{
    const char *target = visit->call.request->target;
    size_t len = strcspn(target, "?");
    char *copy = len <= API_URL_MAX_BYTES ? hm_arena_dup(&visit->call.arena, target, len + 1)
                                          : NULL;

    if (copy)
        copy[len] = '\0';
    return copy;
}

/* Ends the visit: the problem document when rc says so, the counters, the memory. */
static void visit_release(struct visit *visit, int rc)
{
    struct api_core *core = visit->call.core;
    const struct api_route *route = visit->found.route;
    struct api_response *response = visit->call.response;

    if (rc)
        api_core_refuse(response, visit->refused ? visit->refused : (unsigned)hm_error_http(rc), rc,
                        visit->error.text, instance_of(visit));
    if (visit->counted)
        api_strangers_leave(&core->strangers);
    api_guard_leave(&visit->call, &visit->guard, rc);
    api_metrics_count(&core->metrics, route ? (size_t)(route - api_routes) : API_METRIC_NO_ROUTE,
                      response->status, hm_mono_ns(core->clock) - visit->started_ns);
    hm_arena_release(&visit->call.arena);
}

static bool media_type_fits(const struct api_route *route, const char *header)
{
    switch (route->body_kind) {
    case API_BODY_JSON:
    case API_BODY_TREE:
        return api_content_type_is(header, "application/json");
    case API_BODY_JOB:
        return api_content_type_is(header, "application/json") ||
               api_content_type_is(header, "application/yaml");
    case API_BODY_BYTES:
        return api_content_type_is(header, "application/octet-stream");
    default:
        return true;
    }
}

static const char *media_type_wanted(const struct api_route *route)
{
    return route->body_kind == API_BODY_JSON || route->body_kind == API_BODY_TREE
               ? "application/json"
           : route->body_kind == API_BODY_JOB ? "application/yaml or application/json"
                                              : "application/octet-stream";
}

static int refuse(struct visit *visit, unsigned status, int code, const char *sentence)
{
    visit->refused = status;
    return hm_fail(&visit->error, code, "%s", sentence);
}

/* Whether anything is at the path for the method. */
static int check_route(struct visit *visit)
{
    const struct api_request *request = visit->call.request;
    struct api_response *response = visit->call.response;

    if (!visit->found.path_known)
        return refuse(visit, 404, HM_ENOTFOUND,
                      "there is nothing at this path; GET /openapi.json lists what there is");
    if (visit->found.route)
        return 0;
    response->allow = allow_text(&visit->target);
    visit->refused = 405;
    return hm_fail(&visit->error, HM_EINVAL, "this path does not take %.20s; it takes %s",
                   request->method, response->allow);
}

static int check_body(struct visit *visit, uint64_t length)
{
    const struct api_route *route = visit->found.route;

    if (length > API_BODY_MAX_BYTES)
        return refuse(visit, 413, HM_ELIMIT, "the body is longer than 2 MiB");
    if (route->body_kind == API_BODY_NONE && length > 0)
        return refuse(visit, 400, HM_EINVAL, "this request takes no body");
    if (media_type_fits(route, visit->call.request->content_type))
        return 0;
    visit->refused = 415;
    return hm_fail(&visit->error, HM_EINVAL, "the Content-Type must be %s",
                   media_type_wanted(route));
}
_Static_assert(API_BODY_MAX_BYTES == (size_t)2 << 20, "check_body says how much");

/* What the door without a token serves. */
static bool is_etcd_path(const struct api_target *target)
{
    const char *first = target->segment_count > 0 ? target->segments[0] : "";

    return strcmp(first, "v3") == 0 || strcmp(first, "v3beta") == 0 ||
           strcmp(first, "version") == 0 || strcmp(first, "health") == 0;
}

/* Whether the caller may ask at all, and as whom. */
static int check_caller(struct visit *visit)
{
    const struct api_route *route = visit->found.route;
    struct api_core *core = visit->call.core;
    struct hm_error why = {0};
    int rc;

    if (route && (route->flags & API_OPEN) != 0)
        return 0;
    rc = api_auth_check_caller(visit->call.request, core->owner, core->token, &why);
    if (rc && route && core->open_proofs && (route->flags & API_PROVES) != 0) {
        visit->call.stranger = true;
        return 0;
    }
    if (rc)
        visit->error = why;
    return rc;
}

/* Everything that can be said before the body is here. */
static int visit_admit(struct visit *visit, uint64_t length)
{
    const struct api_request *request = visit->call.request;
    int rc = api_target_parse(request->target, &visit->call.arena, &visit->target, &visit->error);

    if (rc) {
        visit->refused = rc == HM_ELIMIT ? 414 : 0;
        return rc;
    }
    if (request->transport == API_TRANSPORT_KV && !is_etcd_path(&visit->target))
        return refuse(visit, 404, HM_ENOTFOUND,
                      "this address serves only /v3/, /version and /health");
    find_route(&visit->target, request->method, &visit->found);
    rc = api_auth_check_origin(request, &visit->error);
    if (rc == 0)
        rc = check_caller(visit);
    if (rc == 0)
        rc = check_route(visit);
    return rc ? rc : check_body(visit, length);
}

static const struct api_fields no_fields = {.name = "None"};

enum json_form api_param_form(const char *name, size_t len)
{
    static const struct {
        const char *name;
        enum json_form form;
    } forms[] = {{"asset", JSON_FORM_ASSET},     {"lease", JSON_FORM_LEASE},
                 {"network", JSON_FORM_NETWORK}, {"challenge", JSON_FORM_CHALLENGE},
                 {"digest", JSON_FORM_DIGEST},   {"key", JSON_FORM_HEX}};

    for (size_t i = 0; i < HM_COUNT_OF(forms); i++) {
        if (strlen(forms[i].name) == len && memcmp(forms[i].name, name, len) == 0)
            return forms[i].form;
    }
    return JSON_FORM_TEXT;
}

static int parse_param(struct visit *visit)
{
    const struct match *found = &visit->found;
    char name[32];

    if (!found->param)
        return 0;
    (void)snprintf(name, sizeof(name), "%.*s", (int)found->param_name_len, found->param_name);
    return api_value_parse_text(api_param_form(found->param_name, found->param_name_len), name,
                                found->param, &visit->call.arena, &visit->call.param,
                                &visit->error);
}

/* A stream is counted from here until its response is released. */
static int count_stream(struct visit *visit)
{
    struct api_core *core = visit->call.core;
    struct api_response *response = visit->call.response;

    if (!response->stream)
        return 0;
    if (atomic_fetch_add(&core->metrics.streams, 1) >= API_STREAMS_MAX) {
        atomic_fetch_sub(&core->metrics.streams, 1);
        return hm_fail(&visit->error, HM_EBUSY,
                       "%d streams are open already; close one or ask again later",
                       API_STREAMS_MAX);
    }
    response->stream->counted = &core->metrics.streams;
    return 0;
}

static int enter_stranger(struct visit *visit)
{
    struct api_core *core = visit->call.core;
    int rc;

    if (!visit->call.stranger)
        return 0;
    rc = api_strangers_enter(&core->strangers, hm_mono_ns(core->clock), &visit->error);
    visit->counted = rc == 0;
    return rc;
}

static int visit_run(struct visit *visit)
{
    const struct api_route *route = visit->found.route;
    struct api_call *call = &visit->call;
    struct api_fresh_wanted wanted = {0};
    bool done = false;
    int rc = enter_stranger(visit);

    call->route = route;
    if (rc == 0)
        rc = parse_param(visit);
    if (rc == 0 && (route->flags & API_LEDGER) != 0)
        rc = api_fresh_take(call, &visit->target, &wanted, &visit->error);
    if (rc == 0)
        rc = api_record_parse_query(route->query ? route->query : &no_fields, visit->target.query,
                                    visit->target.query_count, &call->arena, &call->query,
                                    &visit->error);
    if (rc == 0 && route->body_kind == API_BODY_JSON)
        rc = api_record_parse_json(route->body, call->request->body, &call->arena, &call->body,
                                   &visit->error);
    call->response->status = route->status;
    call->response->content_type = route->media_type ? route->media_type : "application/json";
    if (rc == 0 && (route->flags & API_LEDGER) != 0)
        rc = api_fresh_meet(call, &wanted, &visit->error);
    if (rc == 0)
        rc = api_method_acts(route->method) && (route->flags & API_QUICK) == 0
                 ? api_guard_enter(call, &visit->guard, &visit->refused, &done, &visit->error)
                 : 0;
    if (rc == 0 && !done)
        rc = route->handle(call, &visit->error);
    if (rc == 0 && call->json.error != 0)
        rc = hm_fail(&visit->error, call->json.error, "out of memory for the answer");
    if (rc == 0 && !api_method_acts(route->method))
        rc = api_guard_tag(call, &visit->error);
    return rc ? rc : count_stream(visit);
}

static enum api_manner manner_of(const struct api_route *route, const struct api_target *target,
                                 const struct api_request *request)
{
    if (!route || ((route->flags & API_QUICK) != 0 && !api_fresh_asked(route, target)))
        return API_MANNER_QUICK; /* a refusal waits for nothing */
    /* Answers that are kept, and spans, belong to one thread. */
    return (route->flags & API_LATER) != 0 && !request->idempotency_key && !trace_on()
               ? API_MANNER_LATER
               : API_MANNER_WAITS;
}

bool api_core_admit(struct api_core *core, const struct api_request *request, uint64_t length,
                    struct api_response *response, enum api_manner *manner)
{
    struct visit visit;
    int rc;

    visit_init(&visit, core, request, response);
    rc = visit_admit(&visit, length);
    *manner = manner_of(visit.found.route, &visit.target, request);
    if (rc)
        visit_release(&visit, rc);
    else
        hm_arena_release(&visit.call.arena);
    return rc == 0;
}

static void count_body(struct api_core *core, const struct api_request *request)
{
    if (request->body.len > 0)
        atomic_fetch_add_explicit(&core->metrics.received_bytes, request->body.len,
                                  memory_order_relaxed);
}

enum api_manner api_core_manner(const struct api_request *request)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    struct api_target target = {0};
    struct match found;

    hm_arena_init(&arena, API_ARENA_MAX_BYTES);
    if (api_target_parse(request->target, &arena, &target, NULL))
        return API_MANNER_QUICK;
    find_route(&target, request->method, &found);
    return manner_of(found.route, &target, request);
}

/* Named as OpenTelemetry names what HTTP servers do. */
static void span_end(struct trace_span *span, const struct visit *visit,
                     const struct api_response *response)
{
    const struct api_route *route = visit->found.route;

    if (!span->recording)
        return;
    if (route) {
        span->name = route->id;
        trace_text(span, "http.route", route->pattern);
    }
    trace_text(span, "http.request.method", visit->call.request->method);
    trace_number(span, "http.response.status_code", (int64_t)response->status);
    if (response->status >= 500)
        trace_fail(span);
    trace_end(span);
}

void api_core_handle(struct api_core *core, const struct api_request *request,
                     struct api_response *response)
{
    struct trace_span span;
    struct visit visit;
    int rc;

    trace_begin_request(&span, "request", request->traceparent);
    visit_init(&visit, core, request, response);
    rc = visit_admit(&visit, request->body.len);
    if (rc == 0)
        rc = visit_run(&visit);
    count_body(core, request);
    visit_release(&visit, rc);
    span_end(&span, &visit, response);
}

/* --- acts that nobody waits for --------------------------------------------------------------- */

struct api_pending {
    struct visit visit;
};

static void pending_finish(struct api_pending *pending, int rc)
{
    count_body(pending->visit.call.core, pending->visit.call.request);
    visit_release(&pending->visit, rc);
    hm_free(pending);
}

/* Leaves no trace: it all happens again. */
static void pending_drop(struct api_pending *pending)
{
    struct api_response *response = pending->visit.call.response;

    api_response_release(response);
    *response = (struct api_response){0};
    hm_arena_release(&pending->visit.call.arena);
    hm_free(pending);
}

int api_core_begin(struct api_core *core, const struct api_request *request,
                   struct api_response *response, struct api_later *later, struct api_pending **out)
{
    struct api_pending *pending;
    int rc;

    if (!core->backend->submit_later)
        return API_WAITS;
    pending = hm_malloc(sizeof(*pending));
    if (!pending) {
        api_core_refuse(response, 503, HM_ENOMEM, "out of memory", NULL);
        return 0;
    }
    visit_init(&pending->visit, core, request, response);
    pending->visit.call.later = later;
    rc = visit_admit(&pending->visit, request->body.len);
    if (rc == 0)
        rc = visit_run(&pending->visit);
    if (rc == API_BEGUN)
        *out = pending;
    else if (rc == API_WAITS)
        pending_drop(pending);
    else
        pending_finish(pending, rc);
    return rc > 0 ? rc : 0;
}

bool api_core_end(struct api_pending *pending)
{
    struct visit *visit = &pending->visit;
    struct api_call *call = &visit->call;
    struct api_receipt receipt = {0};
    bool again = false;
    int rc = call->backend->later_end(call->backend->ctx, call->later, &call->arena, &receipt,
                                      &again, &visit->error);

    if (again) {
        pending_drop(pending);
        return false;
    }
    rc = call->ending(call, call->ending_ctx, rc, rc ? NULL : &receipt, &visit->error);
    if (rc == 0 && call->json.error != 0)
        rc = hm_fail(&visit->error, call->json.error, "out of memory for the answer");
    pending_finish(pending, rc);
    return true;
}
