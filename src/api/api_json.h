/* Writes JSON (RFC 8259) straight into a buffer. The first failure sticks in `error`; later
 * calls do nothing, so that a writer of many fields checks once, at the end. */
#ifndef HM_API_JSON_H
#define HM_API_JSON_H

#include "base.h"
#include "wire.h"

struct api_json {
    struct hm_buf *out; /* borrowed */
    int error; /* 0 or HM_ENOMEM */
    bool comma; /* the next key or element needs one before it */
};

void api_json_open(struct api_json *json, char bracket); /* '{' or '[' */
void api_json_close(struct api_json *json, char bracket); /* '}' or ']' */
void api_json_key(struct api_json *json, const char *name); /* name needs no escaping */

void api_json_text_key(struct api_json *json, const char *name); /* any text */

/* Values: an element of an array, or what follows a key. */
void api_json_text(struct api_json *json,
                   const char *text); /* NULL: null; bad UTF-8 becomes U+FFFD */
void api_json_u64(struct api_json *json, uint64_t value);
void api_json_i64(struct api_json *json, int64_t value);
void api_json_bool(struct api_json *json, bool value);
void api_json_null(struct api_json *json);
void api_json_hex(struct api_json *json, struct hm_slice bytes);
void api_json_base64(struct api_json *json, struct hm_slice bytes);
void api_json_money(struct api_json *json, uint64_t base_units); /* "1.5" */
/* Text ids; "" for empty bytes, hexadecimal for a length that no id has. */
void api_json_account(struct api_json *json, struct hm_slice id);
void api_json_asset(struct api_json *json, struct hm_slice id);
void api_json_lease(struct api_json *json, struct hm_slice id);

/* Key and value at once. */
void api_json_put_text(struct api_json *json, const char *name, const char *text);
void api_json_put_u64(struct api_json *json, const char *name, uint64_t value);
void api_json_put_bool(struct api_json *json, const char *name, bool value);
void api_json_put_hash(struct api_json *json, const char *name, const uint8_t hash[32]);
void api_json_put_money(struct api_json *json, const char *name, uint64_t base_units);

#endif
