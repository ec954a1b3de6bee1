/* Output: tables for people, JSON and YAML for programs. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "nexus_call.h"
#include "nexus_text.h"
#include "nexus_wipe.h"
#include "nexus_yaml.h"

const struct nexus_column nexus_fact_columns[2] = {{0}, {0}};

void nexus_say(const char *format, ...)
{
    HM_CLEANUP(hm_buf) struct hm_buf line = {0};
    char *text = NULL;
    va_list args;
    int len;

    va_start(args, format);
    len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0)
        return;
    if (hm_buf_append_str(&line, "nexus: ") == 0 && nexus_text_append_safe(&line, text) == 0 &&
        hm_buf_append_str(&line, "\n") == 0)
        (void)hm_write_all(2, line.data, line.len, NULL);
    free(text);
}

int nexus_write(struct nexus_call *call, const struct hm_buf *text)
{
    int rc = hm_write_all(1, text->data, text->len, &call->error);

    /* Who reads only the beginning has what it wanted. */
    if (rc && errno == EPIPE)
        return 0;
    return rc ? hm_error_prefix(&call->error, rc, "standard output") : 0;
}

static int put_json(struct nexus_call *call, const json_t *value, struct hm_buf *out)
{
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);
    int rc = text ? hm_buf_append_str(out, text) : HM_ENOMEM;

    nexus_wipe_free(text);
    if (!rc)
        rc = hm_buf_append_str(out, "\n");
    return rc ? nexus_no_memory(call) : 0;
}

/* A terminal does what it is told; a file or a program gets every byte as it is. */
static int write_table(struct nexus_call *call, struct hm_buf *out)
{
    HM_CLEANUP(nexus_wipe) struct hm_buf safe = {0};

    if (!isatty(1))
        return nexus_write(call, out);
    if (hm_buf_reserve(&safe, 2 * out->len + NEXUS_WIPE_ROOM_BYTES) != 0 ||
        nexus_text_append_answer(&safe, hm_buf_slice(out)) != 0)
        return nexus_no_memory(call);
    return nexus_write(call, &safe);
}

int nexus_show(struct nexus_call *call, const json_t *value, nexus_table_form table)
{
    HM_CLEANUP(nexus_wipe) struct hm_buf out = {0};
    int rc;

    if (hm_buf_reserve(&out, NEXUS_WIPE_ROOM_BYTES) != 0)
        return nexus_no_memory(call);
    switch (value ? call->format : NEXUS_FORMAT_TABLE) {
    case NEXUS_FORMAT_JSON:
        rc = put_json(call, value, &out);
        break;
    case NEXUS_FORMAT_YAML:
        rc = nexus_yaml_write(value, &out, &call->error);
        break;
    default:
        rc = table(call, value, &out);
        return rc ? rc : write_table(call, &out);
    }
    return rc ? rc : nexus_write(call, &out);
}

int nexus_table_finish(struct nexus_call *call, const struct nexus_table *table, struct hm_buf *out)
{
    int rc = nexus_table_render(table, 0, call->color, out);

    if (rc == HM_ELIMIT)
        return hm_fail(&call->error, rc, "the table is too long to show; use -o json");
    return rc ? nexus_no_memory(call) : 0;
}

void nexus_fact(struct nexus_table *table, const char *name, const char *value)
{
    if (value && value[0])
        NEXUS_TABLE_ROW(table, name, value);
}

int nexus_table_receipt(struct nexus_call *call, const json_t *receipt, struct hm_buf *out)
{
    const json_t *inner = json_object_get(receipt, "receipt");

    if (json_is_object(inner))
        receipt = inner;
    if (!receipt || !json_object_get(receipt, "tx"))
        return hm_buf_append_str(out, "done\n") ? nexus_no_memory(call) : 0;
    if (hm_buf_printf(out, "done in block %llu, fee %s HYPER, transaction ",
                      (unsigned long long)nexus_json_u64(receipt, "height"),
                      nexus_json_text(receipt, "fee")) != 0 ||
        nexus_text_append_safe(out, nexus_json_text(receipt, "tx")) != 0 ||
        hm_buf_append_str(out, "\n") != 0)
        return nexus_no_memory(call);
    return 0;
}

int nexus_table_object(struct nexus_call *call, const json_t *object, struct hm_buf *out)
{
    struct nexus_table table;
    json_t *all = (json_t *)(uintptr_t)object;

    nexus_table_init(&table, nexus_fact_columns, 2, call->arena);
    for (void *at = json_object_iter(all); at; at = json_object_iter_next(all, at))
        nexus_fact(&table, json_object_iter_key(at),
                   nexus_json_cell(json_object_iter_value(at), call->arena));
    return nexus_table_finish(call, &table, out);
}
