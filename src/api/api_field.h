/* Fields of requests and answers. One table a message: what is parsed, what unknown fields are
 * refused by, and what /openapi.json says all come from it. */
#ifndef HM_API_FIELD_H
#define HM_API_FIELD_H

#include "json.h"

struct api_fields;

struct api_field {
    const char *name;
    enum json_form form;
    unsigned flags; /* API_REQUIRED, ... */
    const char *about;
    const struct api_fields *fields; /* of JSON_FORM_OBJECT, or NULL */
    const ProtobufCMessageDescriptor *message; /* of JSON_FORM_OBJECT, or NULL */
};

#define API_REQUIRED 1u /* requests: refused without it; answers: always there */
#define API_LIST     2u
#define API_NULLABLE 4u
#define API_LONG     8u /* text without a limit of its own: a value of the key-value store */
#define API_SECRET   16u /* top-level text of a request: the parser wipes its own copies */

struct api_fields {
    const char *name; /* of the schema in /openapi.json */
    const struct api_field *rows;
    size_t count;
    /* Answers: the message's own fields come first; a row of the same name replaces one. May be
     * NULL. */
    const ProtobufCMessageDescriptor *message;
};

#define API_TEXT_MAX_BYTES 4096 /* of a text field without a tighter limit elsewhere */
#define API_LIST_MAX       256 /* entries of a list or pairs in a request */
#define API_FIELDS_MAX     16 /* of a request */
#define API_JSON_DEPTH_MAX 16

struct api_value {
    bool set;
    uint64_t number; /* UINT BOOL MONEY SHARE PART DURATION AMOUNT KIND TOKEN LEVEL */
    const char *text; /* TEXT ACCOUNT; never NULL when set */
    uint8_t id[32]; /* ASSET LEASE NETWORK CHALLENGE DIGEST */
    struct hm_slice bytes; /* HEX BASE64 */
    const char **list; /* LIST of texts; PAIRS: name, value, ... sorted by name */
    size_t count; /* entries, or pairs */
    const struct api_record *object; /* OBJECT */
};

/* Parsed fields of a request; all memory is the arena's. */
struct api_record {
    const struct api_fields *fields;
    struct api_value *values; /* one a row */
};

/* The value of the row called name, which must be in the table (a programming error otherwise:
 * aborts). */
const struct api_value *api_record_get(const struct api_record *record, const char *name);

/* A JSON object as body. HM_EPARSE: not JSON, too deep, a name twice; HM_EINVAL: unknown or
 * missing field, wrong type; HM_ERANGE. The error names the field. */
int api_record_parse_json(const struct api_fields *fields, struct hm_slice text,
                          struct hm_arena *arena, struct api_record *out, struct hm_error *error);

/* One decoded query parameter or path parameter. */
struct api_pair {
    const char *name;
    const char *value;
};
int api_record_parse_query(const struct api_fields *fields, const struct api_pair *pairs,
                           size_t count, struct hm_arena *arena, struct api_record *out,
                           struct hm_error *error);
/* Text form of a single value; `name` is what errors call it. */
int api_value_parse_text(enum json_form form, const char *name, const char *text,
                         struct hm_arena *arena, struct api_value *out, struct hm_error *error);

/* JSON Schema (2020-12) of a table or a message, as a value. References go to
 * #/components/schemas/NAME. request: lists "required", and both names of shares and durations. */
void api_schema_fields(struct json_out *json, const struct api_fields *fields, bool request);
void api_schema_message(struct json_out *json, const ProtobufCMessageDescriptor *message);
void api_schema_value(struct json_out *json, enum json_form form, const char *about,
                      unsigned flags);

#endif
