/* Dictionaries: what small patterns of one class have in common, trained from a sample of them (ZDICT, fast cover). A file of a
 * kilobyte has little that repeats within it, and much that repeats in its neighbours.
 *
 * A dictionary is an object of a kind of its own (PACKETFS_DICTIONARY), in packs of that kind, named by the keyed hash of its
 * bytes as any other. A frame compressed with one names it by the first 8 bytes of that id (its `ref`), and a pack's folder
 * lists the refs of all its frames: so prune and check know what is needed without opening an object. Ids of patterns are hashes
 * of plain bytes: a dictionary changes none, and nothing of it goes over the wire.
 *
 * Order: a dictionary is durable and in the index before the first frame is made with it. It goes when no pack names it any more.
 * Memory: PACKETFS_DICTS_PREPARED_MAX to read with, one or two a class to write with, some 0.2 to 1 MB each; samples of
 * 1 MiB a class at most.
 * The object:  1 version (1)   1 class   2 zeros   4 sequence   n dictionary in zstd's format */
#ifndef HM_PACKETFS_DICT_H
#define HM_PACKETFS_DICT_H

#include "pack/packetfs_codec.h"
#include "packetfs_keys.h"

#define PACKETFS_DICT_HEAD_BYTES    8u
#define PACKETFS_DICT_SMALL_BYTES   ((size_t)16 << 10) /* objects below are compressed with one */
#define PACKETFS_DICT_TRAINED_BYTES ((size_t)110 << 10) /* at most, without the head */
#define PACKETFS_DICT_FIRST_BYTES   ((size_t)512 << 10) /* of samples, every object one */
#define PACKETFS_DICT_AGAIN_TIMES   2u /* so many times as much then, of which */
#define PACKETFS_DICT_AGAIN_EVERY   4u /* one object in so many is one */
#define PACKETFS_DICT_SAMPLES_MIN   64u
#define PACKETFS_DICT_HELD_EVERY    8u /* one sample in so many is not trained with, but judged by */
#define PACKETFS_DICT_GAIN_PERCENT  5u /* a dictionary that saves less of those is not kept */
#define PACKETFS_DICTS_MAX          64u /* of a volume; then no more are trained */
#define PACKETFS_DICTS_PREPARED_MAX 16u

/* What bytes are, by a look at the first half kilobyte. Numbers are in files: never change one. */
enum packetfs_dict_class {
    PACKETFS_DICT_NONE = 0,
    PACKETFS_DICT_TEXT = 1,
    PACKETFS_DICT_JSON = 2, /* text that begins with a brace or a bracket */
    PACKETFS_DICT_MARKUP = 3, /* text that begins with < */
    PACKETFS_DICT_ELF = 4,
    PACKETFS_DICT_BINARY = 5,
};
#define PACKETFS_DICT_CLASSES 6
enum packetfs_dict_class packetfs_dict_class(struct hm_slice bytes);

static inline uint64_t packetfs_dict_ref(const struct packetfs_id *id)
{
    return hm_get_be64(id->bytes);
}

/* --- the object: pure ------------------------------------------------------------------------------------------------ */
struct packetfs_dict_head {
    unsigned class; /* may be one that this version does not know */
    uint32_t sequence; /* the highest of a class is the newest */
    struct hm_slice trained;
};
/* Appends. HM_ENOMEM. */
int packetfs_dict_write(const struct packetfs_dict_head *head, struct hm_buf *out);
/* HM_ECORRUPT; HM_EUNSUPPORTED: a later version. */
int packetfs_dict_parse(struct hm_slice object, struct packetfs_dict_head *out,
                        struct hm_error *error);

/* --- prepared -------------------------------------------------------------------------------------------------------- */
struct ZSTD_CDict_s;
struct ZSTD_DDict_s;
struct packetfs_dict { /* fixed once made; threads may share it */
    struct packetfs_id id;
    uint64_t ref;
    unsigned class;
    uint32_t sequence;
    struct ZSTD_CDict_s *pack; /* NULL: made to unpack */
    struct ZSTD_DDict_s *unpack; /* NULL: made to pack */
    /* of the table it is in */
    unsigned users;
    uint64_t used;
    bool kept;
};
/* From the object's bytes. level: of zstd, to pack; 0: to unpack. HM_ECORRUPT, HM_EUNSUPPORTED, HM_ENOMEM. */
int packetfs_dict_new(const struct packetfs_id *id, struct hm_slice object, int level,
                      struct packetfs_dict **out, struct hm_error *error);
void packetfs_dict_free(struct packetfs_dict *dict);

/* --- training -------------------------------------------------------------------------------------------------------- */
struct packetfs_dict_samples {
    struct hm_buf bytes, held; /* one behind the other: to train with, to judge by */
    size_t *lens, *held_lens;
    size_t count, held_count, room, held_room;
};
/* Copies. HM_ENOMEM. */
int packetfs_dict_sample(struct packetfs_dict_samples *samples, struct hm_slice bytes);
static inline size_t packetfs_dict_samples_bytes(const struct packetfs_dict_samples *samples)
{
    return samples->bytes.len + samples->held.len;
}
void packetfs_dict_samples_release(struct packetfs_dict_samples *samples); /* wipes */
/* Trains, and judges by the samples held back: *out has the object (head: class and sequence are given) unless it would not save
 * PACKETFS_DICT_GAIN_PERCENT over `before` (NULL: over none), at this level of zstd; then it stays empty. HM_ENOMEM. */
int packetfs_dict_train(const struct packetfs_dict_samples *samples, unsigned class,
                        uint32_t sequence, int level, const struct packetfs_dict *before,
                        struct hm_buf *out, struct hm_error *error);

#endif
