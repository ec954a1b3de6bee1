/* Two volumes in memory and a wire between them that can be tampered with, for tests of the transfer. */
#ifndef SYNC_WORLD_H
#define SYNC_WORLD_H

#include <pthread.h>

#include "sync/packetfs_sync.h"

/* --- a volume ------------------------------------------------------------------------------------------------------- */
#define WORLD_SNAPSHOTS_MAX 4096

struct world_volume {
    struct packetfs_keys keys;
    struct packetfs_memory *memory;
    struct packetfs_side side;
    struct packetfs_snapshot snapshots[WORLD_SNAPSHOTS_MAX];
    struct hm_buf sealed[WORLD_SNAPSHOTS_MAX];
    size_t count;
    uint64_t seen; /* sequence of the one peer there is */
    uint64_t flushes;
    bool disk_is_full; /* flushes fail */
};

struct world_volume *world_volume_new(const uint8_t key[32]);
void world_volume_free(struct world_volume *volume);
/* A folder with one file of these pieces, as a snapshot. piece: bytes of each; count of them. */
void world_put(struct world_volume *volume, const char *label, const struct hm_slice *pieces,
               size_t count);
/* The file's bytes of the newest snapshot, appended to out; fails the test when it is not whole. */
void world_get(struct world_volume *volume, struct hm_buf *out);
void world_seal(struct world_volume *volume, struct packetfs_snapshot *snapshot,
                struct hm_buf *out);

/* --- a wire --------------------------------------------------------------------------------------------------------- */
struct world_wire; /* two ends */

struct world_wire *world_wire_new(void);
void world_wire_free(struct world_wire *wire);
struct packetfs_channel world_wire_end(struct world_wire *wire, unsigned end); /* 0, 1 */
void world_wire_close(struct world_wire *wire, unsigned end); /* the other end reads its end */
uint64_t world_wire_bytes(struct world_wire *wire, unsigned from); /* that end wrote */
/* Changes the byte that the end writes at this position (from 0 on). */
void world_wire_flip(struct world_wire *wire, unsigned from, uint64_t at);
/* Breaks when the end has written so many bytes. */
void world_wire_cut(struct world_wire *wire, unsigned from, uint64_t at);

/* --- a transfer ------------------------------------------------------------------------------------------------------ */
struct world_transfer {
    struct world_volume *source, *sink;
    struct packetfs_choice choice;
    bool accept_rollback;
    struct world_wire *wires[PACKETFS_KINDS]; /* made by world_transfer_new, to be tampered with */
    int sink_code, source_code;
    struct hm_error sink_error, source_error;
    struct packetfs_wire_done done;
    uint64_t claimed_sequence; /* of the source; 0: what is true */
    unsigned long fail_nth; /* this allocation of the sink's fails; 0: none */
};
void world_transfer_init(struct world_transfer *transfer, struct world_volume *source,
                         struct world_volume *sink);
void world_transfer_run(struct world_transfer *transfer);
void world_transfer_release(struct world_transfer *transfer);
/* One from source to sink that must end so. */
struct world_transfer world_run(struct world_volume *source, struct world_volume *sink, int code);

/* --- a file --------------------------------------------------------------------------------------------------------- */
#define WORLD_PIECES      600
#define WORLD_PIECE_BYTES 3000

/* A file that does not compress, and its pieces. */
struct world_file {
    uint8_t *bytes;
    struct hm_slice pieces[WORLD_PIECES];
};
void world_file_make(struct world_file *file, uint64_t seed); /* bytes: for hm_free */
void world_assert_file(struct world_volume *volume, const struct world_file *file);

/* --- two volumes and a file: what most tests begin with -------------------------------------------------------------------- */
extern const uint8_t world_key[32];
struct world_pair {
    struct world_volume *source, *sink; /* empty, of the same key */
    struct world_file file; /* nothing until it is made */
};
int world_pair_setup(void **state);
int world_pair_teardown(void **state);
/* The state is a struct world_pair. */
#define WORLD_TEST(test) \
    cmocka_unit_test_setup_teardown(test, world_pair_setup, world_pair_teardown)
/* From source to sink, all well. */
void world_sync(const struct world_pair *pair);

#endif
