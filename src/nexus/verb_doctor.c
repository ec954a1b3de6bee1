/* What works on this machine, and what to do about the rest. */
#include "nexus_verbs.h"

static const struct nexus_column columns[] = {{"CHECK", false}, {"LEVEL", false}, {"FOUND", false}};

static int table_doctor(struct nexus_call *call, const json_t *answer, struct hm_buf *out)
{
    const json_t *items = nexus_json_list(answer, "items");
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const char *advice = nexus_json_text(item, "advice");

        NEXUS_TABLE_ROW(&table, nexus_json_text(item, "name"), nexus_json_text(item, "level"),
                        nexus_json_text(item, "text"));
        if (advice[0])
            NEXUS_TABLE_ROW(&table, "", "", hm_arena_printf(call->arena, "-> %s", advice));
    }
    return nexus_table_finish(call, &table, out);
}

static bool has_error(const json_t *items)
{
    for (size_t i = 0; i < json_array_size(items); i++)
        if (strcmp(nexus_json_text(json_array_get(items, i), "level"), "error") == 0)
            return true;
    return false;
}

static int run(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *answer = NULL;
    int rc = nexus_ask(call, "GET", NULL, &answer, "/node/doctor");

    if (!rc)
        rc = nexus_show(call, answer, table_doctor);
    if (rc)
        return rc;
    return has_error(nexus_json_list(answer, "items")) ? NEXUS_EXIT_FAILED : 0;
}

const struct nexus_verb verb_doctor = {
    .name = "doctor",
    .summary = "What works on this machine and what to do about the rest",
    .text = "Ends with 1 when something is wrong, 0 when there are at most warnings.",
    .run = run};
