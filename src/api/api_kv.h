/* What the native routes and etcd's gateway share of the key-value store. */
#ifndef HM_API_KV_H
#define HM_API_KV_H

#include "api_handlers.h"

#define API_KV_OPS_MAX \
    1024 /* compares and operations that a request may hold, nested ones counted */
#define API_KV_DEPTH_MAX      8 /* of nested transactions; the ledger's limit is lower */
#define API_KV_JSON_DEPTH_MAX 64
#define API_KV_READ_MAX_BYTES ((size_t)64 << 20) /* of one answer, over all pages */

/* The least key that does not begin with these bytes; a zero byte alone (all from the key on) when
 * there is none. Memory of the arena; .data NULL: out of it. */
struct hm_slice api_kv_prefix_end(struct hm_arena *arena, struct hm_slice prefix);
/* All keys, as a key and a range end. */
#define API_KV_ZERO hm_slice_of("", 1) /* one zero byte */

/* The answer to the one operation of a receipt. */
int api_kv_answer(const struct api_receipt *receipt, const Hypermesh__KvAnswer **answer,
                  struct hm_error *error);
/* One operation as account; *answer is what the ledger answered to it. */
int api_kv_submit(struct api_call *call, const char *account, Hypermesh__Operation *op,
                  struct api_receipt *receipt, const Hypermesh__KvAnswer **answer,
                  struct hm_error *error);

/* Reads a range to its end or to query->limit pairs, over as many pages as it takes, all of the
 * same revision. HM_ELIMIT past API_KV_READ_MAX_BYTES. out->more: the limit cut it. */
int api_kv_read(struct api_call *call, const char *account, const struct api_kv_query *query,
                struct api_kv_pairs *out, struct hm_error *error);

/* --- the native form ------------------------------------------------------------------------------ */
/* "encoding" of a request: *base64. */
int api_kv_encoding(const struct api_record *from, bool *base64, struct hm_error *error);
int api_kv_encoding_parse(const char *text, bool *base64, struct hm_error *error);
/* Text or base64 to bytes of the arena. */
int api_kv_bytes(struct api_call *call, const char *name, const char *text, bool base64,
                 struct hm_slice *out, struct hm_error *error);
/* The range that the query's prefix, or start and end, name; every key when it names none. */
int api_kv_span(struct api_call *call, bool base64, struct hm_slice *key, struct hm_slice *end,
                struct hm_error *error);
/* Fields of an item, inside an open object: key, value (unless keys_only), revisions, encoding.
 * entry NULL: key and encoding alone. */
void api_kv_item_put(struct json_out *json, struct hm_slice key, const Hypermesh__KvEntry *entry,
                     bool keys_only, bool base64);

/* --- api_kv_txn.c: a transaction's JSON ------------------------------------------------------------ */
struct api_kv_txn_reader {
    struct hm_arena *arena;
    bool base64;
    unsigned ops; /* so far */
};
/* {"compare", "success", "failure"}, anything else in it is refused. Pure. */
int api_kv_txn_read(struct api_kv_txn_reader *reader, const json_t *from, unsigned depth,
                    Hypermesh__KvTxn **out, struct hm_error *error);

#endif
