/* audit: a chain's genesis and blocks as JSON lines, and the check that such lines are whole: that
 * nothing was left out, added, moved or changed, and that what people can read in them is what the
 * signed bytes say. Pure functions; docs/formats-audit.md describes the lines and what they prove.
 *
 * Never: reads the ledger or files, checks signatures or rules (replaying the chain does).
 * Start reading with audit_block_next and audit_reader_line. */
#ifndef HM_AUDIT_H
#define HM_AUDIT_H

#include "base.h"
#include "crypto.h"
#include "wire.h"

#define AUDIT_LINE_MAX_BYTES    ((size_t)64 << 20) /* a batch of 32 MiB, in base64, and its frame */
#define AUDIT_GENESIS_MAX_BYTES ((size_t)64 << 10)
#define AUDIT_BLOCK_MAX_BYTES   ((size_t)33 << 20)
#define AUDIT_ITEMS_MAX         4096 /* of a block */
#define AUDIT_TXS_MAX           65536 /* of a batch */
#define AUDIT_MEDIA_TYPE        "application/x-ndjson"

/* What an export comprises. */
struct audit_summary {
    uint64_t from, to; /* heights; to = from - 1: no block */
    uint64_t blocks, txs, ops;
    uint8_t head_hash[CRYPTO_HASH_BYTES]; /* of block `to` */
    uint8_t state_root[CRYPTO_HASH_BYTES]; /* after it, as its node recorded */
};

/* --- writing --------------------------------------------------------------------------------------
 * Each call appends whole lines, with their newlines, to out. HM_ENOMEM; HM_ECORRUPT: the chain's
 * own bytes can't be read. */
struct audit_writer {
    struct crypto_hasher lines; /* over everything written */
    struct audit_summary summary;
};
void audit_writer_init(struct audit_writer *writer);
/* The first line: the genesis, or the block before the first. */
int audit_write_genesis(struct audit_writer *writer, struct hm_slice genesis, struct hm_buf *out,
                        struct hm_error *error);
int audit_write_from(struct audit_writer *writer, uint64_t height,
                     const uint8_t hash[CRYPTO_HASH_BYTES], struct hm_buf *out,
                     struct hm_error *error);
/* The last line. */
int audit_write_end(struct audit_writer *writer, struct hm_buf *out, struct hm_error *error);

/* One block, line by line, so that a large one needs no memory for all of its lines. */
struct audit_block {
    const Hypermesh__Block *block;
    const Hypermesh__BlockHeader *header;
    const Hypermesh__BlockRecord *record;
    struct hm_arena *arena; /* borrowed: holds the block and the item at hand */
    const Hypermesh__Batch *batch; /* of the item at hand; NULL: it can't be read */
    size_t item, tx, result, ended;
    bool headed; /* the block's own line is written */
    bool item_open;
};
/* bytes (packed Block), record and arena stay until the last line is written. */
int audit_block_open(struct audit_block *cursor, struct hm_slice bytes,
                     const Hypermesh__BlockRecord *record, struct hm_arena *arena,
                     struct hm_error *error);
/* 1: a line was appended; 0: there is no more; or HM_E*. */
int audit_block_next(struct audit_block *cursor, struct audit_writer *writer, struct hm_buf *out,
                     struct hm_error *error);

/* --- reading --------------------------------------------------------------------------------------
 * Line by line; memory is a few times the longest line. The sentence of a refusal begins with
 * "line N: ". */
struct audit_reader;
/* known: 32 bytes that the caller trusts, the genesis hash or, for an export that begins later, the
 * hash of the block before; NULL: whatever the first line says is believed. HM_ENOMEM. */
int audit_reader_new(const uint8_t *known, struct audit_reader **out);
/* One line without its newline. HM_ECORRUPT: it is not what must stand there; HM_EPARSE: not JSON;
 * HM_ELIMIT. After a failure every call fails. */
int audit_reader_line(struct audit_reader *reader, struct hm_slice line, struct hm_error *error);
/* When there is no more line: HM_ECORRUPT unless the last one was the export's end. */
int audit_reader_end(const struct audit_reader *reader, struct audit_summary *out,
                     struct hm_error *error);
void audit_reader_free(struct audit_reader *reader);

#endif
