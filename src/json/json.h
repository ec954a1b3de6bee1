/* json: messages of proto/ as JSON, JSON written straight into a buffer (RFC 8259), and JSON of
 * outsiders read within limits. One place says how each field of the schema is shown.
 *
 * Never: knows HTTP, files or the ledger's rules; keeps anything.
 * Start reading with json_message. */
#ifndef HM_JSON_H
#define HM_JSON_H

#include <jansson.h>

#include "base.h"
#include "wire.h"

/* How a value is written. */
enum json_form {
    JSON_FORM_TEXT,
    JSON_FORM_BOOL,
    JSON_FORM_UINT,
    JSON_FORM_INT, /* answers only */
    JSON_FORM_MONEY, /* decimal text in whole tokens -> base units */
    JSON_FORM_SHARE, /* "share": "10%" or "share_ppm": 100000 -> parts per million, 1 to 1,000,000 */
    JSON_FORM_PART, /* as a share, but may be 0: "0%" */
    JSON_FORM_DURATION, /* "x": "30s" or "x_ms": 30000 -> milliseconds */
    JSON_FORM_AMOUNT, /* number, or size text "64M" */
    JSON_FORM_ACCOUNT, /* name of the keystore or "hm1..."; answers: always the id */
    JSON_FORM_ASSET,
    JSON_FORM_LEASE,
    JSON_FORM_NETWORK,
    JSON_FORM_CHALLENGE,
    JSON_FORM_DIGEST, /* 32 bytes as hexadecimal */
    JSON_FORM_HEX,
    JSON_FORM_BASE64,
    JSON_FORM_BYTES, /* text when it is such, else "base64:..."; see json_out_bytes */
    JSON_FORM_REWARD, /* what is left of 1,000,000 when the stored part is taken away */
    JSON_FORM_KIND, /* of an asset */
    JSON_FORM_TOKEN,
    JSON_FORM_LEVEL, /* of privacy */
    JSON_FORM_PAIRS, /* object of texts */
    JSON_FORM_OBJECT,
    JSON_FORM_ANY /* answers only: see about */
};

/* --- writing --------------------------------------------------------------------------------------
 * The first failure sticks in `error`; later calls do nothing, so that a writer of many fields
 * checks once, at the end. */
struct json_out {
    struct hm_buf *out; /* borrowed */
    int error; /* 0 or HM_ENOMEM */
    bool comma; /* the next key or element needs one before it */
};

void json_out_open(struct json_out *json, char bracket); /* '{' or '[' */
void json_out_close(struct json_out *json, char bracket); /* '}' or ']' */
void json_out_key(struct json_out *json, const char *name); /* name needs no escaping */
void json_out_text_key(struct json_out *json, const char *name); /* any text */

/* Values: an element of an array, or what follows a key. */
void json_out_text(struct json_out *json,
                   const char *text); /* NULL: null; bad UTF-8 becomes U+FFFD */
void json_out_u64(struct json_out *json, uint64_t value);
void json_out_i64(struct json_out *json, int64_t value);
void json_out_bool(struct json_out *json, bool value);
void json_out_null(struct json_out *json);
void json_out_hex(struct json_out *json, struct hm_slice bytes);
void json_out_base64(struct json_out *json, struct hm_slice bytes);
/* Bytes that are mostly text: themselves when they are UTF-8 without NUL and do not begin with
 * "base64:", else "base64:" and their base64. Two different byte strings never look the same. */
void json_out_bytes(struct json_out *json, struct hm_slice bytes);
bool json_bytes_are_text(struct hm_slice bytes); /* UTF-8 without NUL */
/* len bytes that json_bytes_are_text. */
void json_out_text_bytes(struct json_out *json, struct hm_slice text);
void json_out_money(struct json_out *json, uint64_t base_units); /* "1.5" */
/* Text ids; "" for empty bytes, hexadecimal for a length that no id has. */
void json_out_account(struct json_out *json, struct hm_slice id);
void json_out_asset(struct json_out *json, struct hm_slice id);
void json_out_lease(struct json_out *json, struct hm_slice id);
void json_out_network(struct json_out *json, struct hm_slice id);
void json_out_challenge(struct json_out *json, struct hm_slice id);

/* Key and value at once. */
void json_out_put_text(struct json_out *json, const char *name, const char *text);
void json_out_put_u64(struct json_out *json, const char *name, uint64_t value);
void json_out_put_bool(struct json_out *json, const char *name, bool value);
void json_out_put_hash(struct json_out *json, const char *name, const uint8_t hash[32]);
void json_out_put_money(struct json_out *json, const char *name, uint64_t base_units);
void json_out_put_hex(struct json_out *json, const char *name, struct hm_slice bytes);
void json_out_put_base64(struct json_out *json, const char *name, struct hm_slice bytes);

/* --- messages -------------------------------------------------------------------------------------
 * Field names of the schema, money as decimal text, ids in their text form, other bytes as
 * hexadecimal, enums by name. Which field is which stands in one table, json_message.c. */

/* {"field": ...}; an Operation is {"op": "allocate", ...its fields}. */
void json_message(struct json_out *json, const ProtobufCMessage *message);
/* The fields alone, inside an object that is already open. NULL: nothing. `without` may be NULL. */
void json_message_put(struct json_out *json, const ProtobufCMessage *message, const char *without);
/* How a field is shown: JSON_FORM_TEXT for enums and text. Repeated fields have the form of their
 * element. */
enum json_form json_message_form(const ProtobufCMessageDescriptor *message,
                                 const ProtobufCFieldDescriptor *field);
/* What it is called: its name, or "reward_ppm" for JSON_FORM_REWARD. */
const char *json_message_name(const ProtobufCMessageDescriptor *message,
                              const ProtobufCFieldDescriptor *field);
/* Name of an enum's value, as shown. */
const char *json_enum_name(const ProtobufCEnumDescriptor *descriptor, int value);
/* The value with that name; HM_EPARSE: none. */
int json_enum_parse(const ProtobufCEnumDescriptor *descriptor, const char *name, int *value);

/* --- reading --------------------------------------------------------------------------------------
 * An object. HM_EPARSE: not JSON, nested deeper than depth, a name twice; HM_EINVAL: no object;
 * HM_ENOMEM. what begins the sentence ("the body"). The caller json_decrefs *out. Pure. */
int json_read(struct hm_slice text, unsigned depth, const char *what, json_t **out,
              struct hm_error *error);
void json_release(json_t **value); /* for HM_CLEANUP(json): decrefs what is there */

#endif
