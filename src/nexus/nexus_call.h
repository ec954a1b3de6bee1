/* One call of nexus: what every verb gets, and what nearly every verb does with it. */
#ifndef HM_NEXUS_CALL_H
#define HM_NEXUS_CALL_H

#include <jansson.h>

#include "nexus.h"
#include "nexus_client.h"
#include "nexus_json.h"
#include "nexus_option.h"
#include "nexus_place.h"
#include "nexus_show.h"
#include "nexus_table.h"

enum nexus_format { NEXUS_FORMAT_TABLE, NEXUS_FORMAT_JSON, NEXUS_FORMAT_YAML };

struct nexus_call {
    const struct nexus_grammar *grammar;
    const struct nexus_line *line;
    enum nexus_format format;
    bool color; /* on standard output */
    struct nexus_place place;
    struct nexus_client *client; /* made at first need */
    struct hm_arena *arena; /* lives as long as the call */
    struct hm_error error;
    const char *hint; /* printed below the error; NULL: what fits its code */
};

/* The grammar of nexus itself. */
const struct nexus_grammar *nexus_grammar(void);

/* --- options and operands ----------------------------------------------------------------------- */
const char *nexus_value(const struct nexus_call *call, const char *option); /* NULL: not given */
bool nexus_has(const struct nexus_call *call, const char *option);
const char *nexus_operand(const struct nexus_call *call, size_t at); /* NULL: not given */
/* A number or a duration among the options; *out is untouched when it was not given. */
int nexus_value_u64(struct nexus_call *call, const char *option, uint64_t *out);
int nexus_value_ms(struct nexus_call *call, const char *option, uint64_t *out);

/* --- asking the node ---------------------------------------------------------------------------- */
int nexus_connect(struct nexus_call *call);
/* Path is formatted; its parts must be escaped (nexus_part). body is taken over, may be NULL. */
int nexus_ask(struct nexus_call *call, const char *method, json_t *body, json_t **reply,
              const char *path, ...) __attribute__((format(printf, 5, 6)));
/* A part of a path or query, escaped; "" when memory is out (the node then refuses). */
const char *nexus_part(struct nexus_call *call, const char *text);
/* Appends "?key=value" or "&key=value" to a path in *path, when value is not NULL. */
int nexus_query(struct nexus_call *call, const char **path, const char *key, const char *value);
/* All items of a list, page after page, at most `most` (0: NEXUS_LIST_MAX, past which it says so). */
#define NEXUS_LIST_MAX  10000
#define NEXUS_PAGE_SIZE 500
int nexus_list(struct nexus_call *call, const char *path, size_t most, json_t **items);
/* Of a list that comes whole. */
int nexus_items(struct nexus_call *call, const char *path, json_t **items);
/* Adds member `key` to a body from an option of the same meaning, when it was given. */
int nexus_body_option(struct nexus_call *call, json_t *body, const char *key, const char *option);
int nexus_body_text(struct nexus_call *call, json_t *body, const char *key, const char *text);

/* --- answering the user ------------------------------------------------------------------------- */
int nexus_no_memory(struct nexus_call *call);
/* Writes text to standard output. */
int nexus_write(struct nexus_call *call, const struct hm_buf *text);
/* A line on standard error, behind "nexus: "; made safe for a terminal. */
void nexus_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Shows value in the format asked for; `table` appends what people are shown. */
typedef int (*nexus_table_form)(struct nexus_call *call, const json_t *value, struct hm_buf *out);
int nexus_show(struct nexus_call *call, const json_t *value, nexus_table_form table);
/* The usual ending of nexus_table_form. */
int nexus_table_finish(struct nexus_call *call, const struct nexus_table *table,
                       struct hm_buf *out);
/* Name and value, one a line; nothing for an empty value. */
void nexus_fact(struct nexus_table *table, const char *name, const char *value);
extern const struct nexus_column nexus_fact_columns[2];
/* What became of a transaction: "done in block 12, fee 0.001 HYPER, transaction 1a2b…". */
int nexus_table_receipt(struct nexus_call *call, const json_t *receipt, struct hm_buf *out);
/* Every member of an object as facts, whatever they are. */
int nexus_table_object(struct nexus_call *call, const json_t *object, struct hm_buf *out);

/* All of standard input, appended. HM_ELIMIT past most bytes. */
int nexus_read_input(struct nexus_call *call, size_t most, struct hm_buf *out);

#endif
