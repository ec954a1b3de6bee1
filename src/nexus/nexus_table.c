#include "nexus_table.h"

#include "nexus_text.h"

void nexus_table_init(struct nexus_table *table, const struct nexus_column *columns, size_t count,
                      struct hm_arena *arena)
{
    *table = (struct nexus_table){.columns = columns, .column_count = count, .arena = arena};
    if (count == 0 || count > NEXUS_TABLE_COLUMNS_MAX)
        table->rc = HM_ELIMIT;
}

static int table_grow(struct nexus_table *table)
{
    size_t room = table->row_room ? table->row_room * 2 : 16;
    char **cells;

    if (table->row_count < table->row_room)
        return 0;
    if (table->row_count >= NEXUS_TABLE_ROWS_MAX)
        return HM_ELIMIT;
    cells = hm_arena_alloc(table->arena, room * table->column_count * sizeof(*cells));
    if (!cells)
        return HM_ENOMEM;
    if (table->row_count > 0)
        memcpy(cells, table->cells, table->row_count * table->column_count * sizeof(*cells));
    table->cells = cells;
    table->row_room = room;
    return 0;
}

static char *safe_copy(struct nexus_table *table, const char *text)
{
    HM_CLEANUP(hm_buf) struct hm_buf safe = {0};

    if (nexus_text_append_safe(&safe, text) != 0 || hm_buf_reserve(&safe, 1) != 0)
        return NULL;
    return hm_arena_strdup(table->arena, hm_buf_cstr(&safe));
}

void nexus_table_add(struct nexus_table *table, const char *const *cells, size_t count)
{
    char **row;

    if (!table->rc && count > table->column_count)
        table->rc = HM_ELIMIT;
    if (!table->rc)
        table->rc = table_grow(table);
    if (table->rc)
        return;
    row = table->cells + table->row_count * table->column_count;
    for (size_t i = 0; i < table->column_count; i++) {
        row[i] = i < count && !cells[i] ? NULL : safe_copy(table, i < count ? cells[i] : "");
        if (!row[i]) {
            table->rc = HM_ENOMEM;
            return;
        }
    }
    table->row_count++;
}

/* Bytes of the longest beginning that ends at a word and takes at most `width` columns; one word is never
 * cut. */
static size_t line_length(struct hm_arena *arena, const char *text, size_t width)
{
    size_t best = 0;

    for (size_t at = 0; text[at];) {
        size_t end = at + strspn(text + at, " ");
        const char *piece;

        end += strcspn(text + end, " ");
        piece = hm_arena_printf(arena, "%.*s", (int)end, text);
        if (!piece || (best > 0 && nexus_text_width(piece) > width))
            return best;
        best = end;
        at = end;
    }
    return best;
}

void nexus_table_add_wrapped(struct nexus_table *table, const char *const *cells, size_t count,
                             size_t width)
{
    const char *row[NEXUS_TABLE_COLUMNS_MAX];
    const char *rest;

    if (count == 0 || count > table->column_count || !cells[count - 1]) {
        nexus_table_add(table, cells, count);
        return;
    }
    memcpy(row, cells, count * sizeof(*row));
    rest = cells[count - 1];
    do {
        size_t len = line_length(table->arena, rest, width);

        row[count - 1] = len > 0 || !*rest ? hm_arena_printf(table->arena, "%.*s", (int)len, rest)
                                           : NULL;
        nexus_table_add(table, row, count);
        for (size_t i = 0; i < count; i++)
            row[i] = "";
        rest += len;
        rest += strspn(rest, " ");
    } while (*rest && !table->rc);
}

static int put_spaces(struct hm_buf *out, size_t count)
{
    int rc = count > 0 ? hm_buf_reserve(out, count) : 0;

    if (rc || count == 0)
        return rc;
    memset(out->data + out->len, ' ', count);
    out->len += count;
    return 0;
}

static int put_line(const struct nexus_table *table, const char *const *cells, const size_t *widths,
                    size_t indent, struct hm_buf *out)
{
    size_t last = table->column_count;
    int rc = put_spaces(out, indent);

    while (last > 0 && cells[last - 1][0] == '\0')
        last--; /* no spaces at the end of a line */
    for (size_t i = 0; i < last && !rc; i++) {
        size_t fill = widths[i] - nexus_text_width(cells[i]);
        bool right = table->columns[i].right;

        if (right)
            rc = put_spaces(out, fill);
        if (!rc)
            rc = hm_buf_append_str(out, cells[i]);
        if (!rc && i + 1 < last)
            rc = put_spaces(out, right ? 2 : fill + 2);
    }
    return rc ? rc : hm_buf_append_str(out, "\n");
}

static int put_titles(const struct nexus_table *table, const size_t *widths, size_t indent,
                      bool color, struct hm_buf *out)
{
    const char *titles[NEXUS_TABLE_COLUMNS_MAX];
    bool any = false;
    int rc = 0;

    for (size_t i = 0; i < table->column_count; i++) {
        titles[i] = table->columns[i].title ? table->columns[i].title : "";
        any = any || table->columns[i].title;
    }
    if (!any)
        return 0;
    if (color)
        rc = hm_buf_append_str(out, "\033[1m");
    if (!rc)
        rc = put_line(table, titles, widths, indent, out);
    if (!rc && color) {
        out->len--; /* the colour ends before the line does */
        rc = hm_buf_append_str(out, "\033[0m\n");
    }
    return rc;
}

int nexus_table_render(const struct nexus_table *table, size_t indent, bool color,
                       struct hm_buf *out)
{
    size_t widths[NEXUS_TABLE_COLUMNS_MAX] = {0};
    int rc = table->rc;

    if (rc)
        return rc;
    for (size_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].title)
            widths[i] = nexus_text_width(table->columns[i].title);
        for (size_t row = 0; row < table->row_count; row++) {
            size_t width = nexus_text_width(table->cells[row * table->column_count + i]);

            widths[i] = width > widths[i] ? width : widths[i];
        }
    }
    rc = put_titles(table, widths, indent, color, out);
    for (size_t row = 0; row < table->row_count && !rc; row++)
        rc = put_line(table, (const char *const *)table->cells + row * table->column_count, widths,
                      indent, out);
    return rc;
}
