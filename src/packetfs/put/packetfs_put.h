/* The parts of a running put. The thread that called walks (packetfs_scan.h) and makes folders (packetfs_put_tree.c); jobs read files and
 * cut them (packetfs_put_file.c). What was seen stands in one queue in the order of the walk, so that folders are made in order however the
 * jobs end. Memory: PACKETFS_PUT_QUEUE entries, PACKETFS_PUT_PARTS buffers a thread. */
#ifndef HM_PACKETFS_PUT_H
#define HM_PACKETFS_PUT_H

#include <sys/stat.h>

#include "packetfs_pool.h"
#include "packetfs_report.h"
#include "put/packetfs_cache.h"
#include "put/packetfs_put_guess.h"
#include "put/packetfs_scan.h"
#include "store/packetfs_volume.h"
#include "tree/packetfs_meta.h"

#define PACKETFS_PUT_QUEUE     8192
#define PACKETFS_PUT_PARTS     4
#define PACKETFS_PUT_READ      ((size_t)1 << 20) /* bytes read at once */
#define PACKETFS_PUT_JOB_FILES 32
#define PACKETFS_PUT_JOB_BYTES ((uint64_t)1 << 20)
#define PACKETFS_PUT_ATTEMPTS  3
#define PACKETFS_PUT_RECHECK   512 /* one unchanged file in so many is read all the same */

enum packetfs_put_event { PACKETFS_PUT_ENTER, PACKETFS_PUT_ENTRY, PACKETFS_PUT_LEAVE };

/* One thing that was seen. */
struct packetfs_put_node {
    enum packetfs_put_event event;
    struct packetfs_put_node *next; /* in its job */
    struct packetfs_scan_folder *folder; /* while a job needs it */
    struct stat st;
    struct hm_buf xattrs;
    char *target;
    struct packetfs_content content;
    _Atomic bool done;
    bool failed, vanished, unchanged, checked; /* checked: read although it seemed unchanged */
    bool cacheable;
    unsigned refs; /* of the calling thread */
    uint64_t hard_link;
    struct packetfs_put_node *same; /* the first name of this file */
    struct packetfs_content before; /* what the file was last time, true or not */
    bool had_before;
    uint8_t cache_key[PACKETFS_CACHE_KEY_BYTES];
    char name[];
};

/* A piece of a large file: bytes and where they are cut. */
struct packetfs_put_part {
    struct packetfs_job job;
    struct packetfs_put_part *next;
    struct packetfs_put *put;
    uint8_t *data;
    uint32_t *lens;
    struct packetfs_id *ids;
    bool *known; /* it has its id, and is there */
    size_t count;
    int result;
    struct hm_error error;
    _Atomic bool done;
};

/* A file whose bytes come: begins as {.put = ...}, is not moved, ends with release. */
struct packetfs_put_cut {
    struct packetfs_put *put;
    struct packetfs_guess *guess; /* NULL: none; freed by release */
    uint64_t bytes; /* so far, holes counted */
    struct packetfs_list_builder *list; /* from the second piece on */
    struct packetfs_id first;
    uint64_t first_len;
    bool first_hole;
    size_t pieces;
    struct packetfs_put_part *part; /* being filled */
    size_t have; /* bytes in it */
    struct packetfs_put_part *ring[PACKETFS_PUT_PARTS]; /* cut, in order */
    size_t ring_first, ring_count;
};

struct packetfs_put_level {
    struct packetfs_put_node *node; /* NULL: the top */
    struct packetfs_folder_builder *folder;
};

struct packetfs_put_link {
    uint64_t device, inode;
    struct packetfs_put_node *node; /* NULL: free */
    uint64_t left; /* names not seen yet */
};

struct packetfs_put {
    struct packetfs_objects objects;
    const uint8_t *node_key;
    const struct packetfs_keys *keys;
    const struct packetfs_cutter *cutter;
    struct packetfs_pool *pool;
    struct packetfs_report report;
    struct packetfs_cache *cache; /* or NULL */
    struct packetfs_names *names;
    bool read_all;

    /* of the calling thread */
    struct packetfs_put_node **queue; /* a ring */
    size_t queue_first, queue_count;
    struct packetfs_put_node *batch, *batch_last; /* small files for the next job */
    size_t batch_count;
    uint64_t batch_bytes;
    struct packetfs_put_level *levels;
    size_t level_count, level_capacity;
    struct packetfs_put_link *links;
    size_t link_count, link_capacity;
    dev_t first_device;
    uint64_t random; /* for the share that is read again */
    uint64_t files, folders, bytes, unchanged;
    struct packetfs_id root;

    /* of all threads */
    _Atomic uint64_t failed, bytes_read, ns_read, ns_chunk, ns_hash;
    pthread_mutex_t lock; /* the following */
    struct packetfs_put_part *parts; /* free ones */
    size_t part_count; /* that exist */
    int fatal; /* the first failure that ends the put */
    struct hm_error fatal_error;
    _Atomic bool stop;
};

/* --- packetfs_put_file.c ------------------------------------------------------------------------------------------------ */
/* Reads one file; sets node->content or failed, and done. */
void packetfs_put_file(struct packetfs_put *put, struct packetfs_put_node *node);
/* Cuts what a descriptor gives until its end. */
int packetfs_put_pipe(struct packetfs_put *put, int fd, struct packetfs_content *out,
                      struct hm_error *error);
/* Ends the put with this. */
void packetfs_put_fatal(struct packetfs_put *put, int code, const struct hm_error *error);

/* --- packetfs_put_cut.c ------------------------------------------------------------------------------------------------- */
/* Where the next bytes go, and how many fit (1 or more). */
int packetfs_put_cut_room(struct packetfs_put_cut *cut, uint8_t **at, size_t *len,
                          struct hm_error *error);
/* len bytes are there. last: a stretch of data ends with them, because the file does or a hole begins. */
int packetfs_put_cut_filled(struct packetfs_put_cut *cut, size_t len, bool last,
                            struct hm_error *error);
/* Between stretches; two holes do not follow each other. */
int packetfs_put_cut_hole(struct packetfs_put_cut *cut, uint64_t len, struct hm_error *error);
/* After the last stretch. */
int packetfs_put_cut_finish(struct packetfs_put_cut *cut, struct packetfs_content *out,
                            struct hm_error *error);
void packetfs_put_cut_release(struct packetfs_put_cut *cut);
void packetfs_put_parts_free(struct packetfs_put *put);

/* 0 while nothing ended the put: else why, a failure of another thread or HM_ECANCELLED when the watch asked for it. */
int packetfs_put_goes_on(struct packetfs_put *put, struct hm_error *error);

/* --- packetfs_put_tree.c ------------------------------------------------------------------------------------------------- */
/* Takes the node. */
int packetfs_put_push(struct packetfs_put *put, struct packetfs_put_node *node,
                      struct hm_error *error);
/* Makes entries of what is at the head of the queue; all: waits for everything. */
int packetfs_put_collect(struct packetfs_put *put, bool all, struct hm_error *error);
int packetfs_put_top(struct packetfs_put *put, struct hm_error *error); /* begins the top folder */
int packetfs_put_top_finish(struct packetfs_put *put, struct hm_error *error);
/* After a failure: nothing of it is with a job any more, and no folder is held. */
void packetfs_put_abandon(struct packetfs_put *put);
void packetfs_put_tree_free(struct packetfs_put *put);
void packetfs_put_node_drop(struct packetfs_put_node *node);

/* --- packetfs_put_visit.c ------------------------------------------------------------------------------------------------- */
/* What packetfs_scan calls; ctx is the put. */
struct packetfs_scan_visitor packetfs_put_visitor(struct packetfs_put *put);

#endif
