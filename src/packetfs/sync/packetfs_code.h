/* Codes that one person reads out to another: "4821-harbor-violin". A number and two words of a list of 256, all drawn at random and all
 * secret: 9,000 * 256 * 256, some 29 bits. Against PACKETFS_SEND_GUESSES_MAX guesses that is one chance in 196 million; no more
 * guesses than those can be tried, neither on the line nor away from it (crypto_pake). */
#ifndef HM_PACKETFS_CODE_H
#define HM_PACKETFS_CODE_H

#include "base.h"
#include "packetfs.h"

#define PACKETFS_CODE_WORDS      256
#define PACKETFS_CODE_WORD_CHARS 8
#define PACKETFS_CODE_NUMBER_MIN 1000
#define PACKETFS_CODE_NUMBER_MAX 9999

/* Sorted; 4 to PACKETFS_CODE_WORD_CHARS lower-case letters; no two differ in one letter alone. */
extern const char *const packetfs_code_words[PACKETFS_CODE_WORDS];

/* HM_EIO. */
int packetfs_code_make(const struct hm_random *random, char out[PACKETFS_CODE_MAX_BYTES],
                       struct hm_error *error);
/* What a person typed, as packetfs_code_make would have written it: letters of either case, '-' or blanks between. Pure, fuzzed.
 * HM_EINVAL: no such code can be; the sentence names the word that was nearest, but not what was typed. */
int packetfs_code_parse(struct hm_slice text, char out[PACKETFS_CODE_MAX_BYTES],
                        struct hm_error *error);

#endif
