/* What files looked like when they were last put, so that unchanged ones are not read again. A folder of the user's cache:
 * XDG_CACHE_HOME/packetfs/VOLUME-ID (else ~/.cache/…). It can be lost, and then files are read. Names are not in it: keys are a keyed hash of a file's place.
 *
 * Several processes may have one open; within a process handles of one folder share what is below. One thread a handle. */
#ifndef HM_PACKETFS_CACHE_H
#define HM_PACKETFS_CACHE_H

#include <sys/stat.h>

#include "packetfs_keys.h"
#include "tree/packetfs_tree.h"

#define PACKETFS_CACHE_KEY_BYTES 16
/* A file that changed this shortly before it was read may change again without its times showing it. */
#define PACKETFS_CACHE_SETTLED_NS 50000000

struct packetfs_cache;
struct packetfs_cache_seen {
    bool same; /* the file looks as it did then */
    struct packetfs_content content; /* then */
};

/* HM_EIO, HM_ENOTFOUND (no HOME): go on without. */
int packetfs_cache_open(const struct packetfs_keys *keys, struct packetfs_cache **out,
                        struct hm_error *error);
void packetfs_cache_key(const struct packetfs_keys *keys, const char *folder, const char *name,
                        uint8_t key[PACKETFS_CACHE_KEY_BYTES]);
/* false: never seen. */
bool packetfs_cache_find(struct packetfs_cache *cache, const uint8_t key[PACKETFS_CACHE_KEY_BYTES],
                         const struct stat *st, struct packetfs_cache_seen *out);
/* Kept in memory until there are many. Failures only cost the next put time. */
void packetfs_cache_add(struct packetfs_cache *cache, const uint8_t key[PACKETFS_CACHE_KEY_BYTES],
                        const struct stat *st, const struct packetfs_content *content);
/* Writes what is held back. */
void packetfs_cache_finish(struct packetfs_cache *cache);
void packetfs_cache_close(struct packetfs_cache *cache); /* NULL is fine */

#endif
