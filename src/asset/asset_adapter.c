/* The table of adapters, what a job's use becomes on the ledger, and how large a share must be. */
#include "asset_limit.h"

#include <inttypes.h>

static int adapter_share_for(const Hypermesh__Asset *asset, uint64_t amount, uint32_t *share_ppm,
                             struct hm_error *error)
{
    uint64_t share;

    if (amount == 0)
        return hm_fail(error, HM_ERANGE, "a share of %s must hold something: 0 was asked for",
                       asset->hardware_id);
    if (amount > asset->capacity)
        return hm_fail(error, HM_ERANGE, "%" PRIu64 " %s were asked for, all of %s is %" PRIu64,
                       amount, wire_asset_kind_unit(asset->kind), asset->hardware_id,
                       asset->capacity);
    if (!hm_muldiv_up_u64(amount, ASSET_SHARE_WHOLE_PPM, asset->capacity, &share))
        return hm_fail(error, HM_EINTERNAL, "the share of %s cannot be worked out",
                       asset->hardware_id);
    *share_ppm = (uint32_t)share;
    return 0;
}

struct adapter_line {
    const char *unit;
    uint64_t amount;
};

static bool adapter_has_unit(Hypermesh__ResourceTransaction *const *records, size_t count,
                             Hypermesh__AssetKind kind, const char *unit)
{
    for (size_t i = 0; i < count; i++)
        if (records[i]->resource_type == kind && strcmp(records[i]->unit, unit) == 0)
            return true;
    return false;
}

static int adapter_append(const struct asset_share *share, const Hypermesh__JobUsage *used,
                          const struct adapter_line *lines, size_t line_count,
                          struct hm_arena *arena, Hypermesh__ResourceTransaction **records,
                          size_t *count, struct hm_error *error)
{
    Hypermesh__AssetKind kind = share->asset->kind;
    Hypermesh__ResourceTransaction *made[ASSET_USAGE_MAX];

    for (size_t i = 0; i < line_count; i++) {
        made[i] = hm_arena_alloc(arena, sizeof(*made[i]));
        if (made[i] == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory for a usage record");
        hypermesh__resource_transaction__init(made[i]);
        made[i]->unit = hm_arena_strdup(arena, lines[i].unit);
        if (made[i]->unit == NULL)
            return hm_fail(error, HM_ENOMEM, "no memory for a usage record");
        made[i]->resource_type = kind;
        made[i]->duration_ms = used->wall_ms;
        made[i]->amount = adapter_has_unit(records, *count, kind, lines[i].unit) ? 0
                                                                                 : lines[i].amount;
    }
    memcpy(records + *count, made, line_count * sizeof(*made));
    *count += line_count;
    return 0;
}

static int adapter_usage_cpu(const struct asset_share *share, const Hypermesh__JobUsage *used,
                             struct hm_arena *arena, Hypermesh__ResourceTransaction **records,
                             size_t *count, struct hm_error *error)
{
    const struct adapter_line lines[] = {{"cpu-ns", used->cpu_ns}};

    return adapter_append(share, used, lines, HM_COUNT_OF(lines), arena, records, count, error);
}

static int adapter_usage_memory(const struct asset_share *share, const Hypermesh__JobUsage *used,
                                struct hm_arena *arena, Hypermesh__ResourceTransaction **records,
                                size_t *count, struct hm_error *error)
{
    const struct adapter_line lines[] = {{"bytes-peak", used->memory_peak_bytes}};

    return adapter_append(share, used, lines, HM_COUNT_OF(lines), arena, records, count, error);
}

static int adapter_usage_storage(const struct asset_share *share, const Hypermesh__JobUsage *used,
                                 struct hm_arena *arena, Hypermesh__ResourceTransaction **records,
                                 size_t *count, struct hm_error *error)
{
    const struct adapter_line lines[] = {{"bytes-read", used->io_read_bytes},
                                         {"bytes-written", used->io_write_bytes},
                                         {"bytes-output", used->output_bytes}};

    return adapter_append(share, used, lines, HM_COUNT_OF(lines), arena, records, count, error);
}

static int adapter_usage_gpu(const struct asset_share *share, const Hypermesh__JobUsage *used,
                             struct hm_arena *arena, Hypermesh__ResourceTransaction **records,
                             size_t *count, struct hm_error *error)
{
    const struct adapter_line lines[] = {{"gpu-ns", used->gpu_ns}};

    return adapter_append(share, used, lines, HM_COUNT_OF(lines), arena, records, count, error);
}

/* A slot is used by being held: the amount is of this share, not of the job. */
static int adapter_usage_container(const struct asset_share *share, const Hypermesh__JobUsage *used,
                                   struct hm_arena *arena, Hypermesh__ResourceTransaction **records,
                                   size_t *count, struct hm_error *error)
{
    struct adapter_line line = {"slots", 0};
    size_t before = *count;
    int rc = asset_share_amount(share, &line.amount, error);

    if (rc == 0)
        rc = adapter_append(share, used, &line, 1, arena, records, count, error);
    if (rc == 0)
        records[before]->amount = line.amount;
    return rc;
}

static const struct asset_adapter adapter_table[] = {
    {HYPERMESH__ASSET_KIND__CPU, asset_limit_cpu, adapter_usage_cpu, adapter_share_for},
    {HYPERMESH__ASSET_KIND__MEMORY, asset_limit_memory, adapter_usage_memory, adapter_share_for},
    {HYPERMESH__ASSET_KIND__STORAGE, asset_limit_storage, adapter_usage_storage, adapter_share_for},
    {HYPERMESH__ASSET_KIND__GPU, asset_limit_gpu, adapter_usage_gpu, adapter_share_for},
    {HYPERMESH__ASSET_KIND__CONTAINER, asset_limit_container, adapter_usage_container,
     adapter_share_for},
};

const struct asset_adapter *asset_adapter_of(Hypermesh__AssetKind kind)
{
    for (size_t i = 0; i < HM_COUNT_OF(adapter_table); i++)
        if (adapter_table[i].kind == kind)
            return &adapter_table[i];
    return NULL;
}
