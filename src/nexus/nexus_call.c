#include "nexus_call.h"

#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

const char *nexus_value(const struct nexus_call *call, const char *option)
{
    return nexus_line_value(call->line, call->grammar, option);
}

bool nexus_has(const struct nexus_call *call, const char *option)
{
    return nexus_line_has(call->line, call->grammar, option);
}

const char *nexus_operand(const struct nexus_call *call, size_t at)
{
    return at < call->line->operand_count ? call->line->operands[at] : NULL;
}

int nexus_value_u64(struct nexus_call *call, const char *option, uint64_t *out)
{
    const char *text = nexus_value(call, option);
    int rc = text ? hm_u64_parse(text, out, &call->error) : 0;

    return rc ? hm_error_prefix(&call->error, rc, "--%s", option) : 0;
}

int nexus_value_ms(struct nexus_call *call, const char *option, uint64_t *out)
{
    const char *text = nexus_value(call, option);
    int rc = text ? hm_duration_parse_ms(text, out, &call->error) : 0;

    return rc ? hm_error_prefix(&call->error, rc, "--%s", option) : 0;
}

int nexus_no_memory(struct nexus_call *call)
{
    return hm_fail(&call->error, HM_ENOMEM, "out of memory");
}

/* Heights of a node never go back: what is asked after this is at least as new. */
static int wait_height(struct nexus_call *call)
{
    uint64_t height = 0;
    char path[96];
    int rc = nexus_value_u64(call, "min-height", &height);

    if (rc || height == 0)
        return rc;
    snprintf(path, sizeof(path), "/consensus/status?min_height=%llu", (unsigned long long)height);
    return nexus_client_call(call->client, "GET", path, NULL, NULL, &call->error);
}

int nexus_connect(struct nexus_call *call)
{
    int rc;

    if (call->client)
        return 0;
    rc = nexus_client_open(&call->place, &call->client, &call->error);
    return rc ? rc : wait_height(call);
}

const char *nexus_part(struct nexus_call *call, const char *text)
{
    const char *escaped = nexus_escape(text, call->arena);

    return escaped ? escaped : "";
}

int nexus_ask(struct nexus_call *call, const char *method, json_t *body, json_t **reply,
              const char *path, ...)
{
    NEXUS_AUTOJSON json_t *own = body;
    char *text = NULL;
    va_list args;
    int len;
    int rc = nexus_connect(call);

    if (rc)
        return rc;
    va_start(args, path);
    len = vasprintf(&text, path, args);
    va_end(args);
    if (len < 0)
        return nexus_no_memory(call);
    rc = nexus_client_call(call->client, method, text, own, reply, &call->error);
    free(text);
    return rc;
}

int nexus_query(struct nexus_call *call, const char **path, const char *key, const char *value)
{
    const char *longer;

    if (!value)
        return 0;
    longer = hm_arena_printf(call->arena, "%s%c%s=%s", *path, strchr(*path, '?') ? '&' : '?', key,
                             nexus_part(call, value));
    if (!longer)
        return nexus_no_memory(call);
    *path = longer;
    return 0;
}

static int list_page(struct nexus_call *call, const char *path, size_t limit, const char *after,
                     json_t **page)
{
    char number[24];
    int rc;

    snprintf(number, sizeof(number), "%zu", limit);
    rc = nexus_query(call, &path, "limit", number);
    if (!rc)
        rc = nexus_query(call, &path, "after", after);
    return rc ? rc : nexus_ask(call, "GET", NULL, page, "%s", path);
}

int nexus_list(struct nexus_call *call, const char *path, size_t most, json_t **items)
{
    NEXUS_AUTOJSON json_t *all = json_array();
    const char *after = NULL;
    size_t limit = most ? most : NEXUS_LIST_MAX;

    if (!all)
        return nexus_no_memory(call);
    while (json_array_size(all) < limit) {
        NEXUS_AUTOJSON json_t *page = NULL;
        size_t missing = limit - json_array_size(all);
        const json_t *found;
        int rc = list_page(call, path, missing < NEXUS_PAGE_SIZE ? missing : NEXUS_PAGE_SIZE, after,
                           &page);

        if (rc)
            return rc;
        found = nexus_json_list(page, "items");
        if (!found)
            return hm_fail(&call->error, HM_EPARSE, "the node's answer holds no list of items");
        if (json_array_extend(all, (json_t *)(uintptr_t)found) != 0)
            return nexus_no_memory(call);
        after = nexus_json_text(page, "next");
        if (after[0] == '\0' || json_array_size(found) == 0)
            break;
        after = hm_arena_strdup(call->arena, after);
        if (!after)
            return nexus_no_memory(call);
        if (!most && json_array_size(all) >= limit)
            nexus_say("there are more than %d; the rest is not shown", NEXUS_LIST_MAX);
    }
    *items = HM_TAKE(all);
    return 0;
}

int nexus_items(struct nexus_call *call, const char *path, json_t **items)
{
    NEXUS_AUTOJSON json_t *answer = NULL;
    int rc = nexus_ask(call, "GET", NULL, &answer, "%s", path);

    if (rc)
        return rc;
    *items = json_incref(json_object_get(answer, "items"));
    if (!json_is_array(*items)) {
        nexus_json_release(items);
        return hm_fail(&call->error, HM_EPARSE, "the node's answer holds no list of items");
    }
    return 0;
}

int nexus_body_text(struct nexus_call *call, json_t *body, const char *key, const char *text)
{
    json_t *value;

    if (!text)
        return 0;
    value = json_string(text); /* NULL for what is not UTF-8, too */
    if (!value)
        return hm_fail(&call->error, HM_EINVAL, "%s: is not UTF-8", key);
    return json_object_set_new(body, key, value) == 0 ? 0 : nexus_no_memory(call);
}

int nexus_body_option(struct nexus_call *call, json_t *body, const char *key, const char *option)
{
    return nexus_body_text(call, body, key, nexus_value(call, option));
}

static int read_steps(struct nexus_call *call, size_t most, uint8_t *step, size_t room,
                      struct hm_buf *out)
{
    size_t total = 0;

    for (;;) {
        ssize_t got = read(0, step, room);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return hm_fail_errno(&call->error, HM_EIO, "cannot read standard input");
        if (got == 0)
            return 0;
        total += (size_t)got;
        if (total > most)
            return hm_fail(&call->error, HM_ELIMIT, "standard input is longer than %zu bytes",
                           most);
        if (hm_buf_append(out, step, (size_t)got))
            return nexus_no_memory(call);
    }
}

int nexus_read_input(struct nexus_call *call, size_t most, struct hm_buf *out)
{
    uint8_t step[16384];
    int rc = read_steps(call, most, step, sizeof(step), out);

    hm_wipe(step, sizeof(step)); /* it may have been a secret */
    return rc;
}
