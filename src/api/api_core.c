#include "api_core.h"

#define WAIT_NAP_NS 5000000

static int init_tables(struct api_core *core)
{
    int rc = api_follows_init(&core->follows, core->backend);

    if (rc)
        return rc;
    rc = api_things_init(&core->things);
    if (rc == 0) {
        rc = api_idempotency_init(&core->idempotency, core->backend, core->clock);
        if (rc)
            api_things_release(&core->things);
    }
    if (rc)
        api_follows_release(&core->follows);
    return rc;
}

int api_core_init(struct api_core *core, const struct api_backend *backend,
                  const struct hm_clock *clock, struct hm_error *error)
{
    int rc;

    memset(core, 0, sizeof(*core));
    core->backend = backend;
    core->clock = clock;
    core->owner = geteuid();
    core->kv_account = API_ACCOUNT_DEFAULT;
    api_strangers_init(&core->strangers);
    api_votes_init(&core->votes);
    rc = api_openapi_write(&core->document);
    if (rc == 0)
        rc = init_tables(core);
    if (rc) {
        api_strangers_release(&core->strangers);
        api_votes_release(&core->votes);
        hm_buf_release(&core->document);
        core->backend = NULL; /* nothing to release */
        return hm_fail(error, rc, "out of memory");
    }
    return 0;
}

void api_core_release(struct api_core *core)
{
    if (core->backend) {
        api_follows_release(&core->follows);
        api_things_release(&core->things);
        api_idempotency_release(&core->idempotency);
        api_strangers_release(&core->strangers);
        api_votes_release(&core->votes);
    }
    hm_buf_release(&core->document);
    hm_wipe(core->token, sizeof(core->token));
}

/* --- answers ---------------------------------------------------------------------------------- */

void api_problem_json(struct json_out *json, unsigned status, int code, const char *sentence,
                      const char *path)
{
    char type[64];

    (void)snprintf(type, sizeof(type), "urn:hypermesh:error:%s", hm_error_name(code));
    json_out_open(json, '{');
    json_out_put_text(json, "type", type);
    json_out_put_text(json, "title", hm_error_title(code));
    json_out_put_u64(json, "status", status);
    json_out_put_text(json, "detail",
                      sentence && sentence[0] != '\0' ? sentence : hm_error_title(code));
    json_out_put_text(json, "code", hm_error_name(code));
    if (path)
        json_out_put_text(json, "instance", path);
    json_out_close(json, '}');
}

void api_core_refuse(struct api_response *response, unsigned status, int code, const char *sentence,
                     const char *path)
{
    struct json_out json = {.out = &response->body};

    hm_buf_clear(&response->body);
    api_stream_release(response->stream);
    response->stream = NULL;
    response->etag[0] = '\0';
    response->replayed = false;
    response->status = status;
    response->content_type = API_PROBLEM_TYPE;
    response->ask_token = status == 401;
    api_problem_json(&json, status, code, sentence, path);
    /* Out of memory: a status without a body still says what happened. */
    if (json.error != 0)
        hm_buf_clear(&response->body);
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

void api_list_open(struct json_out *json)
{
    json_out_open(json, '{');
    json_out_key(json, "items");
    json_out_open(json, '[');
}

void api_list_close(struct json_out *json, const char *next)
{
    json_out_close(json, ']');
    json_out_put_text(json, "next", next);
    json_out_close(json, '}');
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
                       "%d requests wait for jobs or replay the chain already; ask again later",
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
