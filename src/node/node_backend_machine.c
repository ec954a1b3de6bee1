/* Behind the API: this machine, jobs and images. */
#include <stdio.h>

#include "node_job.h"

/* --- scan -------------------------------------------------------------------------------------------------- */

/* name, value, name, value, ... */
static const char **node_pairs(const struct asset_attribute *attributes, size_t count,
                               struct hm_arena *arena)
{
    const char **pairs = hm_arena_alloc(arena, (count * 2 + 1) * sizeof(*pairs));

    for (size_t i = 0; pairs != NULL && i < count; i++) {
        pairs[i * 2] = attributes[i].name;
        pairs[i * 2 + 1] = attributes[i].value;
    }
    return pairs;
}

static int node_scan_item(struct node *node, struct ledger_view *view,
                          const struct asset_found *found, struct hm_arena *arena,
                          struct api_scan_item *out)
{
    uint8_t *id = hm_arena_alloc(arena, WIRE_ID_BYTES);
    Hypermesh__Asset *asset;

    if (id == NULL)
        return HM_ENOMEM;
    *out = (struct api_scan_item){
        .kind = wire_asset_kind_name(found->kind),
        .hardware_id = found->hardware_id,
        .title = found->title,
        .unit = wire_asset_kind_unit(found->kind),
        .capacity = found->capacity,
        .attributes = node_pairs(found->attributes, found->attribute_count, arena),
        .attribute_count = found->attribute_count,
        .live = node_pairs(found->live, found->live_count, arena),
        .live_count = found->live_count,
        .health = found->healthy ? NULL : found->health};
    proof_asset_id(node->operator_id, found->kind, found->hardware_id, id);
    if (ledger_view_asset(view, id, arena, &asset, NULL) == 0 &&
        asset->state == HYPERMESH__ASSET_STATE__ACTIVE)
        out->asset = id;
    return out->attributes == NULL || out->live == NULL ? HM_ENOMEM : 0;
}

static int node_scan(void *ctx, struct hm_arena *arena, struct api_scan_item **out, size_t *count,
                     const char *const **notes, size_t *note_count, struct hm_error *error)
{
    struct asset_inventory inventory;
    struct api_scan_item *items;
    struct ledger_view *view;
    int rc = node_need_ready(ctx, error);

    if (rc == 0) /* scans wait for each other: no snapshot is held meanwhile */
        rc = node_hardware_scan(ctx, arena, &inventory, error);
    if (rc == 0)
        rc = node_view(ctx, &view, error);
    if (rc != 0)
        return rc;
    items = hm_arena_alloc(arena, (inventory.count + 1) * sizeof(*items));
    if (items == NULL)
        rc = HM_ENOMEM;
    for (size_t i = 0; rc == 0 && i < inventory.count; i++)
        rc = node_scan_item(ctx, view, &inventory.items[i], arena, &items[i]);
    ledger_view_close(view);
    if (rc != 0)
        return rc == HM_ENOMEM ? hm_fail(error, rc, "no memory for a scan") : rc;
    *out = items;
    *count = inventory.count;
    *notes = (const char *const *)inventory.notes;
    *note_count = inventory.note_count;
    return 0;
}

/* --- jobs ---------------------------------------------------------------------------------------------------- */

static int node_need_sandbox(struct node *node, struct hm_error *error)
{
    int rc = node_need_ready(node, error);

    if (rc == 0 && !node->machine_known) /* written before ready, never after */
        rc = hm_fail(error, HM_EUNAVAILABLE,
                     "no container runtime works on this machine, so it runs no jobs: see "
                     "'nexus doctor'");
    return rc;
}

static int node_backend_job_create(void *ctx, const Hypermesh__JobSpec *spec, const char *account,
                                   struct hm_arena *arena, Hypermesh__JobRecord **out,
                                   struct hm_error *error)
{
    struct node *node = ctx;
    struct runtime_image image;
    char name[TRUST_NAME_MAX + 1];
    int rc = node_need_sandbox(node, error);

    if (rc == 0)
        rc = node_signer(node, account == NULL ? NODE_USER : account, name, error);
    if (rc == 0) /* before a lease is paid for */
        rc = runtime_image_get(node->images, spec->image, &image, error);
    return rc != 0 ? rc : node_job_create(node, spec, name, arena, out, error);
}

static int node_backend_jobs(void *ctx, const char *after, size_t limit, struct hm_arena *arena,
                             Hypermesh__JobRecord ***out, size_t *count, struct hm_error *error)
{
    return node_job_list(ctx, after, limit, arena, out, count, error);
}

static int node_backend_job(void *ctx, const char *id, struct hm_arena *arena,
                            Hypermesh__JobRecord **out, struct hm_error *error)
{
    return node_job_get(ctx, id, arena, out, error);
}

static int node_backend_job_cancel(void *ctx, const char *id, struct hm_error *error)
{
    return node_job_cancel(ctx, id, error);
}

static int node_backend_job_wait(void *ctx, const char *id, Hypermesh__JobState seen_state,
                                 uint64_t seen_log_bytes, unsigned timeout_ms,
                                 struct hm_error *error)
{
    (void)error;
    node_job_wait(ctx, id, seen_state, seen_log_bytes, timeout_ms);
    return 0;
}

static int node_backend_job_log(void *ctx, const char *id, struct hm_arena *arena,
                                struct api_log *out, struct hm_error *error)
{
    char folder[NODE_PATH_MAX_BYTES];
    Hypermesh__JobRecord *record;
    int rc = node_job_get(ctx, id, arena, &record, error);

    if (rc != 0)
        return rc;
    node_job_folder(ctx, record->id, folder);
    out->path = hm_arena_printf(arena, "%s/log", folder);
    if (out->path == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a log's path");
    out->ended = record->state == HYPERMESH__JOB_STATE__JOB_DONE ||
                 record->state == HYPERMESH__JOB_STATE__JOB_SETTLING;
    return 0;
}

/* --- images -------------------------------------------------------------------------------------------------------- */

static int node_image_copy(const struct runtime_image *image, struct hm_arena *arena,
                           struct api_image *out, struct hm_error *error)
{
    *out = (struct api_image){.name = hm_arena_strdup(arena, image->name),
                              .digest = hm_arena_strdup(arena, image->digest),
                              .bytes = image->bytes,
                              .stored_bytes = image->stored_bytes,
                              .created_ms = image->created_ms,
                              .layers = image->layers};
    if (out->name == NULL || out->digest == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an image");
    return 0;
}

static int node_images(void *ctx, struct hm_arena *arena, struct api_image **out, size_t *count,
                       struct hm_error *error)
{
    struct node *node = ctx;
    struct runtime_image *images;
    struct api_image *list;
    size_t found;
    int rc = runtime_image_list(node->images, &images, &found, error);

    if (rc != 0)
        return rc;
    list = hm_arena_alloc(arena, (found + 1) * sizeof(*list));
    if (list == NULL)
        rc = hm_fail(error, HM_ENOMEM, "no memory for %zu images", found);
    for (size_t i = 0; rc == 0 && i < found; i++)
        rc = node_image_copy(&images[i], arena, &list[i], error);
    hm_free(images);
    if (rc != 0)
        return rc;
    *out = list;
    *count = found;
    return 0;
}

static int node_image_import(void *ctx, const char *path, const char *name, struct hm_arena *arena,
                             struct api_image *out, struct hm_error *error)
{
    struct node *node = ctx;
    struct runtime_image image;
    int rc = runtime_image_import(node->images, path, name, &image, error);

    return rc != 0 ? rc : node_image_copy(&image, arena, out, error);
}

static int node_image_build_base(void *ctx, struct hm_arena *arena, struct api_image *out,
                                 struct hm_error *error)
{
    struct node *node = ctx;
    struct runtime_image image;
    int rc = runtime_image_build_base(node->images, NULL, &image, error);

    return rc != 0 ? rc : node_image_copy(&image, arena, out, error);
}

static int node_image_remove(void *ctx, const char *name, struct hm_error *error)
{
    struct node *node = ctx;

    return runtime_image_remove(node->images, name, error);
}

void node_backend_machine_init(struct node *node)
{
    struct api_backend *backend = &node->backend;

    backend->scan = node_scan;
    backend->doctor = node_doctor;
    backend->job_create = node_backend_job_create;
    backend->jobs = node_backend_jobs;
    backend->job = node_backend_job;
    backend->job_cancel = node_backend_job_cancel;
    backend->job_wait = node_backend_job_wait;
    backend->job_log = node_backend_job_log;
    backend->images = node_images;
    backend->image_import = node_image_import;
    backend->image_build_base = node_image_build_base;
    backend->image_remove = node_image_remove;
}
