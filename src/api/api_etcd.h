/* etcd's v3 JSON gateway: its requests, its answers, its errors (etcd 3.4, api/etcdserverpb).
 * Names may be written snake_case or lowerCamelCase, enums by name or number, numbers as text or
 * number; unknown fields are ignored, zero fields left out, as etcd's own gateway does. */
#ifndef HM_API_ETCD_H
#define HM_API_ETCD_H

#include "api_kv.h"

#define API_ETCD_VERSION     "3.4.0" /* whose behaviour this is */
#define API_ETCD_OPS_MAX     128 /* of one list in a transaction, as in etcd */
#define API_ETCD_TTL_MIN_S   2 /* what etcd makes of less */
#define API_ETCD_TTL_MAX_S   (INT64_C(365) * 24 * 3600)
#define API_ETCD_PROGRESS_MS 600000
#define API_ETCD_RAFT_TERM   1

/* --- requests --------------------------------------------------------------------------------------- */
/* The body's first object; an empty body is {}. */
int api_etcd_read(struct api_call *call, json_t **out, struct hm_error *error);
/* The next object of a body that may hold several; *out NULL: there is none. */
int api_etcd_read_next(struct hm_slice *body, json_t **out, struct hm_error *error);
/* A field by its snake_case name, under either spelling; NULL: absent or null. */
const json_t *api_etcd_field(const json_t *from, const char *name);
/* Fields that are absent leave *out as it is. */
int api_etcd_bytes(const json_t *from, const char *name, struct hm_arena *arena,
                   ProtobufCBinaryData *out, struct hm_error *error);
int api_etcd_i64(const json_t *from, const char *name, int64_t *out, struct hm_error *error);
int api_etcd_bool(const json_t *from, const char *name, bool *out, struct hm_error *error);
/* names: of the values 0, 1, ... */
int api_etcd_enum(const json_t *from, const char *name, const char *const *names, size_t count,
                  int *out, struct hm_error *error);
int api_etcd_enum_value(const json_t *value, const char *name, const char *const *names,
                        size_t count, int *out, struct hm_error *error);

/* A KvRange with what etcd can ask beyond it. */
struct api_etcd_range_ask {
    ProtobufCBinaryData key, range_end;
    int64_t limit, revision;
    int sort_order, sort_target;
    bool keys_only, count_only;
    int64_t min_mod, max_mod, min_create, max_create; /* 0: no bound */
};
int api_etcd_range_read(const json_t *from, struct hm_arena *arena, struct api_etcd_range_ask *out,
                        struct hm_error *error);
/* Must everything be read before the limit can be applied? */
bool api_etcd_range_is_whole(const struct api_etcd_range_ask *ask);
/* Reads what it asks for, before filters, order and limit when it is whole. HM_ERANGE with etcd's
 * sentence: no such revision. */
int api_etcd_range_find(struct api_call *call, const struct api_etcd_range_ask *ask,
                        struct api_kv_pairs *out, struct hm_error *error);

struct api_etcd_put_ask {
    Hypermesh__KvPut put;
    bool prev;
};
int api_etcd_put_read(const json_t *from, struct hm_arena *arena, struct api_etcd_put_ask *out,
                      struct hm_error *error);
/* The same of the call's body. *out is all zero before. */
int api_etcd_put_body(struct api_call *call, struct api_etcd_put_ask *out, struct hm_error *error);
int api_etcd_range_body(struct api_call *call, struct api_etcd_range_ask *out,
                        struct hm_error *error);
/* {"key": BASE64, OTHER: BASE64}, or only the key, which must not be empty: what nearly all requests are. False:
 * anything else, to be read as JSON, which says what is wrong with it; then nothing is set. Pure. */
bool api_etcd_flat(struct hm_slice body, const char *other, struct hm_arena *arena,
                   ProtobufCBinaryData *key, ProtobufCBinaryData *value);
struct api_etcd_delete_ask {
    Hypermesh__KvDelete act;
    bool prev;
};
int api_etcd_delete_read(const json_t *from, struct hm_arena *arena,
                         struct api_etcd_delete_ask *out, struct hm_error *error);

/* --- answers ------------------------------------------------------------------------------------------ */
/* Runs the handler's body; a failure becomes etcd's error object. */
int api_etcd_run(struct api_call *call, int (*body)(struct api_call *call, struct hm_error *error));
/* The same of what an api_ending made. */
int api_etcd_end(struct api_call *call, int rc, const struct hm_error *error);
/* "header" for the store's revision. */
int api_etcd_header(struct api_call *call, struct json_out *json, uint64_t revision,
                    struct hm_error *error);
struct api_etcd_ids {
    uint64_t cluster, member;
};
int api_etcd_ids(struct api_core *core, struct hm_arena *arena, struct api_etcd_ids *out,
                 struct hm_error *error);
void api_etcd_header_put(struct json_out *json, const struct api_etcd_ids *ids, uint64_t revision);
/* "name": "value" unless it is 0. */
void api_etcd_put_u64(struct json_out *json, const char *name, uint64_t value);
void api_etcd_put_i64(struct json_out *json, const char *name, int64_t value);
void api_etcd_kv_json(struct json_out *json, struct hm_slice key, const Hypermesh__KvEntry *entry,
                      bool keys_only);
/* "kvs", "more" and "count" of a range: filtered, sorted and cut as asked. Orders pairs in place.
 * whole: pairs are all there are. */
void api_etcd_range_put(struct json_out *json, const struct api_etcd_range_ask *ask,
                        Hypermesh__KvPair **pairs, size_t count, uint64_t total, bool more);
/* The list `name` of what was there before, when there was anything. */
void api_etcd_prev_list(struct json_out *json, const char *name, const Hypermesh__KvAnswer *range);

/* Revision of the store; and the sentence for HM_ERANGE of a read at `revision`. */
int api_etcd_state(struct api_call *call, Hypermesh__KvState **out, struct hm_error *error);
int api_etcd_range_fault(struct api_call *call, int64_t revision, struct hm_error *error);

#endif
