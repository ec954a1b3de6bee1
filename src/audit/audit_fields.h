/* Single values out of a line's JSON. HM_ECORRUPT names the field. */
#ifndef HM_AUDIT_FIELDS_H
#define HM_AUDIT_FIELDS_H

#include "audit.h"
#include "json.h"

int audit_field_text(const json_t *line, const char *name, const char **out,
                     struct hm_error *error); /* borrowed of the line */
int audit_field_u64(const json_t *line, const char *name, uint64_t *out, struct hm_error *error);
int audit_field_hash(const json_t *line, const char *name, uint8_t out[CRYPTO_HASH_BYTES],
                     struct hm_error *error);
/* Base64, into the arena. */
int audit_field_bytes(const json_t *line, const char *name, struct hm_arena *arena,
                      struct hm_slice *out, struct hm_error *error);
/* 0 when the line is written exactly as `expected`; else HM_ECORRUPT names the field that differs. */
int audit_fields_compare(const json_t *line, struct hm_slice text, struct hm_slice expected,
                         struct hm_error *error);

#endif
