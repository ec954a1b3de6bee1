/* An image store in a folder of its own, and three images: the second has the first's files, the third its own. */
#ifndef HM_IMAGE_FIXTURE_H
#define HM_IMAGE_FIXTURE_H

#include "runtime_images.h"

#define NOISE_BYTES 400000 /* of text that shrinks to half */

extern char dir[256];
extern struct runtime_images *images;
extern char layouts[3][300]; /* first, second, third */

int setup(void **state);
int teardown(void **state);
/* What fails here fails the test. */
struct runtime_image import(const char *layout, const char *name);
/* Entries of a folder of the store. */
size_t entries_of(const char *what);

struct look {
    size_t snapshots;
    uint64_t bytes; /* of packs */
};
/* Into the volume, all of which is checked. */
struct look look(void);
/* Path of the image's first layer. */
int layer_of(const char *name, bool mapped, char path[RUNTIME_PATH_MAX_BYTES],
             struct hm_error *error);
/* Removes what is unpacked, or moves it aside. */
void drop_layers(const char *aside);
/* Its layer comes out of the volume. */
void restored(const char *name);

#endif
