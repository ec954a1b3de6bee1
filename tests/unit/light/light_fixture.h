/* What the tests of light share: blocks that real engines made (blocks/), and a maker of chains signed by keys of ours. */
#ifndef HM_LIGHT_FIXTURE_H
#define HM_LIGHT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "light_private.h"

int light_fixture_setup(void **state); /* crypto_setup */

/* A file of blocks/. The caller releases out. */
void light_fixture_read(const char *name, struct hm_buf *out);
/* Read and parsed. */
Hypermesh__Abci__LightBlock *light_fixture_block(const char *name, struct hm_arena *arena);
/* Trust in a block that is right: fails the test when it is not. */
void light_fixture_trust(const Hypermesh__Abci__LightBlock *message, struct light_trust *out);

/* --- made blocks ----------------------------------------------------------------------------------------------------- */
struct made_validator {
    struct crypto_ed25519_key key;
    uint8_t address[LIGHT_ADDRESS_BYTES];
    int64_t power;
};
#define MADE_VALIDATORS_MAX (LIGHT_VALIDATORS_MAX + 1)
struct made_set {
    struct made_validator list[MADE_VALIDATORS_MAX];
    size_t count;
};
void made_add(struct made_set *set, uint64_t seed, int64_t power); /* one more, not sorted */
void made_sort(struct made_set *set); /* the engine's order */
/* As messages, in the arena. */
Hypermesh__Abci__SimpleValidator **made_validators(const struct made_set *set,
                                                   struct hm_arena *arena);

#define MADE_CHAIN   "light-made"
#define MADE_TIME_S  INT64_C(1790000000) /* of height 0; one second a height */
#define MADE_TIME_MS ((uint64_t)MADE_TIME_S * 1000)

/* All that a header says; change it before made_block signs it. */
Hypermesh__Abci__Header *made_header(int64_t height, const struct made_set *set,
                                     const struct made_set *next, struct hm_arena *arena);
/* The block with a commit in which validator i votes as flags[i] says (flags NULL: all for the block). */
Hypermesh__Abci__LightBlock *made_block(Hypermesh__Abci__Header *header, const struct made_set *set,
                                        const Hypermesh__Abci__BlockIdFlag *flags,
                                        struct hm_arena *arena);
/* Signs entry i of the block's commit again, as it now stands. */
void made_sign(Hypermesh__Abci__LightBlock *block, const struct made_set *set, size_t i,
               struct hm_arena *arena);

/* A chain whose validators are replaced one after the other. */
struct made_chain {
    size_t count; /* validators of each height */
    int64_t stay; /* heights after which the oldest goes and a new one comes; 0: never */
    int64_t fork; /* from this height on, other validators (all of them); 0: none */
    size_t absent; /* of each block's last validators in order, so many do not vote */
    int64_t top; /* there is no block above; 0: any height */
    unsigned fetched;
};
Hypermesh__Abci__LightBlock *made_chain_block(const struct made_chain *chain, int64_t height,
                                              struct hm_arena *arena);
/* light_source.fetch; ctx is the chain. HM_ENOTFOUND above top. */
int made_chain_fetch(void *ctx, int64_t height, struct hm_arena *arena,
                     Hypermesh__Abci__LightBlock **out, struct hm_error *error);

#endif
