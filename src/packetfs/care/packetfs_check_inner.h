/* What check and repair share. */
#ifndef HM_PACKETFS_CHECK_INNER_H
#define HM_PACKETFS_CHECK_INNER_H

#include "care/packetfs_care.h"
#include "care/packetfs_mark.h"
#include "packetfs_report.h"
#include "store/packetfs_store_inner.h"

struct packetfs_check {
    struct packetfs_store *store;
    struct packetfs_report *report;
    struct packetfs_check_result *result;
    struct packetfs_hand *hand;
    struct hm_buf bytes; /* of the object looked at */
    struct packetfs_mark *mark;
    const struct packetfs_snapshot *snapshot; /* being walked */
    uint64_t lost; /* references and patterns that it lacks */
    struct hm_error *error;
};

/* Counts one and tells it. */
void packetfs_check_finding(struct packetfs_check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Reads, opens, unpacks and hashes every object of a pack and its filler; good[i] (nullable) is set for those that are
 * sound. *bad counts the others, each a finding. HM_ENOMEM, HM_EIO, HM_ECANCELLED. */
int packetfs_check_objects(struct packetfs_check *check, const struct packetfs_file_slot *file,
                           const struct packetfs_pack_row *rows,
                           const struct packetfs_pack_footer *footer, bool *good, uint64_t *bad,
                           struct hm_error *error);
/* Walks from every snapshot; what is not there is a finding. Snapshots that do not open are findings, too, and shown to bad (nullable). */
int packetfs_check_snapshots(struct packetfs_check *check,
                             int (*bad)(struct packetfs_check *check,
                                        const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES]),
                             struct hm_error *error);

#endif
