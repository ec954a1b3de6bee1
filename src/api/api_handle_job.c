/* Jobs and the images they run in. Logs are in api_logs.c. */
#include <stdlib.h>

#include "api_handlers.h"

static int find_job(struct api_call *call, const char *id, Hypermesh__JobRecord **out,
                    struct hm_error *error)
{
    return call->backend->job(call->backend->ctx, id, &call->arena, out, error);
}

/* The node does not know the client's working folder. */
static int check_paths(const Hypermesh__JobSpec *spec, struct hm_error *error)
{
    for (size_t i = 0; i < spec->n_inputs; i++) {
        if (spec->inputs[i]->source[0] != '/')
            return hm_fail(error, HM_EINVAL,
                           "inputs: '%.200s' must be an absolute path on the node's machine",
                           spec->inputs[i]->source);
    }
    for (size_t i = 0; i < spec->n_outputs; i++) {
        if (spec->outputs[i]->target[0] != '/')
            return hm_fail(error, HM_EINVAL,
                           "outputs: '%.200s' must be an absolute path on the node's machine",
                           spec->outputs[i]->target);
    }
    return 0;
}

int api_handle_job_create(struct api_call *call, struct hm_error *error)
{
    Hypermesh__JobRecord *record = NULL;
    Hypermesh__JobSpec *spec = NULL;
    int rc = wire_job_spec_parse(call->request->body, "job", &call->arena, &spec, error);

    if (rc == 0)
        rc = check_paths(spec, error);
    if (rc == 0)
        rc = call->backend->job_create(call->backend->ctx, spec,
                                       api_text_or(&call->query, "account", API_ACCOUNT_DEFAULT),
                                       &call->arena, &record, error);
    if (rc == 0)
        json_message(&call->json, &record->base);
    return rc;
}

int api_handle_jobs(struct api_call *call, struct hm_error *error)
{
    Hypermesh__JobRecord **records = NULL;
    size_t count = 0;
    size_t limit = 0;
    int rc = api_query_limit(call, &limit, error);

    if (rc == 0)
        rc = call->backend->jobs(call->backend->ctx, api_text_or(&call->query, "after", NULL),
                                 limit + 1, &call->arena, &records, &count, error);
    if (rc)
        return rc;
    api_messages_json(call, records, count < limit ? count : limit,
                      count > limit ? records[limit - 1]->id : NULL);
    return 0;
}

/* What became of one of the job's transactions; left out while there is none. */
static int job_receipt(struct api_call *call, const char *name, ProtobufCBinaryData digest,
                       struct hm_error *error)
{
    struct json_out *json = &call->json;
    struct api_block block = {0};
    uint8_t(*digests)[32] = NULL;
    struct api_tx tx = {0};
    int rc;

    if (digest.len != WIRE_ID_BYTES)
        return 0;
    rc = call->backend->tx(call->backend->ctx, digest.data, &call->arena, &tx, error);
    if (rc == 0)
        rc = call->backend->block(call->backend->ctx, tx.height, &call->arena, &block, &digests,
                                  error);
    /* A transaction that was refused before it reached a block leaves nothing to show. */
    if (rc == HM_ENOTFOUND || (rc == 0 && (!block.record || !tx.result)))
        return 0;
    if (rc)
        return rc;
    json_out_key(json, name);
    json_out_open(json, '{');
    json_out_key(json, "tx");
    json_out_hex(json, wire_slice(digest));
    json_out_put_u64(json, "height", tx.height);
    json_out_key(json, "block_hash");
    json_out_hex(json, wire_slice(block.record->hash));
    json_out_key(json, "state_root");
    json_out_hex(json, wire_slice(block.record->state_root));
    json_out_put_money(json, "fee", tx.result->fee);
    json_out_close(json, '}');
    return 0;
}

int api_handle_job(struct api_call *call, struct hm_error *error)
{
    struct json_out *json = &call->json;
    Hypermesh__JobRecord *record = NULL;
    Hypermesh__Lease *lease = NULL;
    int rc = find_job(call, call->param.text, &record, error);

    if (rc)
        return rc;
    if (record->lease.len == WIRE_ID_BYTES)
        rc = call->backend->lease(call->backend->ctx, record->lease.data, &call->arena, &lease,
                                  error);
    if (rc && rc != HM_ENOTFOUND)
        return rc;
    json_out_open(json, '{');
    json_message_put(json, &record->base, "lease");
    json_out_key(json, "lease");
    json_message(json, lease ? &lease->base : NULL);
    json_out_key(json, "lease_id");
    json_out_lease(json, wire_slice(record->lease));
    json_out_key(json, "receipts");
    json_out_open(json, '{');
    rc = job_receipt(call, "allocate", record->allocate_tx, error);
    if (rc == 0)
        rc = job_receipt(call, "settle", record->settle_tx, error);
    json_out_close(json, '}');
    json_out_close(json, '}');
    return rc;
}

int api_handle_job_cancel(struct api_call *call, struct hm_error *error)
{
    int rc = call->backend->job_cancel(call->backend->ctx, call->param.text, error);

    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    json_out_close(&call->json, '}');
    return 0;
}

/* Waits in slices, so that a closing server is seen soon. */
static int wait_done(struct api_call *call, uint64_t timeout_ms, Hypermesh__JobRecord **record,
                     struct hm_error *error)
{
    uint64_t until_ns = hm_mono_ns(call->core->clock) + timeout_ms * 1000000;
    HM_CLEANUP(hm_arena) struct hm_arena scratch = {0};
    const char *id = hm_arena_strdup(&call->arena, (*record)->id);
    Hypermesh__JobState state = (*record)->state;
    int rc = id ? 0 : api_no_memory(error);

    hm_arena_init(&scratch, API_ARENA_MAX_BYTES);
    while (rc == 0 && state != HYPERMESH__JOB_STATE__JOB_DONE &&
           !atomic_load(&call->core->closing) &&
           !(call->request->gone && atomic_load(call->request->gone))) {
        uint64_t now_ns = hm_mono_ns(call->core->clock);
        uint64_t left_ms = now_ns < until_ns ? (until_ns - now_ns + 999999) / 1000000 : 0;
        Hypermesh__JobRecord *seen = NULL;

        if (left_ms == 0)
            break;
        /* a log that grows is no news here */
        rc = call->backend->job_wait(
            call->backend->ctx, id, state, UINT64_MAX,
            (unsigned)(left_ms < API_WAIT_SLICE_MS ? left_ms : API_WAIT_SLICE_MS), error);
        hm_arena_clear(&scratch);
        if (rc == 0 || rc == HM_ETIMEOUT)
            rc = call->backend->job(call->backend->ctx, id, &scratch, &seen, error);
        if (rc == 0 && seen->state == state)
            api_wait_nap(call->core, now_ns);
        if (rc == 0)
            state = seen->state;
    }
    return rc ? rc : find_job(call, id, record, error);
}

int api_handle_job_wait(struct api_call *call, struct hm_error *error)
{
    uint64_t timeout_ms = api_number_or(&call->query, "timeout", API_JOB_WAIT_DEFAULT_MS);
    Hypermesh__JobRecord *record = NULL;
    int rc;

    if (timeout_ms > API_JOB_WAIT_MAX_MS)
        return hm_fail(error, HM_ERANGE, "timeout is at most %d minutes",
                       API_JOB_WAIT_MAX_MS / 60000);
    rc = find_job(call, call->param.text, &record, error);
    if (rc == 0)
        rc = api_wait_begin(call->core, error);
    if (rc)
        return rc;
    rc = wait_done(call, timeout_ms, &record, error);
    api_wait_end(call->core);
    if (rc == 0)
        json_message(&call->json, &record->base);
    return rc;
}

/* --- images ----------------------------------------------------------------------------------- */

static void image_json(struct json_out *json, const struct api_image *image)
{
    json_out_open(json, '{');
    json_out_put_text(json, "name", image->name ? image->name : "");
    json_out_put_text(json, "digest", image->digest ? image->digest : "");
    json_out_put_u64(json, "bytes", image->bytes);
    json_out_put_u64(json, "stored_bytes", image->stored_bytes);
    json_out_put_u64(json, "created_ms", image->created_ms);
    json_out_put_u64(json, "layers", image->layers);
    json_out_close(json, '}');
}

static int compare_images(const void *a, const void *b)
{
    const struct api_image *left = a;
    const struct api_image *right = b;

    return strcmp(left->name ? left->name : "", right->name ? right->name : "");
}

int api_handle_images(struct api_call *call, struct hm_error *error)
{
    struct api_image *images = NULL;
    struct api_name_page page = {0};
    const char **names;
    size_t count = 0;
    int rc = call->backend->images(call->backend->ctx, &call->arena, &images, &count, error);

    if (rc)
        return rc;
    names = hm_arena_alloc(&call->arena, (count + 1) * sizeof(*names));
    if (!names)
        return api_no_memory(error);
    if (count > 0)
        qsort(images, count, sizeof(*images), compare_images);
    for (size_t i = 0; i < count; i++)
        names[i] = images[i].name ? images[i].name : "";
    rc = api_page_names(call, names, count, &page, error);
    if (rc)
        return rc;
    api_list_open(&call->json);
    for (size_t i = 0; i < page.count; i++)
        image_json(&call->json, &images[page.first + i]);
    api_list_close(&call->json, page.next);
    return 0;
}

int api_handle_image_import(struct api_call *call, struct hm_error *error)
{
    const char *path = api_record_get(&call->body, "path")->text;
    struct api_image image = {0};
    int rc;

    if (path[0] != '/')
        return hm_fail(error, HM_EINVAL,
                       "path must be absolute: the node does not know your working folder");
    rc = call->backend->image_import(call->backend->ctx, path,
                                     api_text_or(&call->body, "name", NULL), &call->arena, &image,
                                     error);
    if (rc == 0)
        image_json(&call->json, &image);
    return rc;
}

int api_handle_image_base(struct api_call *call, struct hm_error *error)
{
    struct api_image image = {0};
    int rc = call->backend->image_build_base(call->backend->ctx, &call->arena, &image, error);

    if (rc == 0)
        image_json(&call->json, &image);
    return rc;
}

int api_handle_image_remove(struct api_call *call, struct hm_error *error)
{
    int rc = call->backend->image_remove(call->backend->ctx, call->param.text, error);

    if (rc)
        return rc;
    json_out_open(&call->json, '{');
    json_out_close(&call->json, '}');
    return 0;
}
