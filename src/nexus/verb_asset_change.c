/* asset register, update, transfer, retire, privacy: the owner's acts. */
#include "nexus_resolve.h"
#include "nexus_verbs.h"
#include "wire.h"

/* clang-format off */
#define ACCOUNT_OPTION {.name = "account", .value = "NAME", .help = "who acts; default: the owner"}
#define ATTRIBUTE_OPTION                                                                     \
    {.name = "attribute", .value = "NAME=VALUE", .help = "a fact about it", .many = true}
/* clang-format on */

/* A whole asset id for the body, from whatever the user wrote. */
static int operand_asset(struct nexus_call *call, const char **id)
{
    return nexus_resolve_asset(call, nexus_operand(call, 0), id);
}

static int finish(struct nexus_call *call, int rc, const json_t *reply)
{
    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

/* Capacity as people write it: "2" cores or devices, "64G", a plain number of slots. */
static int body_capacity(struct nexus_call *call, json_t *body, const char *kind)
{
    const char *text = nexus_value(call, "capacity");
    uint64_t value = 0;
    int rc;

    if (!text)
        return 0;
    if (strcmp(kind, "cpu") == 0 || strcmp(kind, "gpu") == 0)
        rc = hm_decimal_parse(text, 3, &value, &call->error);
    else if (strcmp(kind, "memory") == 0 || strcmp(kind, "storage") == 0)
        rc = hm_size_parse(text, &value, &call->error);
    else
        rc = hm_u64_parse(text, &value, &call->error);
    if (rc)
        return hm_error_prefix(&call->error, rc, "--capacity");
    if (value > INT64_MAX)
        return hm_fail(&call->error, HM_ERANGE, "--capacity %s: too large", text);
    return json_object_set_new(body, "capacity", json_integer((json_int_t)value)) == 0
               ? 0
               : nexus_no_memory(call);
}

static int body_attributes(struct nexus_call *call, json_t *body)
{
    json_t *pairs = NULL;
    size_t at = 0;
    const char *text;

    while ((text = nexus_line_next(call->line, "attribute", &at))) {
        size_t len = strcspn(text, "=");
        const char *name = hm_arena_printf(call->arena, "%.*s", (int)len, text);
        int rc;

        if (text[len] != '=')
            return hm_fail(&call->error, HM_EINVAL, "--attribute %s: write it as NAME=VALUE", text);
        if (!pairs) {
            pairs = json_object();
            if (json_object_set_new(body, "attributes", pairs) != 0)
                return nexus_no_memory(call);
        }
        rc = name ? nexus_body_text(call, pairs, name, text + len + 1) : nexus_no_memory(call);
        if (rc)
            return rc;
    }
    return 0;
}

static int body_limit_leases(struct nexus_call *call, json_t *body)
{
    uint64_t leases = 0;
    int rc = nexus_value_u64(call, "max-leases", &leases);

    if (rc || !nexus_has(call, "max-leases"))
        return rc;
    if (leases > UINT32_MAX)
        return hm_fail(&call->error, HM_ERANGE, "--max-leases %llu: too large",
                       (unsigned long long)leases);
    return json_object_set_new(body, "max_leases", json_integer((json_int_t)leases)) == 0
               ? 0
               : nexus_no_memory(call);
}

/* Every value of an option that may be given more than once, as a list. */
static int body_many(struct nexus_call *call, json_t *body, const char *member, const char *option)
{
    json_t *list = NULL;
    size_t at = 0;
    const char *text;

    while ((text = nexus_line_next(call->line, option, &at))) {
        if (!list) {
            list = json_array();
            if (json_object_set_new(body, member, list) != 0)
                return nexus_no_memory(call);
        }
        if (strcmp(option, "network") == 0) {
            int rc = nexus_resolve_network(call, text, &text);

            if (rc)
                return rc;
        }
        if (json_array_append_new(list, json_string(text)) != 0)
            return hm_fail(&call->error, HM_EINVAL, "--%s %s: is not UTF-8", option, text);
    }
    return 0;
}

/* What a consumer must bring beyond the rules of the chain. */
static int body_demand(struct nexus_call *call, json_t *body)
{
    static const struct {
        const char *member, *option;
        bool number;
    } rows[] = {{"min_bond", "demand-bond", false},
                {"min_work_bits", "demand-work", true},
                {"max_anchor_age", "demand-fresh", true},
                {"min_plot_labels", "demand-plot", true}};
    json_t *demand = NULL;

    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        uint64_t number = 0;
        int rc;

        if (!nexus_has(call, rows[i].option))
            continue;
        if (!demand) {
            demand = json_object();
            if (json_object_set_new(body, "demand", demand) != 0)
                return nexus_no_memory(call);
        }
        rc = rows[i].number ? nexus_value_u64(call, rows[i].option, &number)
                            : nexus_body_option(call, demand, rows[i].member, rows[i].option);
        if (!rc && rows[i].number &&
            json_object_set_new(demand, rows[i].member, json_integer((json_int_t)number)) != 0)
            rc = nexus_no_memory(call);
        if (rc)
            return rc;
    }
    return 0;
}

static int body_privacy(struct nexus_call *call, json_t *body, const char *level)
{
    int rc = nexus_body_text(call, body, "level", level);

    if (!rc)
        rc = nexus_body_option(call, body, "max_share", "max-share");
    if (!rc)
        rc = nexus_body_option(call, body, "max_duration", "max-duration");
    if (!rc)
        rc = body_limit_leases(call, body);
    if (!rc)
        rc = nexus_body_option(call, body, "reward", "reward");
    if (!rc)
        rc = body_many(call, body, "accounts", "for");
    if (!rc)
        rc = body_many(call, body, "networks", "network");
    if (!rc)
        rc = body_demand(call, body);
    return rc;
}

/* --- register ------------------------------------------------------------------------------------ */

static int table_registered(struct nexus_call *call, const json_t *reply, struct hm_buf *out)
{
    if (hm_buf_printf(out, "%s\n", nexus_json_text(reply, "asset")) != 0)
        return nexus_no_memory(call);
    return nexus_table_receipt(call, reply, out);
}

static int register_body(struct nexus_call *call, json_t *body)
{
    const char *kind = nexus_operand(call, 0);
    int rc = nexus_body_text(call, body, "kind", kind);

    if (!nexus_has(call, "capacity") || !nexus_has(call, "price"))
        return hm_fail(&call->error, HM_EINVAL,
                       "asset register needs --capacity and --price; nexus asset scan shows what "
                       "there is");
    if (!rc)
        rc = nexus_body_text(call, body, "hardware_id", nexus_operand(call, 1));
    if (!rc)
        rc = body_capacity(call, body, kind);
    if (!rc)
        rc = nexus_body_option(call, body, "price_per_hour", "price");
    if (!rc)
        rc = body_attributes(call, body);
    if (!rc && nexus_has(call, "privacy")) {
        json_t *privacy = json_object();

        if (json_object_set_new(body, "privacy", privacy) != 0)
            return nexus_no_memory(call);
        rc = body_privacy(call, privacy, nexus_value(call, "privacy"));
    }
    return rc ? rc : nexus_body_option(call, body, "account", "account");
}

static int run_register(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    int rc = register_body(call, body);

    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &reply, "/assets/register");
    return rc ? rc : nexus_show(call, reply, table_registered);
}

#define LEVELS "Private PrivateNetwork P2P PublicNetwork FullPublic"
#define LIMIT_OPTIONS                                                                              \
    {.name = "max-share", .value = "SHARE", .help = "of the asset, over all leases, such as 50%"}, \
        {.name = "max-leases", .value = "N", .help = "leases at once"},                            \
        {.name = "max-duration", .value = "TIME", .help = "longest lease, such as 2h"},            \
        {.name = "reward", .value = "SHARE", .help = "of the CAES reward that is taken"},          \
        {.name = "for", .value = "ACCOUNT", .help = "with P2P: who may lease", .many = true},      \
        {.name = "network", .value = "NETWORK", .help = "whose members may lease", .many = true},  \
        {.name = "demand-bond", .value = "HYPER", .help = "a consumer must have bonded"},          \
        {.name = "demand-work", .value = "BITS", .help = "Work of the leasing transaction"},       \
        {.name = "demand-fresh", .value = "BLOCKS", .help = "between its anchor and its block"},   \
    {                                                                                              \
        .name = "demand-plot", .value = "LABELS", .help = "a consumer must have committed"         \
    }

static const struct nexus_option register_options[] = {
    {.name = "capacity",
     .value = "AMOUNT",
     .help = "cores, devices, slots, or a size such as 64G (required)"},
    {.name = "price", .value = "HYPER", .help = "for all of it, an hour (required)"},
    ATTRIBUTE_OPTION,
    {.name = "privacy",
     .value = "LEVEL",
     .help = "who may lease it; default: Private",
     .words = LEVELS},
    LIMIT_OPTIONS,
    {.name = "account", .value = "NAME", .help = "the owner; default: the node's account"},
};

const struct nexus_verb verb_asset_register = {
    .group = "asset",
    .name = "register",
    .operands = "KIND HARDWARE",
    .operands_min = 2,
    .operands_max = 2,
    .words = "cpu memory storage gpu container network",
    .summary = "Put an asset on the ledger",
    .text =
        "HARDWARE is the name that `nexus asset scan` shows. A node registers its own machine by\n"
        "itself when it starts.",
    .options = register_options,
    .option_count = HM_COUNT_OF(register_options),
    .run = run_register};

/* --- update -------------------------------------------------------------------------------------- */

/* What --capacity means depends on the kind. */
static int update_body(struct nexus_call *call, const char *id, json_t *body)
{
    NEXUS_AUTOJSON json_t *asset = NULL;
    int rc = 0;

    if (nexus_has(call, "capacity")) {
        rc = nexus_ask(call, "GET", NULL, &asset, "/assets/%s", nexus_part(call, id));
        if (!rc)
            rc = body_capacity(call, body, nexus_json_text(asset, "kind"));
    }
    if (!rc)
        rc = nexus_body_option(call, body, "price_per_hour", "price");
    if (!rc)
        rc = body_attributes(call, body);
    if (!rc && json_object_size(body) == 0)
        return hm_fail(&call->error, HM_EINVAL,
                       "nothing to change: give --capacity, --price or --attribute");
    return rc ? rc : nexus_body_option(call, body, "account", "account");
}

static int run_update(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    const char *id = NULL;
    int rc = operand_asset(call, &id);

    if (!rc)
        rc = update_body(call, id, body);
    if (!rc)
        rc = nexus_ask(call, "PUT", json_incref(body), &reply, "/assets/%s", nexus_part(call, id));
    return finish(call, rc, reply);
}

static const struct nexus_option update_options[] = {
    {.name = "capacity", .value = "AMOUNT", .help = "as in asset register"},
    {.name = "price",
     .value = "HYPER",
     .help = "for all of it, an hour; running leases keep theirs"},
    ATTRIBUTE_OPTION,
    ACCOUNT_OPTION,
};

const struct nexus_verb verb_asset_update = {
    .group = "asset",
    .name = "update",
    .operands = "ASSET",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Change capacity, price or attributes",
    .text = "What is not given stays as it is; attributes that are given replace all there were.",
    .options = update_options,
    .option_count = HM_COUNT_OF(update_options),
    .run = run_update};

/* --- transfer, retire ---------------------------------------------------------------------------- */

static const struct nexus_option account_options[] = {ACCOUNT_OPTION};

static int run_transfer(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    const char *id = NULL;
    int rc = operand_asset(call, &id);

    if (!rc)
        rc = nexus_body_text(call, body, "to", nexus_operand(call, 1));
    if (!rc)
        rc = nexus_body_option(call, body, "account", "account");
    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &reply, "/assets/%s/transfer",
                       nexus_part(call, id));
    return finish(call, rc, reply);
}

const struct nexus_verb verb_asset_transfer = {.group = "asset",
                                               .name = "transfer",
                                               .operands = "ASSET TO",
                                               .operands_min = 2,
                                               .operands_max = 2,
                                               .summary = "Give an asset to another owner",
                                               .options = account_options,
                                               .option_count = HM_COUNT_OF(account_options),
                                               .run = run_transfer};

static int run_retire(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    const char *id = NULL;
    const char *path = NULL;
    int rc = operand_asset(call, &id);

    if (rc)
        return rc;
    path = hm_arena_printf(call->arena, "/assets/%s", nexus_part(call, id));
    rc = path ? nexus_query(call, &path, "account", nexus_value(call, "account"))
              : nexus_no_memory(call);
    if (!rc)
        rc = nexus_ask(call, "DELETE", NULL, &reply, "%s", path);
    return finish(call, rc, reply);
}

const struct nexus_verb verb_asset_retire = {.group = "asset",
                                             .name = "retire",
                                             .operands = "ASSET",
                                             .operands_min = 1,
                                             .operands_max = 1,
                                             .summary = "Take an asset out of use for good",
                                             .options = account_options,
                                             .option_count = HM_COUNT_OF(account_options),
                                             .run = run_retire};

/* --- privacy ------------------------------------------------------------------------------------- */

static int table_privacy(struct nexus_call *call, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {{"ASSET", false},   {"MAY LEASE", false},
                                                  {"SHARE", true},    {"LEASES", true},
                                                  {"DURATION", true}, {"ACCOUNTS", false}};
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const json_t *privacy = json_object_get(item, "privacy");
        uint64_t leases = nexus_json_u64(privacy, "max_leases");
        uint64_t duration = nexus_json_u64(privacy, "max_duration_ms");
        const json_t *accounts = nexus_json_list(privacy, "accounts");

        NEXUS_TABLE_ROW(
            &table, nexus_show_short(nexus_json_text(item, "asset"), call->arena),
            nexus_json_text(privacy, "level"),
            nexus_show_share_limit(nexus_json_u64(privacy, "max_share_ppm"), call->arena),
            leases ? nexus_json_cell(json_object_get(privacy, "max_leases"), call->arena) : "any",
            duration ? nexus_show_span_ms(duration, call->arena) : "any",
            json_array_size(accounts) ? nexus_json_cell(accounts, call->arena) : "");
    }
    return nexus_table_finish(call, &table, out);
}

static int show_privacy(struct nexus_call *call, const char *id)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    const char *path = "/privacy/settings";
    int rc = nexus_query(call, &path, "asset", id);

    if (!rc)
        rc = nexus_list(call, path, 0, &items);
    return rc ? rc : nexus_show(call, items, table_privacy);
}

static int run_privacy(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    const char *level = nexus_operand(call, 1);
    Hypermesh__PrivacyLevel known;
    const char *id = NULL;
    int rc = nexus_operand(call, 0) ? operand_asset(call, &id) : 0;

    if (rc || !level)
        return rc ? rc : show_privacy(call, id);
    if (wire_privacy_parse(level, &known) != 0)
        return hm_fail(&call->error, HM_EINVAL, "%s is no level of privacy; there are: %s", level,
                       LEVELS);
    rc = nexus_body_text(call, body, "asset", id);
    if (!rc)
        rc = body_privacy(call, body, level);
    if (!rc)
        rc = nexus_body_option(call, body, "account", "account");
    if (!rc)
        rc = nexus_ask(call, "PUT", json_incref(body), &reply, "/privacy/level");
    return finish(call, rc, reply);
}

static const struct nexus_option privacy_options[] = {LIMIT_OPTIONS, ACCOUNT_OPTION};

const struct nexus_verb verb_asset_privacy = {
    .group = "asset",
    .name = "privacy",
    .operands = "[ASSET [LEVEL]]",
    .operands_max = 2,
    .words = LEVELS,
    .summary = "Show or set who may lease an asset, and how much of it",
    .options = privacy_options,
    .option_count = HM_COUNT_OF(privacy_options),
    .run = run_privacy};
