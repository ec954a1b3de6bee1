/* Chunkers: where a stream of bytes is cut, decided by the bytes themselves, so that an insertion moves only the cuts
 * around it. Pure: no I/O, no clock, no global state.
 *
 * Two behind one interface:
 *   keyed  a universal hash (Toeplitz over a window of 64 bytes, secret matrix), then a PRF (AES-128, secret key) on its
 *          value at every position. For whatever is stored or carried by others: who sees the lengths of chunks learns
 *          no more about the key than a PRF lets him (eprint 2025/532, 2025/558: a keyed gear table alone does not
 *          hold; tests/unit/packetfs/test_chunk_attack.c tells two known files apart by it). What no chunker hides: equal
 *          windows are cut equally, so lengths still show which parts repeat, and how long the whole is.
 *   fast   gear with normalised chunking (FastCDC, Xia and others, 2016), its table drawn from the key all the same.
 *          For data that stays on trusted disks.
 * Cuts depend on key, limits and bytes only: never on how the stream was handed in, on the processor, or on the
 * compiler. The keyed one has a plain C form and faster ones (AVX-512 with VAES, AVX2 with AES-NI) chosen at run time;
 * the tests hold them against each other. Time is not hidden: how long a cut takes to find tells its length, and
 * the plain form looks tables up by secret values. */
#ifndef HM_PACKETFS_CHUNK_H
#define HM_PACKETFS_CHUNK_H

#include "packetfs_object.h"

#define PACKETFS_CHUNK_WINDOW_BYTES 64
#define PACKETFS_CHUNK_KEY_BYTES    32

/* Lengths of chunks. min >= 256, min <= average / 2, average a power of two, 2 * average <= max <= 1 MiB. No cut stands before min; behind it
 * one comes every average - min bytes in the mean; at max one is made. */
struct packetfs_chunk_limits {
    uint32_t min_bytes, average_bytes, max_bytes;
};
/* By measurement (docs/packetfs.md): 32 KiB, 64 KiB, 256 KiB. Nothing is looked for before min, so half the mean there costs half
 * the work, and found as much twice as a quarter did. */
extern const struct packetfs_chunk_limits packetfs_chunk_limits_default;

struct packetfs_cutter; /* immutable once made: threads may share it */

/* HM_EINVAL: limits. HM_ENOMEM. */
int packetfs_cutter_new(enum packetfs_chunker kind, const uint8_t key[PACKETFS_CHUNK_KEY_BYTES],
                        const struct packetfs_chunk_limits *limits, struct packetfs_cutter **out,
                        struct hm_error *error);
void packetfs_cutter_free(struct packetfs_cutter *cutter); /* wipes; NULL is fine */
size_t packetfs_cutter_max(const struct packetfs_cutter *cutter);

/* The length of the chunk that begins at data. With less than max_bytes at hand and more to come (!last) it gives 0
 * unless the cut is found: call again with more, from the same beginning. With last everything is cut to the end:
 * never 0 for len > 0. The window does not reach back before data: a chunk's cut depends on its own bytes only. */
size_t packetfs_cutter_next(const struct packetfs_cutter *cutter, const uint8_t *data, size_t len,
                            bool last);

#endif
