/* Archives and image layouts made for tests. */
#ifndef HM_RUNTIME_TAR_H
#define HM_RUNTIME_TAR_H

#include "base.h"

struct tar_item {
    const char *path;
    char type; /* f file, d folder, l link, h hard link, c device, p fifo */
    const char *text; /* content, or what a link names */
    unsigned mode;
    unsigned uid;
};

enum tar_filter { TAR_PLAIN, TAR_GZIP, TAR_ZSTD };

/* Appends the archive to out. */
void tar_make(const struct tar_item *items, size_t count, enum tar_filter filter,
              struct hm_buf *out);
/* A file of `size` zero bytes, hole or not, as a compressed layer. */
void tar_make_zeros(uint64_t size, enum tar_filter filter, struct hm_buf *out);
void sha256_text(struct hm_slice data, char out[72]);
void put_file(const char *path, struct hm_slice data);
/* mkdtemp below TMPDIR or /tmp */
void make_dir(char out[256]);

/* An OCI layout below dir: one layer of the archive given (its diff id is of `plain`). wrong: 1 the layer's
 * digest, 2 the diff id, 3 the layer is missing, 4 manifest size negative. */
void layout_make(const char *dir, struct hm_slice layer, struct hm_slice plain, int wrong);
/* Appends one header as written, whatever it says, and its data (padded): size is what the header claims, in base 256
 * above 8 GiB. Two blocks of zeros end an archive: tar_raw_end. */
void tar_raw(const char *name, char typeflag, uint64_t size, const char *link, struct hm_slice data,
             struct hm_buf *out);
void tar_raw_end(struct hm_buf *out);

/* A docker-save archive: manifest.json, a configuration, one layer. */
void docker_make(struct hm_slice layer, struct hm_buf *out);

#endif
