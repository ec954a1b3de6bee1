#include "api_fresh.h"

/* clang-format off */
static const struct api_field fresh[] = {
    {.name = "min_height", .form = JSON_FORM_UINT, .about = "Answers when the block of this height is here: what it did is then seen."},
    {.name = "wait_ms", .form = JSON_FORM_UINT, .about = "How long to wait for min_height, at most 60000; 10000 when left out."},
};
const struct api_fields api_query_fresh = {.name = "FreshQuery", .rows = fresh, .count = HM_COUNT_OF(fresh)};
/* clang-format on */

static bool is_ours(const char *name)
{
    return strcmp(name, "min_height") == 0 || strcmp(name, "wait_ms") == 0;
}

bool api_fresh_asked(const struct api_route *route, const struct api_target *target)
{
    bool asked = false;

    for (size_t i = 0; route && (route->flags & API_LEDGER) != 0 && i < target->query_count; i++)
        asked = asked || is_ours(target->query[i].name);
    return asked;
}

int api_fresh_check_wait(uint64_t wait_ms, struct hm_error *error)
{
    return wait_ms <= API_FRESH_WAIT_MAX_MS
               ? 0
               : hm_fail(error, HM_ERANGE, "wait_ms is at most %d", API_FRESH_WAIT_MAX_MS);
}

int api_fresh_take(struct api_call *call, struct api_target *target, struct api_fresh_wanted *out,
                   struct hm_error *error)
{
    struct api_pair mine[API_QUERY_MAX];
    struct api_record record = {0};
    size_t count = 0, left = 0;
    int rc;

    for (size_t i = 0; i < target->query_count; i++) {
        if (is_ours(target->query[i].name))
            mine[count++] = target->query[i];
        else
            target->query[left++] = target->query[i];
    }
    target->query_count = left;
    if (count == 0)
        return 0;
    rc = api_record_parse_query(&api_query_fresh, mine, count, &call->arena, &record, error);
    if (rc)
        return rc;
    if (!api_record_get(&record, "min_height")->set)
        return hm_fail(error, HM_EINVAL, "wait_ms goes with min_height");
    out->height = api_number_or(&record, "min_height", 0);
    out->wait_ms = api_number_or(&record, "wait_ms", API_FRESH_WAIT_DEFAULT_MS);
    return api_fresh_check_wait(out->wait_ms, error);
}

/* --- waiting ---------------------------------------------------------------------------------- */

static int too_late(struct api_call *call, uint64_t height, uint64_t wait_ms,
                    struct hm_error *error)
{
    const struct api_backend *backend = call->backend;
    struct api_fresh now = {0};
    int rc = backend->fresh(backend->ctx, &now, error);

    return rc ? rc
              : hm_fail(error, HM_ETIMEOUT,
                        "block %llu was not here within %llu ms: the newest is block %llu; ask "
                        "again, or another node",
                        (unsigned long long)height, (unsigned long long)wait_ms,
                        (unsigned long long)now.height);
}

/* A block that nobody needs costs every node of the cluster. */
static bool may_ask(struct api_call *call)
{
    struct api_core *core = call->core;

    return !call->stranger || api_strangers_may_ask(&core->strangers, hm_mono_ns(core->clock));
}

/* In slices, so that a closing server and a client that has gone are seen soon. */
static int wait_slices(struct api_call *call, uint64_t height, uint64_t wait_ms, bool ask,
                       struct hm_error *error)
{
    struct api_core *core = call->core;
    uint64_t until_ns = hm_mono_ns(core->clock) + wait_ms * 1000000;
    int rc = HM_ETIMEOUT;

    while (rc == HM_ETIMEOUT) {
        uint64_t now_ns = hm_mono_ns(core->clock);
        uint64_t left_ms = now_ns < until_ns ? (until_ns - now_ns + 999999) / 1000000 : 0;

        if (atomic_load(&core->closing))
            return hm_fail(error, HM_EBUSY, "the node is stopping");
        if (call->request->gone && atomic_load(call->request->gone))
            return hm_fail(error, HM_ECANCELLED, "the client has gone");
        if (left_ms == 0)
            return too_late(call, height, wait_ms, error);
        rc = call->backend->wait_height(
            call->backend->ctx, height, ask && may_ask(call),
            (unsigned)(left_ms < API_WAIT_SLICE_MS ? left_ms : API_WAIT_SLICE_MS), error);
        if (rc == HM_ETIMEOUT)
            api_wait_nap(core, now_ns);
    }
    return rc;
}

int api_fresh_wait(struct api_call *call, uint64_t height, uint64_t wait_ms, bool ask,
                   struct hm_error *error)
{
    int rc;

    if (!call->backend->wait_height || !call->backend->fresh)
        return hm_fail(error, HM_EUNSUPPORTED, "this node cannot wait for a block");
    rc = call->backend->wait_height(call->backend->ctx, height, false, 0, error);
    if (rc != HM_ETIMEOUT)
        return rc;
    if (wait_ms == 0)
        return too_late(call, height, 0, error);
    rc = api_wait_begin(call->core, error);
    if (rc)
        return rc;
    rc = wait_slices(call, height, wait_ms, ask, error);
    api_wait_end(call->core);
    return rc;
}

int api_fresh_meet(struct api_call *call, const struct api_fresh_wanted *wanted,
                   struct hm_error *error)
{
    const struct api_backend *backend = call->backend;
    struct api_response *response = call->response;
    int rc = wanted->height ? api_fresh_wait(call, wanted->height, wanted->wait_ms, false, error)
                            : 0;
    uint64_t now_ms = hm_wall_ms(call->core->clock);

    /* Before the reading: what is read may be newer, never older. A node without a chain yet says nothing. */
    response->fresh = backend->fresh && backend->fresh(backend->ctx, &response->read_at, NULL) == 0;
    if (response->fresh && now_ms > response->read_at.time_ms)
        response->age_ms = now_ms - response->read_at.time_ms;
    return rc;
}
