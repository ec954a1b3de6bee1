/* Messages: sealed to one identity, signed by another, padded. docs/packetfs.md says what they hide and what not. */
#ifndef HM_PACKETFS_MESSAGE_H
#define HM_PACKETFS_MESSAGE_H

#include "access/packetfs_identity.h"

/* Of any kind; random and time are the caller's. Appends to out. HM_ELIMIT: too long. */
int packetfs_message_write(const struct packetfs_identity *from, const struct packetfs_contact *to,
                           enum packetfs_message_kind kind, uint64_t time_ns,
                           struct hm_slice content, const struct hm_random *random,
                           struct hm_buf *out, struct hm_error *error);

struct packetfs_message_parts {
    enum packetfs_message_kind kind;
    uint64_t time_ns;
    struct packetfs_contact from; /* proven */
    struct hm_slice content; /* points into plain */
};
/* plain: cleared, then what was sealed; the caller wipes it. HM_EAUTH, HM_EPARSE, HM_EUNSUPPORTED. */
int packetfs_message_read(const struct packetfs_identity *identity, struct hm_slice sealed,
                          struct hm_buf *plain, struct packetfs_message_parts *out,
                          struct hm_error *error);

/* What lies inside the seal, without keys: pure, fuzzed. Nobody is proven by it yet. */
struct packetfs_message_inside {
    struct packetfs_message_parts parts;
    struct crypto_root_signature signature;
};
int packetfs_message_parse_inside(struct hm_slice plain, struct packetfs_message_inside *out,
                                  struct hm_error *error);

#endif
