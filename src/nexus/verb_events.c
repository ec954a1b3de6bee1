/* events: what happens on the ledger, as it happens. */
#include "nexus_news.h"
#include "nexus_resolve.h"
#include "nexus_text.h"
#include "nexus_verbs.h"

static int put_about(struct nexus_call *call, const json_t *event, struct hm_buf *out)
{
    static const char *const things[] = {"asset", "lease", "network", "challenge"};
    const json_t *kv = json_object_get(event, "kv");

    for (size_t i = 0; i < HM_COUNT_OF(things); i++) {
        const char *id = nexus_json_text(event, things[i]);
        const char *brief = id[0] ? nexus_show_short(id, call->arena) : "";

        if (!brief ||
            (brief[0] && (hm_buf_append_str(out, "  ") || nexus_text_append_safe(out, brief))))
            return nexus_no_memory(call);
    }
    if (kv && (hm_buf_append_str(out, nexus_json_bool(kv, "deleted") ? "  deleted " : "  put ") ||
               nexus_text_append_safe(out, nexus_json_text(kv, "key"))))
        return nexus_no_memory(call);
    return 0;
}

static int event_line(struct nexus_call *call, const struct nexus_sse_event *event,
                      const json_t *data, struct hm_buf *out)
{
    const char *account = nexus_json_text(data, "account");
    const char *brief = account[0] ? nexus_show_short(account, call->arena) : "-";
    const char *time = nexus_show_time(nexus_json_u64(data, "time_ms"), call->arena);
    int rc = 0;

    if (!brief || !time || hm_buf_printf(out, "%s  %-12s ", time, event->id) ||
        nexus_text_append_safe(out, event->type) || hm_buf_append_str(out, "  ") ||
        nexus_text_append_safe(out, brief))
        rc = nexus_no_memory(call);
    if (!rc)
        rc = put_about(call, data, out);
    if (!rc && hm_buf_append_str(out, "\n"))
        rc = nexus_no_memory(call);
    return rc;
}

static int run_events(struct nexus_call *call)
{
    struct nexus_news news = {.call = call,
                              .path = "/events",
                              .start = "since",
                              .start_value = nexus_value(call, "since"),
                              .resume = "since",
                              .follow = !nexus_has(call, "no-follow"),
                              .line = event_line};
    const char *asset = nexus_value(call, "asset");
    const char *lease = nexus_value(call, "lease");
    int rc = nexus_value_u64(call, "limit", &news.most);

    if (!rc && asset)
        rc = nexus_resolve_asset(call, asset, &asset);
    if (!rc && lease)
        rc = nexus_resolve_lease(call, lease, &lease);
    if (!rc)
        rc = nexus_query(call, &news.path, "type", nexus_value(call, "type"));
    if (!rc)
        rc = nexus_query(call, &news.path, "account", nexus_value(call, "account"));
    if (!rc)
        rc = nexus_query(call, &news.path, "asset", asset);
    if (!rc)
        rc = nexus_query(call, &news.path, "lease", lease);
    if (!rc)
        rc = nexus_query(call, &news.path, "follow", news.follow ? NULL : "false");
    return rc ? rc : nexus_news_follow(&news);
}

static const struct nexus_option options[] = {
    {.name = "since",
     .value = "ID",
     .help = "go on behind this event, or from a block on: 12.0; default: from now on"},
    {.name = "type", .value = "TYPES", .help = "only these, separated by commas: allocate,settle"},
    {.name = "account", .value = "ACCOUNT", .help = "only its acts"},
    {.name = "asset", .value = "ASSET", .help = "only about this asset"},
    {.name = "lease", .value = "LEASE", .help = "only about this lease"},
    {.name = "limit", .value = "N", .help = "end after so many"},
    {.name = "no-follow", .help = "end at the newest instead of waiting for more"},
};

const struct nexus_verb verb_events = {
    .name = "events",
    .summary = "Show what happens on the ledger, as it happens",
    .text =
        "Every event has an id; --since ID goes on behind it without a gap. When the node goes\n"
        "away, events waits for it. With -o json one JSON object a line.",
    .options = options,
    .option_count = HM_COUNT_OF(options),
    .run = run_events};
