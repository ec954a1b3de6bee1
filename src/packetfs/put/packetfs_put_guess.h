/* Where a file was cut last time, as a guess at where it is cut now: bytes whose id is that of a piece that began here end where that piece
 * ended, because a cut depends on the bytes of its own piece only. So what did not change within a changed file costs a
 * hash, and no search for cuts; lists come out the same with and without. One thread. */
#ifndef HM_PACKETFS_PUT_GUESS_H
#define HM_PACKETFS_PUT_GUESS_H

#include "packetfs_keys.h"
#include "tree/packetfs_tree.h"

#define PACKETFS_GUESS_PIECES 131072 /* looked at at once: some 8 GiB of a file, 9 MB of memory */

struct packetfs_guess;

/* NULL without an error: the list is not there any more, or memory is out; then nothing is guessed. */
struct packetfs_guess *packetfs_guess_new(const struct packetfs_objects *objects,
                                          const struct packetfs_keys *keys,
                                          const struct packetfs_content *content);
void packetfs_guess_free(struct packetfs_guess *guess);
/* A stretch of data begins at this byte of the file. */
void packetfs_guess_begin(struct packetfs_guess *guess, uint64_t offset);
/* The length of the piece at data, and its id; 0: no guess, search. last: nothing follows these bytes. */
size_t packetfs_guess_take(struct packetfs_guess *guess, const uint8_t *data, size_t len, bool last,
                           struct packetfs_id *id);
/* After a search found a piece of this length: was it one of the old ones? Then guessing goes on behind it, and id is filled. */
bool packetfs_guess_again(struct packetfs_guess *guess, const uint8_t *data, size_t len,
                          struct packetfs_id *id);

#endif
