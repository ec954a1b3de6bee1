/* doctor: what works on this machine, as the node sees it, or what can be seen without one. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nexus_call.h"
#include "nexus_cluster.h"
#include "nexus_daemon.h"
#include "nexus_verbs.h"

static int add_check(struct nexus_call *call, json_t *items, const char *name, const char *level,
                     const char *text, const char *advice)
{
    json_t *item = json_pack("{s:s, s:s, s:s, s:s?}", "name", name, "level", level, "text",
                             text ? text : "", "advice", advice);

    return json_array_append_new(items, item) == 0 ? 0 : nexus_no_memory(call);
}

static int check_daemon(struct nexus_call *call, json_t *items)
{
    struct hm_error error = {0};
    const char *path = NULL;

    if (nexus_daemon_find(call->arena, &path, &error) == 0)
        return add_check(call, items, "program", "ok", path, NULL);
    return add_check(call, items, "program", "error", error.text,
                     "install hypermeshd beside nexus, or put its folder on PATH");
}

static int check_data(struct nexus_call *call, json_t *items)
{
    const char *dir = call->place.data_dir;
    struct stat info;

    if (stat(dir, &info) != 0 && errno == ENOENT)
        return add_check(call, items, "data", "note",
                         hm_arena_printf(call->arena, "%s is not there yet", dir),
                         "nexus up makes it");
    if (access(dir, R_OK | W_OK | X_OK) != 0)
        return add_check(
            call, items, "data", "error",
            hm_arena_printf(call->arena, "%s cannot be used: %s", dir, strerror(errno)),
            "run nexus as the user who owns it, or name another with --data");
    return add_check(call, items, "data", "ok", dir, NULL);
}

static int check_log(struct nexus_call *call, json_t *items)
{
    const char *path = hm_arena_printf(call->arena, "%s/%s", call->place.data_dir, NEXUS_LOG_NAME);

    if (!path)
        return nexus_no_memory(call);
    if (access(path, R_OK) != 0)
        return 0;
    return add_check(call, items, "log", "note",
                     hm_arena_printf(call->arena, "%s holds what the last node said", path),
                     hm_arena_printf(call->arena, "tail %s", path));
}

static int local_checks(struct nexus_call *call, const char *why, json_t *items)
{
    const char *start = call->place.url ? NULL : nexus_cluster_above_start(call);
    int rc = add_check(call, items, "node", "error", why, start ? start : "nexus up");

    if (!rc && !call->place.url)
        rc = check_daemon(call, items);
    if (!rc && !call->place.url)
        rc = check_data(call, items);
    return rc || call->place.url ? rc : check_log(call, items);
}

static int table_checks(struct nexus_call *call, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {
        {"CHECK", false}, {"", false}, {"FOUND", false}, {"WHAT TO DO", false}};
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);

        NEXUS_TABLE_WRAPPED(&table, NEXUS_SENTENCE_COLUMNS, nexus_json_text(item, "name"),
                            nexus_json_text(item, "level"), nexus_json_text(item, "text"),
                            nexus_json_text(item, "advice"));
    }
    return nexus_table_finish(call, &table, out);
}

static bool any_error(const json_t *items)
{
    for (size_t i = 0; i < json_array_size(items); i++)
        if (strcmp(nexus_json_text(json_array_get(items, i), "level"), "error") == 0)
            return true;
    return false;
}

static int run_doctor(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    int asked = nexus_items(call, "/node/doctor", &items);
    int rc = asked;

    if (asked == NEXUS_EUNREACHABLE) {
        items = json_array();
        rc = items ? local_checks(call, call->error.text, items) : nexus_no_memory(call);
    }
    if (!rc)
        rc = nexus_show(call, items, table_checks);
    if (rc)
        return rc;
    if (asked)
        return NEXUS_EXIT_UNREACHABLE;
    return any_error(items) ? NEXUS_EXIT_FAILED : 0;
}

const struct nexus_verb verb_doctor = {
    .name = "doctor",
    .summary = "What works on this machine, what does not, and what to do about it",
    .text = "Ends with 1 when something is wrong, with 3 when no node answers.",
    .run = run_doctor};
