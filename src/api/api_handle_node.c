/* The process, the machine under it, and this API itself. */
#include "api_cluster.h"
#include "api_handlers.h"

static int node_status(struct api_call *call, struct api_status *status, struct hm_error *error)
{
    memset(status, 0, sizeof(*status));
    return call->backend->status(call->backend->ctx, &call->arena, status, error);
}

int api_handle_livez(struct api_call *call, struct hm_error *error)
{
    (void)error;
    call->json.error = hm_buf_append_str(&call->response->body, "ok\n");
    return 0;
}

int api_handle_readyz(struct api_call *call, struct hm_error *error)
{
    struct api_status status;
    int rc = node_status(call, &status, error);

    if (rc)
        return rc;
    if (!status.ready)
        return hm_fail(error, HM_EBUSY, "not ready: %s",
                       status.not_ready ? status.not_ready : "starting");
    call->json.error = hm_buf_append_str(&call->response->body, "ok\n");
    return 0;
}

int api_handle_openapi(struct api_call *call, struct hm_error *error)
{
    (void)error;
    call->json.error = hm_buf_append(&call->response->body, call->core->document.data,
                                     call->core->document.len);
    return 0;
}

int api_handle_metrics(struct api_call *call, struct hm_error *error)
{
    struct api_metric_route names[API_METRIC_ROUTES_MAX];
    struct hm_buf *out = &call->response->body;
    int rc = call->backend->metrics(call->backend->ctx, out, error);

    if (rc)
        return rc;
    if (out->len > 0 && out->data[out->len - 1] != '\n')
        call->json.error = hm_buf_append_str(out, "\n");
    if (call->json.error == 0)
        call->json.error = api_cluster_metrics(call, out);
    for (size_t i = 0; i < api_route_count; i++)
        names[i] = (struct api_metric_route){api_routes[i].method, api_routes[i].pattern};
    if (call->json.error == 0)
        call->json.error = api_metrics_write(&call->core->metrics, names, api_route_count, out);
    return 0;
}

static void text_list(struct json_out *json, const char *name, const char *const *texts,
                      size_t count)
{
    json_out_key(json, name);
    json_out_open(json, '[');
    for (size_t i = 0; i < count; i++)
        json_out_text(json, texts[i]);
    json_out_close(json, ']');
}

static void put_links(struct json_out *json, const struct api_cluster *cluster)
{
    json_out_key(json, "links");
    json_out_open(json, '[');
    for (size_t i = 0; i < cluster->link_count; i++) {
        const struct api_link *link = &cluster->links[i];

        json_out_open(json, '{');
        json_out_put_hex(json, "node", hm_slice_of(link->node, sizeof(link->node)));
        json_out_put_u64(json, "packets", link->packets);
        json_out_put_u64(json, "lost", link->lost);
        json_out_put_u64(json, "overtaken", link->overtaken);
        json_out_put_u64(json, "duplicated", link->duplicated);
        json_out_put_bool(json, "bad", link->bad);
        json_out_close(json, '}');
    }
    json_out_close(json, ']');
}

static void put_cluster(struct api_call *call, const struct api_status *status)
{
    const struct api_cluster *cluster = status->cluster;
    struct json_out *json = &call->json;
    struct api_votes votes;

    json_out_key(json, "cluster");
    if (cluster == NULL) {
        json_out_null(json);
        return;
    }
    api_votes_read(call, status->height, &votes);
    json_out_open(json, '{');
    json_out_put_text(json, "version", cluster->version);
    json_out_put_u64(json, "validators", cluster->validators);
    json_out_put_u64(json, "peers", cluster->peers);
    json_out_put_u64(json, "starts", cluster->starts);
    json_out_put_u64(json, "pending", cluster->pending);
    json_out_put_bool(json, "reachable", cluster->reachable);
    json_out_put_bool(json, "catching_up", cluster->catching_up);
    json_out_put_bool(json, "validator", cluster->validator);
    json_out_put_bool(json, "quorum", cluster->quorum);
    json_out_put_u64(json, "votes_percent", cluster->votes_percent);
    json_out_put_u64(json, "block_age_ms", cluster->block_age_ms);
    json_out_put_u64(json, "round", votes.round);
    json_out_put_u64(json, "absent", votes.absent);
    json_out_put_u64(json, "nil", votes.nil);
    put_links(json, cluster);
    json_out_close(json, '}');
}

int api_handle_node(struct api_call *call, struct hm_error *error)
{
    struct json_out *json = &call->json;
    struct api_status status;
    int rc = node_status(call, &status, error);

    if (rc)
        return rc;
    json_out_open(json, '{');
    json_out_put_text(json, "version", status.version ? status.version : HM_VERSION);
    json_out_put_text(json, "chain_id", status.chain_id ? status.chain_id : "");
    json_out_put_text(json, "engine", status.engine ? status.engine : "");
    json_out_put_text(json, "node_account", status.node_account);
    json_out_put_text(json, "data_dir", status.data_dir);
    json_out_put_text(json, "listen", status.listen ? status.listen : "");
    json_out_put_u64(json, "height", status.height);
    json_out_put_u64(json, "time_ms", status.time_ms);
    json_out_put_money(json, "base_fee", status.base_fee);
    json_out_put_u64(json, "started_ms", status.started_ms);
    json_out_put_hash(json, "block_hash", status.block_hash);
    json_out_put_hash(json, "state_root", status.state_root);
    json_out_put_bool(json, "ready", status.ready);
    json_out_put_text(json, "not_ready", status.ready ? NULL : status.not_ready);
    json_out_put_u64(json, "queued", status.queued);
    json_out_put_u64(json, "plot_bytes", status.plot_bytes);
    put_cluster(call, &status);
    json_out_put_text(json, "sandbox", status.sandbox);
    text_list(json, "warnings", status.warnings, status.warning_count);
    json_out_close(json, '}');
    return 0;
}

int api_handle_node_stop(struct api_call *call, struct hm_error *error)
{
    int rc = call->backend->stop(call->backend->ctx, error);

    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    json_out_close(&call->json, '}');
    return 0;
}

/* Pairs as one object. Names may be anything: they come from the machine's firmware and file
 * systems. */
static void pairs(struct json_out *json, const char *name, const char *const *pair, size_t count)
{
    json_out_key(json, name);
    json_out_open(json, '{');
    for (size_t i = 0; i < count; i++) {
        json_out_text_key(json, pair[2 * i]);
        json_out_text(json, pair[2 * i + 1] ? pair[2 * i + 1] : "");
    }
    json_out_close(json, '}');
}

static void scan_item(struct json_out *json, const struct api_scan_item *item)
{
    json_out_open(json, '{');
    json_out_put_text(json, "kind", item->kind);
    json_out_put_text(json, "hardware_id", item->hardware_id);
    json_out_put_text(json, "title", item->title ? item->title : "");
    json_out_put_text(json, "unit", item->unit ? item->unit : "");
    json_out_put_u64(json, "capacity", item->capacity);
    pairs(json, "attributes", item->attributes, item->attribute_count);
    pairs(json, "live", item->live, item->live_count);
    json_out_put_text(json, "health", item->health);
    json_out_key(json, "asset");
    if (item->asset)
        json_out_asset(json, hm_slice_of(item->asset, WIRE_ID_BYTES));
    else
        json_out_null(json);
    json_out_close(json, '}');
}

int api_handle_scan(struct api_call *call, struct hm_error *error)
{
    struct json_out *json = &call->json;
    struct api_scan_item *items = NULL;
    const char *const *notes = NULL;
    size_t note_count = 0;
    size_t count = 0;
    int rc = call->backend->scan(call->backend->ctx, &call->arena, &items, &count, &notes,
                                 &note_count, error);

    if (rc)
        return rc;
    json_out_open(json, '{');
    json_out_key(json, "items");
    json_out_open(json, '[');
    for (size_t i = 0; i < count; i++)
        scan_item(json, &items[i]);
    json_out_close(json, ']');
    text_list(json, "notes", notes, note_count);
    json_out_close(json, '}');
    return 0;
}

int api_handle_doctor(struct api_call *call, struct hm_error *error)
{
    struct json_out *json = &call->json;
    struct api_check *checks = NULL;
    size_t count = 0;
    int rc = call->backend->doctor(call->backend->ctx, &call->arena, &checks, &count, error);

    if (rc)
        return rc;
    json_out_open(json, '{');
    json_out_key(json, "items");
    json_out_open(json, '[');
    for (size_t i = 0; i < count; i++) {
        json_out_open(json, '{');
        json_out_put_text(json, "name", checks[i].name ? checks[i].name : "");
        json_out_put_text(json, "level", checks[i].level ? checks[i].level : "note");
        json_out_put_text(json, "text", checks[i].text ? checks[i].text : "");
        json_out_put_text(json, "advice", checks[i].advice);
        json_out_close(json, '}');
    }
    json_out_close(json, ']');
    json_out_close(json, '}');
    return 0;
}
