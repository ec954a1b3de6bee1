/* asset lease and release: the consumer's acts, without a job. */
#include "nexus_resolve.h"
#include "nexus_verbs.h"

static int table_leased(struct nexus_call *call, const json_t *reply, struct hm_buf *out)
{
    if (hm_buf_printf(out, "%s\n", nexus_json_text(reply, "lease")) != 0)
        return nexus_no_memory(call);
    return nexus_table_receipt(call, reply, out);
}

static int run_lease(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    const char *id = NULL;
    int rc = 0;

    if (!nexus_has(call, "share") || !nexus_has(call, "duration"))
        return hm_fail(&call->error, HM_EINVAL,
                       "asset lease needs --share and --duration, such as --share 10%% "
                       "--duration 1h");
    rc = nexus_resolve_asset(call, nexus_operand(call, 0), &id);
    if (!rc)
        rc = nexus_body_option(call, body, "share", "share");
    if (!rc)
        rc = nexus_body_option(call, body, "duration", "duration");
    if (!rc)
        rc = nexus_body_option(call, body, "max_price_per_hour", "max-price");
    if (!rc)
        rc = nexus_body_option(call, body, "account", "account");
    if (!rc)
        rc = nexus_ask(call, "PUT", json_incref(body), &reply, "/assets/%s/allocate",
                       nexus_part(call, id));
    return rc ? rc : nexus_show(call, reply, table_leased);
}

static const struct nexus_option lease_options[] = {
    {.name = "share", .value = "SHARE", .help = "part of the asset, such as 12.5% (required)"},
    {.name = "duration", .value = "TIME", .help = "such as 1h30m (required)"},
    {.name = "max-price",
     .value = "HYPER",
     .help = "refuse when all of it costs more an hour; default: its price as it is now"},
    {.name = "account", .value = "NAME", .help = "who pays; default: user"},
};

const struct nexus_verb verb_asset_lease = {.group = "asset",
                                            .name = "lease",
                                            .alias = "allocate",
                                            .operands = "ASSET",
                                            .operands_min = 1,
                                            .operands_max = 1,
                                            .summary = "Take a share of an asset for a time",
                                            .options = lease_options,
                                            .option_count = HM_COUNT_OF(lease_options),
                                            .run = run_lease};

static int run_release(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    const char *id = NULL;
    const char *lease = nexus_value(call, "lease");
    const char *path = NULL;
    int rc = nexus_resolve_asset(call, nexus_operand(call, 0), &id);

    if (!rc && lease)
        rc = nexus_resolve_lease(call, lease, &lease);
    if (rc)
        return rc;
    path = hm_arena_printf(call->arena, "/assets/%s/release", nexus_part(call, id));
    rc = path ? nexus_query(call, &path, "lease", lease) : nexus_no_memory(call);
    if (!rc)
        rc = nexus_query(call, &path, "account", nexus_value(call, "account"));
    if (!rc)
        rc = nexus_ask(call, "DELETE", NULL, &reply, "%s", path);
    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

static const struct nexus_option release_options[] = {
    {.name = "lease", .value = "LEASE", .help = "which one, when there are several"},
    {.name = "account", .value = "NAME", .help = "who leased it; default: the lease's own"},
};

const struct nexus_verb verb_asset_release = {
    .group = "asset",
    .name = "release",
    .operands = "ASSET",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "End a lease; the time used is paid, the rest comes back",
    .options = release_options,
    .option_count = HM_COUNT_OF(release_options),
    .run = run_release};
