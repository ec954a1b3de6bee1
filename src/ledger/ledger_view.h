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
