/* The image store on disk, below DIR/images:
 *
 *   index.json            names -> manifest digest, size, time; replaced whole
 *   blobs/sha256/HEX      manifests and configurations; of images that older versions took in, layers as they came
 *   volume, keys          PacketFS: the layers, each file of them once (runtime_vault.h)
 *   layers/m-HEX, p-HEX   unpacked by diff id, owners mapped (see RUNTIME_UID_BASE) or plain: what jobs start from.
 *                         What is missing here comes from the volume
 *   tmp/HEX               an import under way; removed when it is given up or at the next open
 *   damaged               a restore or a removal met damage in the volume; the next import sees to it
 *   mended                the highest snapshot's number when that was last done: up to it none is believed to be whole
 *   lock                  flock: shared to read, exclusive to change
 *   puts                  flock: shared while layers are put into the volume, exclusive to mend it
 *   care                  flock: exclusive while the volume is pruned or mended
 *   inuse                 flock: shared while a job runs from the layers, or an import has put layers that no image
 *                         names yet: nothing is removed then */
#ifndef HM_RUNTIME_IMAGES_H
#define HM_RUNTIME_IMAGES_H

#include "runtime.h"
#include "runtime_json.h"
#include "runtime_layer.h"
#include "runtime_manifest.h"

#define RUNTIME_IMAGES_MAX_NAMES 4096
#define RUNTIME_LAYER_FORM_CHARS 2 /* "m-" or "p-" before a layer's diff id */

struct runtime_images {
    char root[RUNTIME_PATH_MAX_BYTES / 2];
};

/* An image with everything a job needs to know; text lives in the arena. */
struct runtime_image_loaded {
    struct runtime_image image;
    struct runtime_manifest manifest;
    struct runtime_image_config config;
};

/* Blocks until held; released by closing. operation: LOCK_SH or LOCK_EX, | LOCK_NB for HM_EBUSY. */
int runtime_images_lock(const struct runtime_images *images, const char *name, int operation,
                        int *fd, struct hm_error *error);
/* Removes what imports left that did not come to their end. Under lock "staging", which also covers the moment
 * between a staging folder's making and its being locked. */
void runtime_images_sweep(const struct runtime_images *images);
int runtime_index_load(const struct runtime_images *images, json_t **out, struct hm_error *error);
int runtime_index_save(const struct runtime_images *images, const json_t *index,
                       struct hm_error *error);
/* Reads a small blob whole and checks its digest. */
int runtime_blob_read(const char *root, const struct runtime_digest *digest, struct hm_buf *out,
                      struct hm_error *error);
/* layers/m-HEX or layers/p-HEX. */
int runtime_layer_path(const char *root, const struct runtime_digest *diff_id, bool mapped,
                       char out[RUNTIME_PATH_MAX_BYTES], struct hm_error *error);
int runtime_image_load(struct runtime_images *images, const char *name, struct hm_arena *arena,
                       struct runtime_image_loaded *out, struct hm_error *error);
/* Path of layer `at`, restored now when it was not yet there in this form. */
int runtime_image_layer(struct runtime_images *images, const struct runtime_image_loaded *loaded,
                        size_t at, bool mapped, char out[RUNTIME_PATH_MAX_BYTES],
                        struct hm_error *error);
/* Makes what lies in `from` durable, then gives it the name `to`: a layer's folder is whole also after a power cut. */
int runtime_layer_settle(const char *from, const char *to, struct hm_error *error);
/* Can container users be mapped to RUNTIME_UID_BASE and up here? */
bool runtime_can_map_users(void);

/* --- an import under way ------------------------------------------------------------------------ */
#define RUNTIME_STAGING_NAME_CHARS 16
struct runtime_staging {
    struct runtime_images *images;
    char dir[RUNTIME_PATH_MAX_BYTES / 2];
    int lock; /* on dir: says that somebody is at work in it */
    bool mapped; /* the form its layers take */
    uint64_t blob_bytes;
    struct runtime_archive_budget budget;
};
int runtime_staging_begin(struct runtime_images *images, struct runtime_staging *out,
                          struct hm_error *error);
void runtime_staging_release(struct runtime_staging *staging); /* removes what was not committed */
/* Copies from fd's position to its end; expected NULL: any digest. */
int runtime_staging_blob_fd(struct runtime_staging *staging, int fd,
                            const struct runtime_digest *expected, struct runtime_digest *out,
                            uint64_t *bytes, struct hm_error *error);
int runtime_staging_blob(struct runtime_staging *staging, struct hm_slice data,
                         const struct runtime_digest *expected, struct runtime_digest *out,
                         struct hm_error *error);
/* Unpacks a staged blob and checks its diff id. */
int runtime_staging_layer(struct runtime_staging *staging, const struct runtime_digest *blob,
                          const struct runtime_digest *diff_id, struct hm_error *error);
/* Checks manifest and configuration against each other, unpacks the layers, moves all into the store
 * and gives it the name. */
int runtime_staging_commit(struct runtime_staging *staging, const char *name,
                           const struct runtime_digest *manifest, struct runtime_image *out,
                           struct hm_error *error);

#endif
