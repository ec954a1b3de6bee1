/* Snapshots as bytes (docs/formats-snapshot.md): what is said of one, and its chunks. Pure; outside bytes come through
 * here. Private to this room. */
#ifndef HM_LEDGER_SNAPSHOT_FORM_H
#define HM_LEDGER_SNAPSHOT_FORM_H

#include "ledger_private.h"

#define LEDGER_SNAPSHOT_ENTRIES_MAX       ((size_t)1 << 18) /* of one chunk */
#define LEDGER_SNAPSHOT_PARTS_MAX         ((size_t)1 << 16) /* chunks of state */
#define LEDGER_SNAPSHOT_HEADER_CHUNKS_MAX UINT32_C(65536)
#define LEDGER_SNAPSHOT_HEADERS_PER_CHUNK \
    UINT64_C(200) /* at most 64 KiB each: they fit in any case */
#define LEDGER_SNAPSHOT_FACTS_MAX_BYTES 4096 /* of ChainFacts, of Params */
#define LEDGER_SNAPSHOT_TARGET_BYTES    ((size_t)2 << 20)
#define LEDGER_SNAPSHOT_HELD_BYTES      ((uint64_t)64 << 20)

/* How a snapshot is cut; other sizes are for tests. */
struct ledger_snapshot_sizes {
    size_t target; /* of a chunk; twice that is the most, but where a part holds one entry */
    uint64_t held; /* of entries in memory at a time */
};
int ledger_snapshot_open_sized(struct ledger_view *view, const struct ledger_snapshot_sizes *sizes,
                               struct ledger_snapshot **out, struct hm_error *error);

/* Metadata. Slices and parts are borrowed. */
struct ledger_snapshot_meta {
    uint64_t height;
    uint8_t state_root[CRYPTO_HASH_BYTES];
    uint8_t genesis_hash[CRYPTO_HASH_BYTES];
    struct hm_slice facts; /* ChainFacts as the state has it, */
    struct hm_slice facts_proof; /* and that it has */
    struct hm_slice params; /* the same for Params */
    struct hm_slice params_proof;
    struct hm_slice header; /* of block `height` */
    const struct store_tree_part *parts; /* chunks of state, in order */
    uint32_t part_count;
};

/* Form and limits only. HM_EPARSE, HM_ELIMIT; HM_EUNSUPPORTED: another format. */
int ledger_snapshot_meta_parse(struct hm_slice bytes, struct ledger_snapshot_meta *out,
                               struct hm_error *error);
/* Appends. HM_ENOMEM. */
int ledger_snapshot_meta_write(const struct ledger_snapshot_meta *meta, struct hm_buf *out);
/* What metadata say once they are believed; in the arena. */
struct ledger_snapshot_facts {
    Hypermesh__ChainFacts *chain;
    Hypermesh__BlockHeader *header;
    uint64_t headers; /* in chunks: of blocks height - 1, height - 2, ... */
    uint32_t header_chunks;
};
/* Does all of it follow from the state root that it names: the parts' roots, facts, parameters, header? starts: of each part
 * (store_tree_part_root); filled in. HM_EAUTH says what does not; HM_ELIMIT, HM_ENOMEM. */
int ledger_snapshot_meta_check(const struct ledger_snapshot_meta *meta, uint64_t *starts,
                               struct hm_arena *arena, struct ledger_snapshot_facts *out,
                               struct hm_error *error);
/* How many headers go in chunks: with the one of block `height` those that tell all anchors; and how many chunks. HM_ELIMIT. */
int ledger_snapshot_headers(const Hypermesh__Params *params, uint64_t height, uint64_t *headers,
                            uint32_t *chunks, struct hm_error *error);

/* --- chunks of state --- */
struct ledger_snapshot_entry {
    struct hm_slice key;
    struct hm_slice value;
};

struct ledger_snapshot_entries {
    struct ledger_snapshot_entry *list; /* borrowed bytes */
    struct store_tree_change *leaves; /* of each, in the order of the list, which is theirs */
    size_t count;
};
void ledger_snapshot_entries_release(struct ledger_snapshot_entries *entries);
/* HM_EPARSE, HM_ELIMIT, HM_ENOMEM. Replaces *out without freeing. */
int ledger_snapshot_entries_parse(struct hm_slice chunk, struct ledger_snapshot_entries *out,
                                  struct hm_error *error);
int ledger_snapshot_entry_write(const struct ledger_snapshot_entry *entry, struct hm_buf *out);

/* --- chunks of headers --- */
/* Takes the first header off *chunk. HM_ENOTFOUND (error is not set) at the end, HM_EPARSE, HM_ELIMIT. */
int ledger_snapshot_header_next(struct hm_slice *chunk, struct hm_slice *header,
                                struct hm_error *error);
int ledger_snapshot_header_write(struct hm_slice header, struct hm_buf *out);
/* The header unpacked, if it is that of the block with this hash and height of this chain. HM_EAUTH, HM_ENOMEM. */
int ledger_snapshot_header_check(struct hm_slice bytes, const uint8_t hash[CRYPTO_HASH_BYTES],
                                 uint64_t height, const char *chain_id, struct hm_arena *arena,
                                 Hypermesh__BlockHeader **out, struct hm_error *error);

#endif
