/* Tables for people: columns aligned by what a terminal shows, two spaces between them. */
#ifndef HM_NEXUS_TABLE_H
#define HM_NEXUS_TABLE_H

#include "base.h"

#define NEXUS_TABLE_COLUMNS_MAX 12
#define NEXUS_TABLE_ROWS_MAX    100000

struct nexus_column {
    const char *title; /* NULL in all columns: no line of titles */
    bool right; /* numbers stand at the right */
};

struct nexus_table {
    const struct nexus_column *columns; /* borrowed */
    size_t column_count;
    char **cells; /* in the arena, made safe */
    size_t row_count, row_room;
    struct hm_arena *arena;
    int rc; /* first failure; render returns it */
};

void nexus_table_init(struct nexus_table *table, const struct nexus_column *columns, size_t count,
                      struct hm_arena *arena);
/* count cells, copied; fewer than there are columns leaves the rest empty; a NULL cell is one that memory was
 * out for, and fails the table. */
void nexus_table_add(struct nexus_table *table, const char *const *cells, size_t count);
/* The same; a long text in the last cell goes on in further rows, at most `width` columns each. */
void nexus_table_add_wrapped(struct nexus_table *table, const char *const *cells, size_t count,
                             size_t width);
/* Appends the table, each line behind `indent` spaces. HM_ENOMEM, HM_ELIMIT. */
int nexus_table_render(const struct nexus_table *table, size_t indent, bool color,
                       struct hm_buf *out);

/* clang-format off */
#define NEXUS_TABLE_INIT(table, columns, arena) \
    nexus_table_init((table), (columns), HM_COUNT_OF(columns), (arena))
#define NEXUS_TABLE_ROW(table, ...)                                     \
    nexus_table_add((table), (const char *const[]){__VA_ARGS__},        \
                    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))
#define NEXUS_TABLE_WRAPPED(table, width, ...)                              \
    nexus_table_add_wrapped((table), (const char *const[]){__VA_ARGS__},    \
                            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *), (width))
/* clang-format on */

/* Columns that a sentence at the end of a line may take. */
#define NEXUS_SENTENCE_COLUMNS 84

#endif
