/* How each line is written. The reader writes a line again from the bytes in it and compares: so
 * whatever stands in a line is either in the bytes or among the few values given here. */
#ifndef HM_AUDIT_LINE_H
#define HM_AUDIT_LINE_H

#include "audit.h"
#include "json.h"

int audit_line_genesis(struct hm_slice genesis, struct hm_buf *out);
int audit_line_from(uint64_t height, const uint8_t hash[CRYPTO_HASH_BYTES], struct hm_buf *out);

struct audit_block_line {
    struct hm_slice header_bytes;
    const Hypermesh__BlockHeader *header; /* of these bytes */
    uint8_t hash[CRYPTO_HASH_BYTES]; /* of these bytes */
    uint64_t items, ended; /* how many lines of these follow */
    struct hm_slice state_root; /* as recorded */
};
int audit_line_block(const struct audit_block_line *line, struct hm_buf *out);

struct audit_batch_line {
    uint64_t height, item;
    const Hypermesh__Batch *batch; /* NULL: the item can't be read */
    const Hypermesh__BatchHead *head; /* NULL: can't be read */
    struct hm_slice bytes; /* of the item, when the batch packed again is not the same; or empty */
};
int audit_line_batch(const struct audit_batch_line *line, struct hm_buf *out);

struct audit_tx_line {
    uint64_t height, item, tx;
    struct hm_slice bytes;
    const Hypermesh__TxBody *body; /* of these bytes; NULL: can't be read */
    uint8_t digest[CRYPTO_HASH_BYTES];
    const char *code, *text, *rule, *fee; /* as recorded */
};
/* Reads the bytes into the arena: body, digest (zeros when it can't be read). HM_ENOMEM. */
int audit_tx_read(struct hm_slice bytes, struct hm_arena *arena, struct audit_tx_line *line);
int audit_line_tx(const struct audit_tx_line *line, struct hm_buf *out);

enum audit_ended { AUDIT_ENDED_LEASE, AUDIT_ENDED_CHALLENGE };
int audit_line_ended(uint64_t height, enum audit_ended what, struct hm_slice id,
                     struct hm_buf *out);

int audit_line_end(const struct audit_summary *summary, const uint8_t lines_hash[CRYPTO_HASH_BYTES],
                   struct hm_buf *out);

#endif
