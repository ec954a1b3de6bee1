/* The states of a disk after a power cut, made from a log of powercut_preload.c.
 *
 *     struct powercut_log log = {0};
 *     powercut_load("run.log", &log);
 *     struct powercut_image *image = powercut_image_new(&log, NULL);
 *     do {
 *         for (unsigned v = 0; v < powercut_variants(image, 2); v++)
 *             powercut_image_write(image, v, "cut");     ... open what lies in cut/ and judge it
 *     } while (powercut_image_advance(image));
 *
 * The model is what POSIX promises and no more: data is durable after fsync or fdatasync of its file (or
 * through O_DSYNC), a name after fsync of its folder. What was not synced is there or not, in any order, in
 * sectors of 512 bytes; after a failed sync it may be lost for good, whatever is synced later. */
#ifndef HM_POWERCUT_IMAGE_H
#define HM_POWERCUT_IMAGE_H

#include "base.h"
#include "powercut_log.h"

#define POWERCUT_SECTOR_BYTES 512

struct powercut_log {
    struct hm_buf bytes;
    struct powercut_record **records; /* into bytes; the payload follows each */
    size_t count;
};

/* A record cut short at the end (the program was killed while it wrote) is left out. HM_EPARSE, HM_EIO. */
int powercut_load(const char *path, struct powercut_log *out, struct hm_error *error);
void powercut_log_release(struct powercut_log *log);

struct powercut_image;

/* The disk before the first record. base: a copy of the folder as it was then; NULL: it was empty. */
struct powercut_image *powercut_image_new(const struct powercut_log *log, const char *base);
void powercut_image_free(struct powercut_image *image);
/* One write, sync or name further; false at the end of the log. */
bool powercut_image_advance(struct powercut_image *image);
uint64_t powercut_image_mark(const struct powercut_image *image); /* the last one so far; 0: none */
size_t powercut_image_step(const struct powercut_image *image); /* how often advance gave true */
/* How many different states a cut here may leave that are worth a look, with this many random ones: nothing
 * unsynced, all of it, all with the last write torn (its head, its tail), the last write alone, random. */
unsigned powercut_variants(const struct powercut_image *image, unsigned random_ones);
/* Empties the folder and puts the state into it. */
int powercut_image_write(const struct powercut_image *image, unsigned variant, const char *folder,
                         struct hm_error *error);

#endif
