/* Folder trees that somebody hostile may have written: opened part by part, never through a link. */
#ifndef HM_RUNTIME_TREE_H
#define HM_RUNTIME_TREE_H

#include <sys/types.h>

#include "base.h"

#define RUNTIME_TREE_MAX_DEPTH 128 /* of what is measured or copied; removing has no such limit */

/* Who owns what is made: container ids are shifted by base. Not set: the caller owns all. */
struct runtime_owner {
    bool set;
    uid_t base;
    /* How many folders may still be made that no entry names, such as "a/b" for "a/b/c"; NULL: any number. */
    uint64_t *folders;
};

/* Opens the folder at a normal path beneath root ("" is root itself). With make, missing folders are
 * made, 0755 (HM_ELIMIT past make->folders). HM_EPARSE when a part is a link or no folder, HM_ENOTFOUND. The caller closes *out. */
int runtime_tree_open(int root, const char *path, const struct runtime_owner *make, int *out,
                      struct hm_error *error);
/* Opens the folder that holds path; *leaf points into path. */
int runtime_tree_open_parent(int root, const char *path, const struct runtime_owner *make, int *out,
                             const char **leaf, struct hm_error *error);
/* Gives a new file, link or folder to a container user. Nothing to do when not set. */
int runtime_tree_chown(int dir, const char *name, const struct runtime_owner *owner, uint32_t uid,
                       uint32_t gid, struct hm_error *error);
/* Copies what is left of `from` into `to`, sharing blocks where the file system can. */
int runtime_tree_copy_data(int from, int to, uint64_t limit, uint64_t *copied,
                           struct hm_error *error);

/* Names in a folder, sorted by bytes, without "." and "..". */
struct runtime_names {
    struct hm_buf text; /* names one after the other, each with its NUL */
    char **names;
    size_t count;
};
#define RUNTIME_NAMES_MAX_BYTES ((size_t)64 << 20)
void runtime_names_release(struct runtime_names *names);
int runtime_names_read(int dir, struct runtime_names *out, struct hm_error *error);

/* Blocks used, in bytes, and entries, of the trees below dir; ends early past limit. HM_ELIMIT past
 * RUNTIME_TREE_MAX_DEPTH. */
int runtime_tree_usage(int dir, uint64_t limit, uint64_t *bytes, struct hm_error *error);

/* Lays one unpacked layer over `to`: whiteouts and opaque folders remove what lies below them.
 * Owners are kept when `keep_owner`. */
int runtime_tree_apply(int from, int to, bool keep_owner, struct hm_error *error);

#endif
