/* What the verbs of the key-value store share. */
#ifndef HM_NEXUS_KV_H
#define HM_NEXUS_KV_H

#include "nexus_call.h"

/* Of a value or a transaction that is read from a file or standard input. */
#define NEXUS_KV_INPUT_MAX_BYTES ((size_t)1 << 20)

/* clang-format off */
#define NEXUS_KV_ACCOUNT {.name = "account", .value = "NAME", .help = "who acts; default: user"}
/* clang-format on */

/* "/kv/KEY", escaped; NULL when memory is out. */
const char *nexus_kv_path(struct nexus_call *call, const char *key);
/* The bytes of a member, in the arena: base64 when the object says so in its "encoding". */
int nexus_kv_bytes(struct nexus_call *call, const json_t *item, const char *member,
                   struct hm_slice *out);
/* Body and path of a put: as text, or both key and value as base64 when the value is not text. */
int nexus_kv_put_body(struct nexus_call *call, const char *key, struct hm_slice value, json_t *body,
                      const char **path);
/* A key as it is shown; "base64:..." when it is not text. */
const char *nexus_kv_key(const json_t *item, struct hm_arena *arena);
/* The beginning of a value on one line. */
const char *nexus_kv_brief(const char *value, struct hm_arena *arena);
/* "revision 12", and what became of the transaction. */
int nexus_kv_table_revision(struct nexus_call *call, const json_t *reply, struct hm_buf *out);
/* Which branch, and what its operations answered. */
int nexus_kv_table_txn(struct nexus_call *call, const json_t *reply, struct hm_buf *out);

#endif
