/* What a file has beside its bytes, between the file system and the tree: owners, mode, times, extended attributes (ACLs are
 * some of them: system.posix_acl_access and _default). */
#ifndef HM_PACKETFS_META_H
#define HM_PACKETFS_META_H

#include <sys/stat.h>

#include "tree/packetfs_tree.h"

/* Names of users and groups by number, asked for once. One thread. */
struct packetfs_names;
int packetfs_names_new(struct packetfs_names **out, struct hm_error *error);
void packetfs_names_free(struct packetfs_names *names);
/* Empty when there is none or memory is out; valid until free. */
struct hm_slice packetfs_names_user(struct packetfs_names *names, uint32_t uid);
struct hm_slice packetfs_names_group(struct packetfs_names *names, uint32_t gid);

/* 0: none of the seven types. */
enum packetfs_entry_type packetfs_meta_type(mode_t mode);
/* type, mode, owners, times, device. Names, attributes and content are the caller's. */
void packetfs_meta_fill(const struct stat *st, struct packetfs_entry *out);

/* Reads all extended attributes, packed, into out (cleared first): per attribute the lengths of name and value (4 bytes each,
 * big-endian) and both. HM_ELIMIT: more than PACKETFS_XATTRS_MAX_BYTES; HM_EIO, HM_EPERM. */
int packetfs_xattrs_read_fd(int fd, struct hm_buf *out, struct hm_error *error);
/* Of NAME in the folder, which is not followed when it is a symbolic link. */
int packetfs_xattrs_read_at(int folder, const char *name, struct hm_buf *out,
                            struct hm_error *error);
/* Slices into packed, sorted by name; *out is for hm_free, NULL when there are none. */
int packetfs_xattrs_unpack(struct hm_slice packed, struct packetfs_xattr **out, size_t *count,
                           struct hm_error *error);

struct packetfs_meta_rules {
    bool owners; /* a failure to set them is an error; else they are tried by root only */
    bool root;
    /* It comes from somebody who is trusted with contents alone: no owners, no set-user-id and set-group-id bits, no attributes
     * that only root sets (security.*, trusted.*: capabilities). */
    bool strange;
};
/* The mode that what is owned as the entry says (else by us) gets, and whether an attribute is set at all. */
mode_t packetfs_meta_mode(const struct packetfs_entry *entry,
                          const struct packetfs_meta_rules *rules, bool owned);
bool packetfs_meta_takes(struct hm_slice xattr, const struct packetfs_meta_rules *rules);
/* The mode under which a restore makes folders: the sticky bit says that they are not finished. packetfs_meta_apply_fd sets the mode last. */
#define PACKETFS_META_UNFINISHED ((mode_t)01700)
bool packetfs_meta_is_unfinished(int fd);

/* Sets everything on an open file or folder, in the order that lets nothing undo what came before. Goes on after a
 * failure and returns the first. */
int packetfs_meta_apply_fd(int fd, const struct packetfs_entry *entry,
                           const struct packetfs_meta_rules *rules, struct hm_error *error);
/* The same for what cannot be opened: links, pipes, sockets, devices. */
int packetfs_meta_apply_at(int folder, const char *name, const struct packetfs_entry *entry,
                           const struct packetfs_meta_rules *rules, struct hm_error *error);

#endif
