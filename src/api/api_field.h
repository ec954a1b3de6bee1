/* Fields of requests and answers. One table a message: what is parsed, what unknown fields are
 * refused by, and what /openapi.json says all come from it. */
#ifndef HM_API_FIELD_H
#define HM_API_FIELD_H

#include "api_json.h"

enum api_form {
    API_TEXT,
    API_BOOL,
    API_UINT,
    API_INT, /* answers only */
    API_MONEY, /* decimal text in whole tokens -> base units */
    API_SHARE, /* "share": "10%" or "share_ppm": 100000 -> parts per million, 1 to 1,000,000 */
    API_DURATION, /* "x": "30s" or "x_ms": 30000 -> milliseconds */
    API_AMOUNT, /* number, or size text "64M" */
    API_ACCOUNT, /* name of the keystore or "hm1..."; answers: always the id */
    API_ASSET,
    API_LEASE,
    API_DIGEST, /* 32 bytes as hexadecimal */
    API_HEX,
    API_BASE64,
    API_KIND, /* of an asset */
    API_TOKEN,
    API_LEVEL, /* of privacy */
    API_PAIRS, /* object of texts */
    API_OBJECT, /* fields or message says which */
    API_ANY /* answers only: see about */
};

struct api_fields;

struct api_field {
    const char *name;
    enum api_form form;
    unsigned flags; /* API_REQUIRED, API_LIST, API_NULLABLE */
    const char *about;
    const struct api_fields *fields; /* of API_OBJECT, or NULL */
    const ProtobufCMessageDescriptor *message; /* of API_OBJECT, or NULL */
};

#define API_REQUIRED 1u /* requests: refused without it; answers: always there */
#define API_LIST     2u
#define API_NULLABLE 4u

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
    uint64_t number; /* UINT BOOL MONEY SHARE DURATION AMOUNT KIND TOKEN LEVEL */
    const char *text; /* TEXT ACCOUNT; never NULL when set */
    uint8_t id[32]; /* ASSET LEASE DIGEST */
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
int api_value_parse_text(enum api_form form, const char *name, const char *text,
                         struct hm_arena *arena, struct api_value *out, struct hm_error *error);

/* JSON Schema (2020-12) of a table or a message, as a value. References go to
 * #/components/schemas/NAME. request: lists "required", and both names of shares and durations. */
void api_schema_fields(struct api_json *json, const struct api_fields *fields, bool request);
void api_schema_message(struct api_json *json, const ProtobufCMessageDescriptor *message);
void api_schema_value(struct api_json *json, enum api_form form, const char *about, unsigned flags);

#endif
