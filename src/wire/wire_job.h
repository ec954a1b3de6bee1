/* The job specification, field by field. One table (wire_job_fields.c) says what each field is
 * called, where it lives, what it may hold and what that means; the parser, the JSON writer, the
 * checks and docs/job-spec.md all read it. */
#ifndef HM_WIRE_JOB_H
#define HM_WIRE_JOB_H

#include <stdio.h>

#include "wire.h"

struct wire_job_field;

/* What a read works on. name is NULL when the value came by itself (a flag) and has no position. */
struct wire_job_reader {
    const char *name;
    struct hm_arena *arena;
    Hypermesh__JobSpec *spec;
    struct hm_error *error;
};

/* How one form of value is read, checked and written. */
struct wire_job_kind {
    const char *form; /* for the documentation */
    /* Sets the field from a node, replacing what was there. */
    int (*read)(struct wire_job_reader *reader, const struct wire_job_field *field,
                const struct wire_yaml *node);
    /* Lists: adds one element given as a single text. NULL: as read. */
    int (*add)(struct wire_job_reader *reader, const struct wire_job_field *field,
               const char *text);
    /* Errors open with the field's name. */
    int (*check)(const Hypermesh__JobSpec *spec, const struct wire_job_field *field,
                 struct hm_error *error);
    /* Appends the value as JSON, or nothing when it is absent. */
    int (*write)(const Hypermesh__JobSpec *spec, const struct wire_job_field *field,
                 struct hm_buf *out);
    /* Numbers only: text to value and back. */
    int (*parse)(const char *text, unsigned digits, uint64_t *value, struct hm_error *error);
    void (*format)(uint64_t value, unsigned digits, char out[40]);
    bool quoted; /* numbers only: written as a JSON string */
};

struct wire_job_field {
    const char *name;
    const struct wire_job_kind *kind;
    size_t offset; /* of the member in Hypermesh__JobSpec */
    unsigned digits; /* decimals: the member holds value * 10^digits */
    bool wide; /* numbers: 64 bits, else 32 */
    uint64_t least;
    uint64_t most;
    uint64_t fallback;
    /* Texts: 0 or an error that opens with field->name. */
    int (*rule)(const char *name, const char *text, struct hm_error *error);
    const char *fallback_text; /* for the documentation, when not a number */
    const char *limits_text; /* likewise */
    const char *meaning;
};

#define WIRE_JOB_FIELDS_MAX 32
extern const struct wire_job_field wire_job_fields[];
extern const size_t wire_job_field_count;

extern const struct wire_job_kind wire_job_kind_decimal;
extern const struct wire_job_kind wire_job_kind_price;
extern const struct wire_job_kind wire_job_kind_size;
extern const struct wire_job_kind wire_job_kind_duration;
extern const struct wire_job_kind wire_job_kind_count;
extern const struct wire_job_kind wire_job_kind_flag;
extern const struct wire_job_kind wire_job_kind_text;
extern const struct wire_job_kind wire_job_kind_path;
extern const struct wire_job_kind wire_job_kind_command;
extern const struct wire_job_kind wire_job_kind_env;
extern const struct wire_job_kind wire_job_kind_inputs;
extern const struct wire_job_kind wire_job_kind_outputs;

/* NULL when there is no such field. */
const struct wire_job_field *wire_job_field_find(const char *name);
/* The name among count that was probably meant; NULL when none is near. */
const char *wire_job_nearest(const char *text, const char *const *names, size_t count);

/* Puts "NAME:LINE:COLUMN: " before the sentence that is in the reader's error. */
void wire_job_locate(struct wire_job_reader *reader, const struct wire_yaml *node);
/* A located error: "NAME:LINE:COLUMN: " and the sentence. Returns code. */
int wire_job_refuse(struct wire_job_reader *reader, const struct wire_yaml *node, int code,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The node's text, or an error when it is a list, a mapping or null. what opens the sentence. */
int wire_job_text(struct wire_job_reader *reader, const struct wire_yaml *node, const char *what,
                  const char **text);

/* Rules for texts. what opens the sentence ("inputs[0].target"). */
int wire_job_rule_name(const char *what, const char *text, struct hm_error *error);
int wire_job_rule_image(const char *what, const char *text, struct hm_error *error);
int wire_job_rule_workdir(const char *what, const char *text, struct hm_error *error);
int wire_job_rule_env_name(const char *what, const char *text, struct hm_error *error);
int wire_job_rule_inner_path(const char *what, const char *text, struct hm_error *error);
int wire_job_rule_host_path(const char *what, const char *text, struct hm_error *error);
/* The path without doubled and trailing slashes, in the arena; NULL: memory. */
char *wire_job_path_tidy(struct hm_arena *arena, const char *path);
/* One is the other or lies inside it. Both tidy. */
bool wire_job_paths_overlap(const char *a, const char *b);

/* Appends a JSON string that YAML 1.1 reads the same. HM_EINVAL when text is not UTF-8. */
int wire_json_string(const char *text, struct hm_buf *out);

#endif
