/* A snapshot for readers. */
#ifndef HM_LEDGER_VIEW_H
#define HM_LEDGER_VIEW_H

#include "ledger_private.h"

struct ledger_view {
    struct ledger *ledger;
    struct store_txn *txn;
    struct ledger_info info; /* of this snapshot */
};

/* A value of a table, or HM_ENOTFOUND without a text. */
int ledger_view_get(struct ledger_view *view, unsigned table, struct hm_slice key,
                    struct hm_slice *value, struct hm_error *error);
/* Unpacks what is stored; damage is HM_ECORRUPT. */
int ledger_view_unpack(const ProtobufCMessageDescriptor *descriptor, struct hm_slice bytes,
                       size_t limit, struct hm_arena *arena, ProtobufCMessage **out,
                       struct hm_error *error);
/* A message of the state under prefix and id; HM_ENOTFOUND without a text. */
int ledger_view_state(struct ledger_view *view, uint8_t prefix, const uint8_t id[LEDGER_ID_BYTES],
                      const ProtobufCMessageDescriptor *descriptor, struct hm_arena *arena,
                      ProtobufCMessage **out, struct hm_error *error);

/* A page being filled. */
struct ledger_page {
    struct ledger_view *view;
    struct hm_arena *arena; /* of the request: what is kept lies there */
    size_t limit;
    size_t count;
    void **messages;
    const void *filter;
    struct hm_arena scratch; /* the value that a filter looks at */
};
/* Takes the value into the page when the filter wants it. */
typedef int (*ledger_page_take)(struct ledger_page *page, struct hm_slice id, struct hm_slice value,
                                struct hm_error *error);
/* HM_ELIMIT. After it, exactly one of the walks, which also lets go of scratch. */
int ledger_page_init(struct ledger_page *page, struct ledger_view *view, size_t limit,
                     struct hm_arena *arena, struct hm_error *error);
/* Everything under the prefix of the state, past the id `after` (NULL: from the first). head: what stands between the
 * prefix and the id, for members; else empty. */
int ledger_page_walk(struct ledger_page *page, uint8_t prefix, struct hm_slice head,
                     const uint8_t *after, ledger_page_take take, struct hm_error *error);
/* What the index names under kind and who, each looked up under the prefix of the state; what is there no more is
 * passed over. */
int ledger_page_listed(struct ledger_page *page, uint8_t kind, const uint8_t *who,
                       const uint8_t *after, uint8_t prefix, ledger_page_take take,
                       struct hm_error *error);
/* Unpacks into scratch for the filter to look at: what it leaves out must not fill the arena of the request,
 * however much there is of it. */
int ledger_page_peek(struct ledger_page *page, const ProtobufCMessageDescriptor *descriptor,
                     struct hm_slice value, ProtobufCMessage **out, struct hm_error *error);
int ledger_page_keep(struct ledger_page *page, const ProtobufCMessageDescriptor *descriptor,
                     struct hm_slice value, struct hm_error *error);

/* Where a transaction stands: its batch, its bytes and the record of its block. */
struct ledger_found_tx {
    uint64_t height;
    Hypermesh__TxLocation *location;
    Hypermesh__BlockRecord *record;
    struct hm_slice batch;
    struct hm_slice tx;
    Hypermesh__TxResult *result;
};
int ledger_view_find_tx(struct ledger_view *view, const uint8_t digest[CRYPTO_HASH_BYTES],
                        struct hm_arena *arena, struct ledger_found_tx *out,
                        struct hm_error *error);

#endif
