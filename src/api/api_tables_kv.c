/* The key-value store: what requests hold and answers say. */
#include "api_rows.h"

/* clang-format off */
#define ENCODING_ROW {.name = "encoding", .form = JSON_FORM_TEXT, .about = "text (default), or base64: how keys and values are written."}
#define REVISION_ROW {.name = "revision", .form = JSON_FORM_UINT, MUST, .about = "Of the store."}
#define SPAN_ROWS \
    {.name = "prefix", .form = JSON_FORM_TEXT, .about = "Keys that begin so."}, \
    {.name = "start", .form = JSON_FORM_TEXT, .about = "Keys from this one on."}, \
    {.name = "end", .form = JSON_FORM_TEXT, .about = "Keys before this one."}

/* --- one key */
static const struct api_field get[] = {
    {.name = "revision", .form = JSON_FORM_UINT, .about = "As it was then; now when left out."},
    ENCODING_ROW,
    ACCOUNT_ROW,
};
const struct api_fields api_query_kv_get = {.name = "KvGetQuery", ROWS(get)};
#define ITEM_ROWS \
    {.name = "key", .form = JSON_FORM_TEXT, MUST}, \
    {.name = "value", .form = JSON_FORM_TEXT, .about = "Left out where only keys were asked for."}, \
    {.name = "create_revision", .form = JSON_FORM_UINT, MUST}, \
    {.name = "mod_revision", .form = JSON_FORM_UINT, MUST}, \
    {.name = "version", .form = JSON_FORM_UINT, MUST}, \
    {.name = "lease", .form = JSON_FORM_UINT, MUST, .about = "0: none."}, \
    {.name = "encoding", .form = JSON_FORM_TEXT, MUST, .about = "Of key and value: text, or base64 where that was asked for or they are no text."}
static const struct api_field item[] = {ITEM_ROWS};
static const struct api_fields item_fields = {.name = "KvItem", ROWS(item)};
static const struct api_field found[] = {ITEM_ROWS, REVISION_ROW};
const struct api_fields api_answer_kv_item = {.name = "KvFound", ROWS(found)};
static const struct api_field put[] = {
    {.name = "value", .form = JSON_FORM_TEXT, .flags = API_REQUIRED | API_LONG},
    {.name = "lease", .form = JSON_FORM_UINT, .about = "The key goes when this lease ends."},
    ENCODING_ROW,
    ACCOUNT_ROW,
};
const struct api_fields api_body_kv_put = {.name = "KvPutNew", ROWS(put)};
static const struct api_field written[] = {REVISION_ROW, RECEIPT_ROW};
const struct api_fields api_answer_kv_written = {.name = "KvWritten", ROWS(written)};
static const struct api_field remove_query[] = {
    {.name = "prefix", .form = JSON_FORM_BOOL, .about = "Every key that begins so."},
    ENCODING_ROW,
    ACCOUNT_ROW,
};
const struct api_fields api_query_kv_delete = {.name = "KvDeleteQuery", ROWS(remove_query)};
static const struct api_field deleted[] = {
    {.name = "deleted", .form = JSON_FORM_UINT, MUST, .about = "Keys."},
    REVISION_ROW,
    RECEIPT_ROW,
};
const struct api_fields api_answer_kv_deleted = {.name = "KvDeleted", ROWS(deleted)};

/* --- ranges, watches, transactions */
static const struct api_field list[] = {
    SPAN_ROWS,
    PAGE_ROWS,
    {.name = "revision", .form = JSON_FORM_UINT, .about = "As it was then; now when left out. Pages after the first stay at the first's."},
    {.name = "keys_only", .form = JSON_FORM_BOOL},
    {.name = "count_only", .form = JSON_FORM_BOOL},
    ENCODING_ROW,
    ACCOUNT_ROW,
};
const struct api_fields api_query_kv_list = {.name = "KvQuery", ROWS(list)};
static const struct api_field items[] = {
    {.name = "items", .form = JSON_FORM_OBJECT, MUST_LIST, .fields = &item_fields},
    NEXT_ROW,
    {.name = "count", .form = JSON_FORM_UINT, MUST, .about = "Keys from here on in the whole range."},
    REVISION_ROW,
};
const struct api_fields api_answer_kv_items = {.name = "KvList", ROWS(items)};
static const struct api_field watch[] = {
    {.name = "key", .form = JSON_FORM_TEXT, .about = "This key only."},
    SPAN_ROWS,
    {.name = "from", .form = JSON_FORM_UINT, .about = "First revision; the next change when left out. A Last-Event-ID header comes first."},
    {.name = "after", .form = JSON_FORM_TEXT, .about = "Id of the last event seen, as a Last-Event-ID header."},
    {.name = "follow", .form = JSON_FORM_BOOL, .about = "0: ends at the newest change."},
    {.name = "previous", .form = JSON_FORM_BOOL, .about = "Shows what was there before, too."},
    ENCODING_ROW,
    ACCOUNT_ROW,
};
const struct api_fields api_query_kv_watch = {.name = "KvWatchQuery", ROWS(watch)};
static const struct api_field txn[] = {
    {.name = "compare", .form = JSON_FORM_ANY, .about = "List of {key, end or prefix, target: version, create, mod, value or lease, result: equal, greater, less or not_equal, number or value}."},
    {.name = "success", .form = JSON_FORM_ANY, .about = "List of operations when every compare holds: {put: {key, value, lease, ignore_value, ignore_lease}}, {delete: {key, end or prefix}}, {range: {key, end or prefix, limit, keys_only, count_only}}, {txn: {compare, success, failure}}."},
    {.name = "failure", .form = JSON_FORM_ANY, .about = "The same when one does not."},
    ENCODING_ROW,
    ACCOUNT_ROW,
};
const struct api_fields api_body_kv_txn = {.name = "KvTxnNew", ROWS(txn)};
static const struct api_field txn_done[] = {
    {.name = "succeeded", .form = JSON_FORM_BOOL, MUST, .about = "Every compare held."},
    {.name = "answers", .form = JSON_FORM_ANY, MUST, .about = "One an operation: {put: {revision}}, {delete: {deleted}}, {range: {items, count, more}}, {txn: {succeeded, answers}}."},
    REVISION_ROW,
    RECEIPT_ROW,
};
const struct api_fields api_answer_kv_txn = {.name = "KvTxnDone", ROWS(txn_done)};

/* --- leases */
static const struct api_field lease_new[] = {
    {.name = "ttl", .form = JSON_FORM_DURATION, MUST, .about = "How long it lasts without a sign of life; or ttl_ms."},
    {.name = "lease", .form = JSON_FORM_UINT, .about = "Its number; the ledger picks one when left out."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_kv_lease = {.name = "KvLeaseNew", ROWS(lease_new)};
static const struct api_field lease_made[] = {
    {.name = "lease", .form = JSON_FORM_UINT, MUST},
    {.name = "ttl_ms", .form = JSON_FORM_UINT, MUST},
    RECEIPT_ROW,
};
const struct api_fields api_answer_kv_lease_made = {.name = "KvLeaseMade", ROWS(lease_made)};
static const struct api_field lease[] = {
    {.name = "attached", .form = JSON_FORM_BYTES, MUST_LIST, .about = "Keys that go with it."},
};
const struct api_fields api_answer_kv_lease = {.name = "KvLeaseDetail", ROWS(lease), MESSAGE(kv_lease)};
LIST_OF_MESSAGES(kv_leases, "KvLeaseList", kv_lease);

/* --- compaction, rules, state */
static const struct api_field compact[] = {
    {.name = "revision", .form = JSON_FORM_UINT, MUST, .about = "History before it is forgotten; present values stay."},
    ACCOUNT_ROW,
};
const struct api_fields api_body_kv_compact = {.name = "KvCompactNew", ROWS(compact)};
static const struct api_field rule_new[] = {
    {.name = "prefix", .form = JSON_FORM_TEXT, MUST, .about = "Of the keys it is about; the longest that fits decides."},
    {.name = "owner", .form = JSON_FORM_ACCOUNT, MUST, .about = "May change the rule, set rules below it, read and write."},
    {.name = "writers", .form = JSON_FORM_ACCOUNT, .flags = API_LIST, .about = "May read and write."},
    {.name = "readers", .form = JSON_FORM_ACCOUNT, .flags = API_LIST},
    {.name = "anyone_writes", .form = JSON_FORM_BOOL},
    {.name = "anyone_reads", .form = JSON_FORM_BOOL},
    ENCODING_ROW,
    ACCOUNT_ROW,
};
const struct api_fields api_body_kv_rule = {.name = "KvRuleNew", ROWS(rule_new)};
static const struct api_field rule_remove[] = {
    {.name = "prefix", .form = JSON_FORM_TEXT, MUST, .about = "The rule at exactly this prefix."},
    ENCODING_ROW,
    ACCOUNT_ROW,
};
const struct api_fields api_query_kv_rule = {.name = "KvRuleQuery", ROWS(rule_remove)};
LIST_OF_MESSAGES(kv_rules, "KvRuleList", kv_rule);
const struct api_fields api_answer_kv_state = {.name = "KvState", MESSAGE(kv_state)};
/* clang-format on */
