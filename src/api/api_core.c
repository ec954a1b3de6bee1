#include "api_core.h"

#define WAIT_NAP_NS 5000000

int api_core_init(struct api_core *core, const struct api_backend *backend,
                  const struct hm_clock *clock, struct hm_error *error)
{
    int rc;

    memset(core, 0, sizeof(*core));
    core->backend = backend;
    core->clock = clock;
    core->owner = geteuid();
    rc = api_openapi_write(&core->document);
    if (rc) {
        hm_buf_release(&core->document);
        return hm_fail(error, rc, "out of memory");
    }
    return 0;
}

void api_core_release(struct api_core *core)
{
    hm_buf_release(&core->document);
    hm_wipe(core->token, sizeof(core->token));
}

/* --- answers ------------------------------------------------------------------------------------------------ */

void api_problem_json(struct api_json *json, unsigned status, int code, const char *sentence,
                      const char *path)
{
    char type[64];

    (void)snprintf(type, sizeof(type), "urn:hypermesh:error:%s", hm_error_name(code));
    api_json_open(json, '{');
    api_json_put_text(json, "type", type);
    api_json_put_text(json, "title", hm_error_title(code));
    api_json_put_u64(json, "status", status);
    api_json_put_text(json, "detail",
                      sentence && sentence[0] != '\0' ? sentence : hm_error_title(code));
    api_json_put_text(json, "code", hm_error_name(code));
    if (path)
        api_json_put_text(json, "instance", path);
    api_json_close(json, '}');
}

static void fail_status(struct api_response *response, unsigned status, int code,
                        const char *sentence, const char *path)
{
    struct api_json json = {.out = &response->body};

    hm_buf_clear(&response->body);
    if (response->stream)
        response->stream->release(response->stream);
    response->stream = NULL;
    response->status = status;
    response->content_type = "application/problem+json";
    response->ask_token = status == 401;
    api_problem_json(&json, status, code, sentence, path);
    /* Out of memory: a status without a body still says what happened. */
    if (json.error != 0)
        hm_buf_clear(&response->body);
}

void api_core_fail(struct api_response *response, int code, const char *sentence, const char *path)
{
    fail_status(response, (unsigned)hm_error_http(code), code, sentence, path);
}

uint64_t api_number_or(const struct api_record *record, const char *name, uint64_t fallback)
{
    const struct api_value *value = api_record_get(record, name);

    return value->set ? value->number : fallback;
}

const char *api_text_or(const struct api_record *record, const char *name, const char *fallback)
{
    const struct api_value *value = api_record_get(record, name);

    return value->set ? value->text : fallback;
}

void api_list_open(struct api_json *json)
{
    api_json_open(json, '{');
    api_json_key(json, "items");
    api_json_open(json, '[');
}

void api_list_close(struct api_json *json, const char *next)
{
    api_json_close(json, ']');
    api_json_put_text(json, "next", next);
    api_json_close(json, '}');
}

int api_query_limit(const struct api_call *call, size_t *limit, struct hm_error *error)
{
    uint64_t value = api_number_or(&call->query, "limit", API_PAGE_DEFAULT);

    if (value < 1 || value > API_PAGE_MAX)
        return hm_fail(error, HM_ERANGE, "limit must be from 1 to %d", API_PAGE_MAX);
    *limit = (size_t)value;
    return 0;
}

int api_wait_begin(struct api_core *core, struct hm_error *error)
{
    if (atomic_fetch_add(&core->metrics.waits, 1) >= API_WAITS_MAX) {
        atomic_fetch_sub(&core->metrics.waits, 1);
        return hm_fail(error, HM_EBUSY,
                       "%d streams and waits are open already; close one or ask again later",
                       API_WAITS_MAX);
    }
    return 0;
}

void api_wait_end(struct api_core *core)
{
    atomic_fetch_sub(&core->metrics.waits, 1);
}

void api_wait_nap(const struct api_core *core, uint64_t turn_started_ns)
{
    const struct timespec nap = {.tv_nsec = WAIT_NAP_NS};

    if (hm_mono_ns(core->clock) - turn_started_ns < WAIT_NAP_NS)
        (void)nanosleep(&nap, NULL);
}

/* --- finding the route -------------------------------------------------------------------------------------- */

struct match {
    const struct api_route *route; /* NULL: none with this method */
    const char *param; /* decoded text, or NULL */
    const char *param_name; /* in the pattern, not terminated */
    size_t param_name_len;
    bool path_known; /* some method would do */
};

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
        } else if (strlen(target->segments[at]) != len ||
                   memcmp(target->segments[at], part, len) != 0) {
            return false;
        }
        at++;
        pattern = part + len;
    }
    return at == target->segment_count;
}

static bool method_fits(const struct api_route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* Fixed paths stand before patterns in the table, so the first that fits path and method is the right one. */
static void find_route(const struct api_target *target, const char *method, struct match *out)
{
    bool path_known = false;

    *out = (struct match){0};
    for (size_t i = 0; i < api_route_count && !out->route; i++) {
        struct match found = {0};

        if (!match_pattern(api_routes[i].pattern, target, &found))
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

/* --- from request to answer --------------------------------------------------------------------------------- */

static bool media_type_fits(const struct api_route *route, const char *header)
{
    switch (route->body_kind) {
    case API_BODY_JSON:
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
    return route->body_kind == API_BODY_JSON  ? "application/json"
           : route->body_kind == API_BODY_JOB ? "application/yaml or application/json"
                                              : "application/octet-stream";
}

/* Path of the request for the problem's `instance`; without the query, which may be long. */
static const char *instance_of(const struct api_request *request, struct hm_arena *arena)
{
    size_t len = strcspn(request->target, "?");
    char *copy = len <= API_URL_MAX_BYTES ? hm_arena_dup(arena, request->target, len + 1) : NULL;

    if (copy)
        copy[len] = '\0';
    return copy;
}

struct refusal {
    unsigned status;
    int code;
};

/* Everything that can be said before the body is here. 0, or the refusal's code with its status. */
static int admit(struct api_core *core, const struct api_request *request, uint64_t length,
                 struct api_target *target, struct match *found, struct hm_arena *arena,
                 struct refusal *refusal, struct api_response *response, struct hm_error *error)
{
    int rc = api_target_parse(request->target, arena, target, error);

    if (rc) {
        *refusal = (struct refusal){rc == HM_ELIMIT ? 414 : (unsigned)hm_error_http(rc), rc};
        return rc;
    }
    find_route(target, request->method, found);
    rc = api_auth_check_origin(request, error);
    if (rc == 0 && !(found->route && found->route->open))
        rc = api_auth_check_caller(request, core->owner, core->token, error);
    *refusal = (struct refusal){(unsigned)hm_error_http(rc), rc};
    if (rc)
        return rc;
    if (!found->path_known) {
        *refusal = (struct refusal){404, HM_ENOTFOUND};
        return hm_fail(error, HM_ENOTFOUND,
                       "there is nothing at this path; GET /openapi.json lists what there is");
    }
    if (!found->route) {
        response->allow = allow_text(target);
        *refusal = (struct refusal){405, HM_EINVAL};
        return hm_fail(error, HM_EINVAL, "this path does not take %.20s; it takes %s",
                       request->method, response->allow);
    }
    if (length > API_BODY_MAX_BYTES) {
        *refusal = (struct refusal){413, HM_ELIMIT};
        return hm_fail(error, HM_ELIMIT, "the body is longer than %zu bytes", API_BODY_MAX_BYTES);
    }
    if (found->route->body_kind == API_BODY_NONE && length > 0) {
        *refusal = (struct refusal){400, HM_EINVAL};
        return hm_fail(error, HM_EINVAL, "this request takes no body");
    }
    if (!media_type_fits(found->route, request->content_type)) {
        *refusal = (struct refusal){415, HM_EINVAL};
        return hm_fail(error, HM_EINVAL, "the Content-Type must be %s",
                       media_type_wanted(found->route));
    }
    return 0;
}

static const struct api_fields no_fields = {.name = "None"};

enum api_form api_param_form(const char *name, size_t len)
{
    static const struct {
        const char *name;
        enum api_form form;
    } forms[] = {
        {"asset", API_ASSET}, {"lease", API_LEASE}, {"digest", API_DIGEST}, {"key", API_HEX}};

    for (size_t i = 0; i < HM_COUNT_OF(forms); i++) {
        if (strlen(forms[i].name) == len && memcmp(forms[i].name, name, len) == 0)
            return forms[i].form;
    }
    return API_TEXT;
}

static int parse_call(struct api_call *call, const struct match *found,
                      const struct api_target *target, struct hm_error *error)
{
    const struct api_route *route = call->route;
    char name[32];
    int rc = 0;

    if (found->param) {
        (void)snprintf(name, sizeof(name), "%.*s", (int)found->param_name_len, found->param_name);
        rc = api_value_parse_text(api_param_form(found->param_name, found->param_name_len), name,
                                  found->param, &call->arena, &call->param, error);
    }
    if (rc == 0)
        rc = api_record_parse_query(route->query ? route->query : &no_fields, target->query,
                                    target->query_count, &call->arena, &call->query, error);
    if (rc == 0 && route->body_kind == API_BODY_JSON)
        rc = api_record_parse_json(route->body, call->request->body, &call->arena, &call->body,
                                   error);
    return rc;
}

static void call_route(struct api_core *core, const struct api_request *request,
                       const struct match *found, const struct api_target *target,
                       struct hm_arena *arena, struct api_response *response)
{
    struct api_call call = {.core = core,
                            .backend = core->backend,
                            .request = request,
                            .route = found->route,
                            .arena = *arena,
                            .response = response,
                            .json = {.out = &response->body}};
    struct hm_error error = {0};
    int rc = parse_call(&call, found, target, &error);

    response->status = found->route->status;
    response->content_type = found->route->media_type ? found->route->media_type
                                                      : "application/json";
    if (rc == 0)
        rc = found->route->handle(&call, &error);
    if (rc == 0 && call.json.error != 0)
        rc = hm_fail(&error, call.json.error, "out of memory for the answer");
    *arena = call.arena;
    if (rc)
        api_core_fail(response, rc, error.text, instance_of(request, arena));
}

static void count_in(struct api_core *core, const struct match *found,
                     const struct api_response *response, uint64_t started_ns)
{
    size_t route = found->route ? (size_t)(found->route - api_routes) : API_METRIC_NO_ROUTE;

    api_metrics_count(&core->metrics, route, response->status,
                      hm_mono_ns(core->clock) - started_ns);
}

bool api_core_admit(struct api_core *core, const struct api_request *request, uint64_t length,
                    struct api_response *response)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    uint64_t started_ns = hm_mono_ns(core->clock);
    struct api_target target = {0};
    struct refusal refusal = {0};
    struct hm_error error = {0};
    struct match found = {0};

    hm_arena_init(&arena, API_ARENA_MAX_BYTES);
    if (admit(core, request, length, &target, &found, &arena, &refusal, response, &error) == 0)
        return true;
    fail_status(response, refusal.status, refusal.code, error.text, instance_of(request, &arena));
    count_in(core, &found, response, started_ns);
    return false;
}

void api_core_handle(struct api_core *core, const struct api_request *request,
                     struct api_response *response)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    uint64_t started_ns = hm_mono_ns(core->clock);
    struct api_target target = {0};
    struct refusal refusal = {0};
    struct hm_error error = {0};
    struct match found = {0};

    hm_arena_init(&arena, API_ARENA_MAX_BYTES);
    if (admit(core, request, request->body.len, &target, &found, &arena, &refusal, response,
              &error))
        fail_status(response, refusal.status, refusal.code, error.text,
                    instance_of(request, &arena));
    else
        call_route(core, request, &found, &target, &arena, response);
    atomic_fetch_add_explicit(&core->metrics.received_bytes, request->body.len,
                              memory_order_relaxed);
    count_in(core, &found, response, started_ns);
}
