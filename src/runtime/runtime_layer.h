/* One layer unpacked into a folder of its own, in the form overlayfs takes as a lower folder. */
#ifndef HM_RUNTIME_LAYER_H
#define HM_RUNTIME_LAYER_H

#include "runtime_archive.h"
#include "runtime_tree.h"

/* First host user id of the sandbox's user namespace when the node runs as root: container user N is
 * host user RUNTIME_UID_BASE + N. Above what login, systemd and subordinate ids use. */
#define RUNTIME_UID_BASE  ((uid_t)0x70000000)
#define RUNTIME_UID_COUNT 65536

/* Unpacks into the empty folder `root`. Whiteouts become character devices 0/0, opaque folders get
 * overlayfs's attribute. HM_EPARSE, HM_ELIMIT; on failure root is left for the caller to remove. */
int runtime_layer_unpack(const struct runtime_archive_source *source, int root,
                         const struct runtime_owner *owner, struct runtime_archive_budget *budget,
                         uint8_t sha256[CRYPTO_SHA256_BYTES], struct hm_error *error);

/* Unpacks a plain archive (an image in its transport form): files and folders only; links inside it
 * are resolved to the files they name. Whiteout names mean nothing. */
int runtime_stage_unpack(const struct runtime_archive_source *source, int root,
                         struct runtime_archive_budget *budget, struct hm_error *error);

#endif
