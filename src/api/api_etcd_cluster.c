/* What clients of etcd ask about the server itself. */
#include "api_etcd.h"

int api_etcd_version(struct api_call *call, struct hm_error *error)
{
    (void)error;
    json_out_open(&call->json, '{');
    json_out_put_text(&call->json, "etcdserver", API_ETCD_VERSION);
    json_out_put_text(&call->json, "etcdcluster", API_ETCD_VERSION);
    json_out_close(&call->json, '}');
    return 0;
}

int api_etcd_health(struct api_call *call, struct hm_error *error)
{
    struct api_status status = {0};
    int rc = call->backend->status(call->backend->ctx, &call->arena, &status, error);
    bool healthy = rc == 0 && status.ready;

    if (!healthy)
        call->response->status = 503;
    json_out_open(&call->json, '{');
    json_out_put_text(&call->json, "health", healthy ? "true" : "false");
    json_out_close(&call->json, '}');
    return 0;
}

static int status_body(struct api_call *call, struct hm_error *error)
{
    struct api_etcd_ids ids = {0};
    struct api_status status = {0};
    Hypermesh__KvState *state = NULL;
    int rc = api_etcd_state(call, &state, error);

    if (rc == 0)
        rc = call->backend->status(call->backend->ctx, &call->arena, &status, error);
    if (rc == 0)
        rc = api_etcd_ids(call->core, &call->arena, &ids, error);
    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    api_etcd_header_put(&call->json, &ids, state->revision);
    json_out_put_text(&call->json, "version", API_ETCD_VERSION);
    api_etcd_put_u64(&call->json, "leader", ids.member);
    api_etcd_put_u64(&call->json, "raftIndex", status.height);
    api_etcd_put_u64(&call->json, "raftTerm", API_ETCD_RAFT_TERM);
    api_etcd_put_u64(&call->json, "raftAppliedIndex", status.height);
    json_out_close(&call->json, '}');
    return 0;
}

static int alarm_body(struct api_call *call, struct hm_error *error)
{
    static const char *const actions[] = {"GET", "ACTIVATE", "DEACTIVATE"};
    HM_CLEANUP(json) json_t *body = NULL;
    int action = 0;
    int rc = api_etcd_read(call, &body, error);

    if (rc == 0)
        rc = api_etcd_enum(body, "action", actions, HM_COUNT_OF(actions), &action, error);
    if (rc == 0 && action != 0)
        rc = hm_fail(error, HM_EUNSUPPORTED, "not supported yet: alarms are only listed");
    if (rc)
        return rc;
    json_out_open(&call->json, '{'); /* none */
    json_out_close(&call->json, '}');
    return 0;
}

static int members_body(struct api_call *call, struct hm_error *error)
{
    struct json_out *json = &call->json;
    struct api_status status = {0};
    struct api_etcd_ids ids = {0};
    int rc = call->backend->status(call->backend->ctx, &call->arena, &status, error);

    if (rc == 0)
        rc = api_etcd_ids(call->core, &call->arena, &ids, error);
    if (rc)
        return rc;
    json_out_open(json, '{');
    api_etcd_header_put(json, &ids, 0);
    json_out_key(json, "members");
    json_out_open(json, '[');
    json_out_open(json, '{');
    api_etcd_put_u64(json, "ID", ids.member);
    json_out_put_text(json, "name", status.node_account);
    if (status.listen && status.listen[0] != '\0') {
        char *url = hm_arena_printf(&call->arena, "http://%s", status.listen);

        json_out_key(json, "clientURLs");
        json_out_open(json, '[');
        json_out_text(json, url ? url : "");
        json_out_close(json, ']');
    }
    json_out_close(json, '}');
    json_out_close(json, ']');
    json_out_close(json, '}');
    return 0;
}

/* Who may connect is settled before a request comes here: by the socket, the token or the
 * address. So this is an etcd whose authentication is off. */
static int authenticate_body(struct api_call *call, struct hm_error *error)
{
    (void)call;
    return hm_fail(error, HM_EEXIST, "etcdserver: authentication is not enabled");
}

static int unsupported_body(struct api_call *call, struct hm_error *error)
{
    return hm_fail(error, HM_EUNSUPPORTED, "not supported yet: %s", call->route->pattern);
}

int api_etcd_status(struct api_call *call, struct hm_error *error)
{
    (void)error;
    return api_etcd_run(call, status_body);
}

int api_etcd_alarm(struct api_call *call, struct hm_error *error)
{
    (void)error;
    return api_etcd_run(call, alarm_body);
}

int api_etcd_members(struct api_call *call, struct hm_error *error)
{
    (void)error;
    return api_etcd_run(call, members_body);
}

int api_etcd_authenticate(struct api_call *call, struct hm_error *error)
{
    (void)error;
    return api_etcd_run(call, authenticate_body);
}

int api_etcd_unsupported(struct api_call *call, struct hm_error *error)
{
    (void)error;
    return api_etcd_run(call, unsupported_body);
}
