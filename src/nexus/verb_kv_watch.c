/* kv watch: changes of keys as they happen, or from a revision on. */
#include "nexus_kv.h"
#include "nexus_news.h"
#include "nexus_text.h"
#include "nexus_verbs.h"

static int change_line(struct nexus_call *call, const struct nexus_sse_event *event,
                       const json_t *data, struct hm_buf *out)
{
    const char *value = nexus_kv_brief(nexus_json_text(data, "value"), call->arena);
    bool deleted = strcmp(event->type, "delete") == 0;

    if (!value ||
        hm_buf_printf(out, "%llu  %s  ", (unsigned long long)nexus_json_u64(data, "revision"),
                      deleted ? "delete" : "put") ||
        nexus_text_append_safe(out, nexus_json_text(data, "key")) ||
        (!deleted && (hm_buf_append_str(out, " = ") || nexus_text_append_safe(out, value))) ||
        hm_buf_append_str(out, "\n"))
        return nexus_no_memory(call);
    return 0;
}

static int run_watch(struct nexus_call *call)
{
    struct nexus_news news = {.call = call,
                              .path = "/kv-watch",
                              .start = "from",
                              .start_value = nexus_value(call, "from"),
                              .resume = "after",
                              .follow = !nexus_has(call, "no-follow"),
                              .line = change_line};
    int rc = nexus_value_u64(call, "limit", &news.most);

    if (!rc)
        rc = nexus_query(call, &news.path, nexus_has(call, "prefix") ? "prefix" : "key",
                         nexus_operand(call, 0));
    if (!rc)
        rc = nexus_query(call, &news.path, "previous", nexus_has(call, "previous") ? "true" : NULL);
    if (!rc)
        rc = nexus_query(call, &news.path, "follow", news.follow ? NULL : "false");
    if (!rc)
        rc = nexus_query(call, &news.path, "account", nexus_value(call, "account"));
    return rc ? rc : nexus_news_follow(&news);
}

static const struct nexus_option options[] = {
    {.name = "prefix", .help = "every key that begins with KEY"},
    {.name = "from", .value = "REVISION", .help = "begin there; default: with the next change"},
    {.name = "previous", .help = "with -o json: what was there before, too"},
    {.name = "limit", .value = "N", .help = "end after so many"},
    {.name = "no-follow", .help = "end at the newest: a key's history"},
    NEXUS_KV_ACCOUNT,
};

const struct nexus_verb verb_kv_watch = {
    .group = "kv",
    .name = "watch",
    .operands = "KEY",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Show changes of a key as they happen, or its history",
    .text = "  nexus kv watch KEY --from 1 --no-follow    every change so far",
    .options = options,
    .option_count = HM_COUNT_OF(options),
    .run = run_watch};
