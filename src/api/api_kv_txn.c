/* A transaction of the key-value store, from the native routes' JSON. */
#include "api_kv.h"

/* Names that an object may hold; NULL ends them. */
static int check_names(const json_t *object, const char *what, const char *const *names,
                       struct hm_error *error)
{
    const char *key;
    json_t *value;

    if (!json_is_object(object))
        return hm_fail(error, HM_EINVAL, "%s must be an object", what);
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        size_t i = 0;

        while (names[i] && strcmp(names[i], key) != 0)
            i++;
        if (!names[i])
            return hm_fail(error, HM_EINVAL, "unknown field '%.64s' in %s", key, what);
    }
    return 0;
}

static int take_bytes(struct api_kv_txn_reader *reader, const json_t *object, const char *name,
                      ProtobufCBinaryData *out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf decoded = {0};
    const json_t *value = json_object_get(object, name);
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    const void *copy;
    int rc;

    if (!value)
        return 0;
    if (!text)
        return hm_fail(error, HM_EINVAL, "%s must be text", name);
    if (reader->base64) {
        rc = hm_base64_decode(text, len, &decoded, error);
        if (rc)
            return hm_error_prefix(error, rc, "%s", name);
        text = (const char *)decoded.data;
        len = decoded.len;
    }
    copy = hm_arena_dup(reader->arena, len > 0 ? text : "", len + (len == 0));
    if (!copy)
        return api_no_memory(error);
    *out = wire_bytes(copy, len);
    return 0;
}

static int take_number(const json_t *object, const char *name, uint64_t *out,
                       struct hm_error *error)
{
    const json_t *value = json_object_get(object, name);

    if (!value)
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return hm_fail(error, HM_EINVAL, "%s must be a number, 0 or more", name);
    *out = (uint64_t)json_integer_value(value);
    return 0;
}

static int take_flag(const json_t *object, const char *name, protobuf_c_boolean *out,
                     struct hm_error *error)
{
    const json_t *value = json_object_get(object, name);

    if (!value)
        return 0;
    if (!json_is_boolean(value))
        return hm_fail(error, HM_EINVAL, "%s must be true or false", name);
    *out = json_is_true(value);
    return 0;
}

static int take_enum(const json_t *object, const char *name,
                     const ProtobufCEnumDescriptor *descriptor, int *out, struct hm_error *error)
{
    const char *text = json_string_value(json_object_get(object, name));

    if (!text || json_enum_parse(descriptor, text, out))
        return hm_fail(error, HM_EINVAL,
                       "%s is missing or none of those there are: see docs/api.md", name);
    return 0;
}

/* "key" and "end", or "key" and "prefix": true. */
static int take_range(struct api_kv_txn_reader *reader, const json_t *object,
                      ProtobufCBinaryData *key, ProtobufCBinaryData *end, struct hm_error *error)
{
    protobuf_c_boolean prefix = 0;
    struct hm_slice last;
    int rc = take_bytes(reader, object, "key", key, error);

    if (rc == 0)
        rc = take_bytes(reader, object, "end", end, error);
    if (rc == 0)
        rc = take_flag(object, "prefix", &prefix, error);
    if (rc == 0 && prefix && end->len > 0)
        rc = hm_fail(error, HM_EINVAL, "end and prefix exclude each other");
    if (rc || !prefix)
        return rc;
    last = api_kv_prefix_end(reader->arena, wire_slice(*key));
    if (!last.data)
        return api_no_memory(error);
    *end = wire_bytes(last.data, last.len);
    return 0;
}

static int read_compare(struct api_kv_txn_reader *reader, const json_t *from,
                        Hypermesh__KvCompare *out, struct hm_error *error)
{
    static const char *const names[] = {"key",    "end",    "prefix", "target",
                                        "result", "number", "value",  NULL};
    int target = 0;
    int result = 0;
    uint64_t number = 0;
    bool by_value;
    int rc = check_names(from, "a compare", names, error);

    hypermesh__kv_compare__init(out);
    if (rc == 0)
        rc = take_range(reader, from, &out->key, &out->range_end, error);
    if (rc == 0)
        rc = take_enum(from, "target", &hypermesh__kv_compare_target__descriptor, &target, error);
    if (rc == 0)
        rc = take_enum(from, "result", &hypermesh__kv_compare_result__descriptor, &result, error);
    if (rc)
        return rc;
    by_value = target == HYPERMESH__KV_COMPARE_TARGET__KV_VALUE;
    if (!json_object_get(from, by_value ? "value" : "number") ||
        json_object_get(from, by_value ? "number" : "value"))
        return hm_fail(error, HM_EINVAL, "a compare of %s has %s and not %s",
                       by_value ? "value" : "a number", by_value ? "value" : "number",
                       by_value ? "number" : "value");
    rc = by_value ? take_bytes(reader, from, "value", &out->value, error)
                  : take_number(from, "number", &number, error);
    out->target = (Hypermesh__KvCompareTarget)target;
    out->result = (Hypermesh__KvCompareResult)result;
    out->number = (int64_t)number;
    return rc;
}

static int read_put(struct api_kv_txn_reader *reader, const json_t *from, Hypermesh__KvTxnOp *out,
                    struct hm_error *error)
{
    static const char *const names[] = {"key",          "value",        "lease",
                                        "ignore_value", "ignore_lease", NULL};
    Hypermesh__KvPut *put = hm_arena_alloc(reader->arena, sizeof(*put));
    int rc = put ? check_names(from, "put", names, error) : api_no_memory(error);

    if (rc)
        return rc;
    hypermesh__kv_put__init(put);
    rc = take_bytes(reader, from, "key", &put->key, error);
    if (rc == 0)
        rc = take_bytes(reader, from, "value", &put->value, error);
    if (rc == 0)
        rc = take_number(from, "lease", &put->lease, error);
    if (rc == 0)
        rc = take_flag(from, "ignore_value", &put->ignore_value, error);
    if (rc == 0)
        rc = take_flag(from, "ignore_lease", &put->ignore_lease, error);
    out->op_case = HYPERMESH__KV_TXN_OP__OP_PUT;
    out->put = put;
    return rc;
}

static int read_delete(struct api_kv_txn_reader *reader, const json_t *from,
                       Hypermesh__KvTxnOp *out, struct hm_error *error)
{
    static const char *const names[] = {"key", "end", "prefix", NULL};
    Hypermesh__KvDelete *act = hm_arena_alloc(reader->arena, sizeof(*act));
    int rc = act ? check_names(from, "delete", names, error) : api_no_memory(error);

    if (rc)
        return rc;
    hypermesh__kv_delete__init(act);
    out->op_case = HYPERMESH__KV_TXN_OP__OP_DELETE;
    out->delete_ = act;
    return take_range(reader, from, &act->key, &act->range_end, error);
}

static int read_range(struct api_kv_txn_reader *reader, const json_t *from, Hypermesh__KvTxnOp *out,
                      struct hm_error *error)
{
    static const char *const names[] = {"key",       "end",        "prefix", "limit",
                                        "keys_only", "count_only", NULL};
    Hypermesh__KvRange *range = hm_arena_alloc(reader->arena, sizeof(*range));
    int rc = range ? check_names(from, "range", names, error) : api_no_memory(error);

    if (rc)
        return rc;
    hypermesh__kv_range__init(range);
    rc = take_range(reader, from, &range->key, &range->range_end, error);
    if (rc == 0)
        rc = take_number(from, "limit", &range->limit, error);
    if (rc == 0)
        rc = take_flag(from, "keys_only", &range->keys_only, error);
    if (rc == 0)
        rc = take_flag(from, "count_only", &range->count_only, error);
    out->op_case = HYPERMESH__KV_TXN_OP__OP_RANGE;
    out->range = range;
    return rc;
}

static int read_op(struct api_kv_txn_reader *reader, const json_t *from, unsigned depth,
                   Hypermesh__KvTxnOp *out, struct hm_error *error)
{
    static const char *const names[] = {"put", "delete", "range", "txn", NULL};
    const json_t *inner;
    int rc = check_names(from, "an operation", names, error);

    hypermesh__kv_txn_op__init(out);
    if (rc)
        return rc;
    if (json_object_size(from) != 1)
        return hm_fail(error, HM_EINVAL, "an operation is one of put, delete, range, txn");
    inner = json_object_get(from, "put");
    if (inner)
        return read_put(reader, inner, out, error);
    inner = json_object_get(from, "delete");
    if (inner)
        return read_delete(reader, inner, out, error);
    inner = json_object_get(from, "range");
    if (inner)
        return read_range(reader, inner, out, error);
    out->op_case = HYPERMESH__KV_TXN_OP__OP_TXN;
    return api_kv_txn_read(reader, json_object_get(from, "txn"), depth + 1, &out->txn, error);
}

/* The list called name; NULL and 0 when it is not there. */
static int take_list(struct api_kv_txn_reader *reader, const json_t *from, const char *name,
                     const json_t **list, size_t *count, struct hm_error *error)
{
    *list = json_object_get(from, name);
    *count = json_array_size(*list);
    if (*list && !json_is_array(*list))
        return hm_fail(error, HM_EINVAL, "%s must be a list", name);
    reader->ops += (unsigned)(*count < API_KV_OPS_MAX ? *count : API_KV_OPS_MAX + 1);
    if (reader->ops > API_KV_OPS_MAX)
        return hm_fail(error, HM_ELIMIT, "a transaction has at most %d compares and operations",
                       API_KV_OPS_MAX);
    return 0;
}

static int read_compares(struct api_kv_txn_reader *reader, const json_t *from,
                         Hypermesh__KvTxn *out, struct hm_error *error)
{
    const json_t *list = NULL;
    size_t count = 0;
    int rc = take_list(reader, from, "compare", &list, &count, error);

    if (rc)
        return rc;
    out->compare = hm_arena_alloc(reader->arena, (count + 1) * sizeof(*out->compare));
    if (!out->compare)
        return api_no_memory(error);
    for (; out->n_compare < count && rc == 0; out->n_compare++) {
        Hypermesh__KvCompare *compare = hm_arena_alloc(reader->arena, sizeof(*compare));

        out->compare[out->n_compare] = compare;
        rc = compare ? read_compare(reader, json_array_get(list, out->n_compare), compare, error)
                     : api_no_memory(error);
    }
    return rc;
}

static int read_branch(struct api_kv_txn_reader *reader, const json_t *from, const char *name,
                       unsigned depth, size_t *n, Hypermesh__KvTxnOp ***out, struct hm_error *error)
{
    const json_t *list = NULL;
    size_t count = 0;
    int rc = take_list(reader, from, name, &list, &count, error);

    if (rc)
        return rc;
    *out = hm_arena_alloc(reader->arena, (count + 1) * sizeof(**out));
    if (!*out)
        return api_no_memory(error);
    for (; *n < count && rc == 0; (*n)++) {
        Hypermesh__KvTxnOp *op = hm_arena_alloc(reader->arena, sizeof(*op));

        (*out)[*n] = op;
        rc = op ? read_op(reader, json_array_get(list, *n), depth, op, error)
                : api_no_memory(error);
    }
    return rc;
}

int api_kv_txn_read(struct api_kv_txn_reader *reader, const json_t *from, unsigned depth,
                    Hypermesh__KvTxn **out, struct hm_error *error)
{
    static const char *const names[] = {"compare", "success", "failure", NULL};
    /* The outermost object also says who acts and how bytes are written. */
    static const char *const outer[] = {"compare", "success",  "failure",
                                        "account", "encoding", NULL};
    Hypermesh__KvTxn *txn = hm_arena_alloc(reader->arena, sizeof(*txn));
    int rc = txn ? check_names(from, "a transaction", depth == 0 ? outer : names, error)
                 : api_no_memory(error);

    if (rc == 0 && depth > API_KV_DEPTH_MAX)
        rc = hm_fail(error, HM_ELIMIT, "transactions are nested deeper than %d", API_KV_DEPTH_MAX);
    if (rc)
        return rc;
    hypermesh__kv_txn__init(txn);
    rc = read_compares(reader, from, txn, error);
    if (rc == 0)
        rc = read_branch(reader, from, "success", depth, &txn->n_success, &txn->success, error);
    if (rc == 0)
        rc = read_branch(reader, from, "failure", depth, &txn->n_failure, &txn->failure, error);
    if (rc == 0)
        *out = txn;
    return rc;
}
