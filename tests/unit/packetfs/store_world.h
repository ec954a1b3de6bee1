/* A volume's store in a folder of its own, and objects that follow from a number. For cmocka tests. */
#ifndef HM_TEST_PACKETFS_STORE_WORLD_H
#define HM_TEST_PACKETFS_STORE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "care/packetfs_care.h"
#include "store/packetfs_store_inner.h"
#include "tree/packetfs_tree.h"

#define WORLD_PATH_BYTES 256
/* Objects from this number on are small texts; fewer than WORLD_SMALL_ENOUGH in a writer with the option below train a dictionary. */
#define WORLD_SMALL              1000000u
#define WORLD_SMALL_ENOUGH       100u
#define WORLD_DICTIONARY_SAMPLES (48u << 10)

struct world {
    char dir[WORLD_PATH_BYTES];
    struct packetfs_keys keys;
    struct packetfs_store_options options;
    struct packetfs_store *store;
};

/* AES-256-GCM, zstd 3, padded, dictionaries from WORLD_DICTIONARY_SAMPLES on. Opens the store. */
void world_init(struct world *world);
void world_reopen(struct world *world); /* closes and opens */
void world_release(struct world *world); /* closes and removes the folder */
/* Keys of a volume that follow from a number. */
void world_keys(uint64_t number, struct packetfs_keys *out);

/* Object number n: len bytes; random ones, or (n odd) text that shrinks. */
void world_object(uint64_t n, size_t len, struct hm_buf *out);
/* Puts it; its id. */
void world_put(struct packetfs_writer *writer, enum packetfs_kind kind, uint64_t n, size_t len,
               struct packetfs_id *id);
/* The id it has in a volume. */
void world_id(const struct world *world, enum packetfs_kind kind, uint64_t n, size_t len,
              struct packetfs_id *id);
/* Reads it and compares; the code of the read. */
int world_check(struct packetfs_store *store, enum packetfs_kind kind, uint64_t n, size_t len,
                const struct packetfs_id *id, struct hm_error *error);

/* Stores the objects of these numbers (lengths: world_len) and a list of them, and adds a snapshot whose root is that list; two objects or more. */
void world_snapshot(struct world *world, struct packetfs_writer *writer, const uint64_t *numbers,
                    size_t count, const char *label, struct packetfs_snapshot *out);
size_t world_len(uint64_t n);
/* Every object of it reads as it was. */
void world_check_numbers(struct world *world, const uint64_t *numbers, size_t count);
/* All findings of a check, a line each; its code. */
int world_findings(struct world *world, bool full, struct hm_buf *out);
/* Prunes; asserts that it worked. */
struct packetfs_prune_result world_prune(struct world *world, unsigned percent);
struct packetfs_stats world_stats(struct world *world);

#define assert_ok(expression)                                                              \
    do {                                                                                   \
        struct hm_error *world_e_ = &error;                                                \
        world_e_->text[0] = '\0';                                                          \
        int world_rc_ = (expression);                                                      \
        if (world_rc_)                                                                     \
            fail_msg("%s: %s: %s", #expression, hm_error_name(world_rc_), world_e_->text); \
    } while (0)

#endif
