/* What a block holds of the key-value store. */
#ifndef HM_LEDGER_KV_BLOCK_H
#define HM_LEDGER_KV_BLOCK_H

#include "ledger_kv_rules.h"
#include "ledger_overlay.h"

/* One change of one key, for the log and the past. */
struct ledger_kv_line {
    uint64_t revision;
    uint32_t sub;
    struct hm_slice key; /* lies in event */
    struct hm_slice event;
};

/* KvState. */
struct ledger_kv_totals {
    uint64_t revision;
    uint64_t compacted;
    uint64_t keys;
    uint64_t leases;
    uint64_t swept;
};

/* What the running transaction goes back to when it fails. */
struct ledger_kv_mark {
    struct ledger_kv_totals totals;
    const struct ledger_kv_rules *rules;
    size_t lines;
    size_t answer_bytes;
};

struct ledger_kv {
    struct ledger_kv_totals before; /* the block */
    struct ledger_kv_totals now;
    const struct ledger_kv_rules *rules; /* the ledger's, or a set in the block's arena */
    struct ledger_kv_mark kept; /* as of the last transaction that was kept */
    struct ledger_kv_line *lines;
    size_t line_count;
    size_t line_cap;
    struct ledger_overlay_undo *undos; /* since then */
    size_t undo_count;
    size_t undo_cap;
    uint32_t sub; /* changes of the operation so far */
    size_t answer_bytes; /* of ranges, in the whole block */
    struct ledger_kv_rules
        *rules_next; /* on the heap: the ledger's from commit on; NULL: as before */
};

#endif
