/* What reading lines remembers from one to the next. */
#ifndef HM_AUDIT_READER_H
#define HM_AUDIT_READER_H

#include "audit_fields.h"
#include "audit_line.h"

enum place { PLACE_FIRST, PLACE_BLOCKS, PLACE_END };

struct audit_reader {
    uint8_t known[CRYPTO_HASH_BYTES];
    bool has_known;
    bool failed;
    enum place place;
    uint64_t lines;
    struct crypto_hasher written; /* over the lines before this one */
    struct audit_summary summary;
    bool has_state_root; /* summary.state_root is of the block before */

    /* the block at hand */
    uint64_t items, items_seen, ended, ended_seen;
    uint8_t data_root[CRYPTO_HASH_BYTES];
    struct hm_buf item_hashes;

    /* the batch at hand */
    bool in_batch;
    uint64_t txs, txs_seen;
    bool has_tx_root;
    bool all_refused;
    uint8_t tx_root[CRYPTO_HASH_BYTES];
    struct hm_buf digests;
    struct crypto_hasher item; /* over the batch's packed form, when raw is NULL */
    const Hypermesh__Batch *raw; /* the item's own bytes, where packing gives others */
    uint8_t raw_hash[CRYPTO_HASH_BYTES];
    struct hm_arena batch_arena; /* raw */

    struct hm_arena arena; /* of one line */
    struct hm_buf rendered;
};

int audit_no_memory(struct hm_error *error);
/* The line must be what the renderer wrote into reader->rendered; rc is the renderer's. */
int audit_reader_compare(struct audit_reader *reader, const json_t *line, struct hm_slice text,
                         int rc, struct hm_error *error);

/* --- audit_read_block.c -------------------------------------------------------------------------- */
/* Everything that the block and batch before said would follow has followed. */
int audit_read_complete(const struct audit_reader *reader, struct hm_error *error);
int audit_read_block(struct audit_reader *reader, const json_t *line, struct hm_slice text,
                     struct hm_error *error);
int audit_read_batch(struct audit_reader *reader, const json_t *line, struct hm_slice text,
                     struct hm_error *error);
int audit_read_tx(struct audit_reader *reader, const json_t *line, struct hm_slice text,
                  struct hm_error *error);

#endif
