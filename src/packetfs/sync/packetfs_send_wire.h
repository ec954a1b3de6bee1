/* What sender and receiver of a handover say to each other, beside the transfer itself. Pure, each decoder fuzzed.
 * docs/formats-packetfs-wire.md has the tables. */
#ifndef HM_PACKETFS_SEND_WIRE_H
#define HM_PACKETFS_SEND_WIRE_H

#include "crypto.h"
#include "sync/packetfs_wire.h"

#define PACKETFS_HANDOVER_VERSION               1
#define PACKETFS_HANDOVER_PROOF_MAX_BYTES       65536 /* a sealed message */
#define PACKETFS_HANDOVER_VOLUME_FILE_MAX_BYTES 4096
#define PACKETFS_HANDOVER_STAGES                3

/* How somebody shows that it is meant for him. */
enum packetfs_handover_way { PACKETFS_BY_CODE = 1, PACKETFS_BY_IDENTITY = 2 };

/* KNOCK: a share of the exchange of keys, or a message sealed to the sender. */
struct packetfs_knock {
    enum packetfs_handover_way way;
    uint8_t share[CRYPTO_PAKE_SHARE_BYTES]; /* by code */
    struct hm_slice proof; /* by identity; borrowed */
};
int packetfs_knock_write(const struct packetfs_knock *knock, struct hm_buf *out);
/* HM_EUNSUPPORTED: another version or way. */
int packetfs_knock_read(struct hm_slice body, struct packetfs_knock *out, struct hm_error *error);

/* What lies in OFFER, under the seal. */
struct packetfs_offer {
    uint8_t volume_key[PACKETFS_KEY_BYTES];
    uint8_t snapshot[PACKETFS_SNAPSHOT_ID_BYTES];
    uint16_t port; /* where the volume is served: references */
    uint64_t files, folders, bytes;
    struct hm_slice volume_file; /* DIR/volume of it; borrowed */
};
int packetfs_offer_write(const struct packetfs_offer *offer, struct hm_buf *out);
int packetfs_offer_read(struct hm_slice bytes, struct packetfs_offer *out, struct hm_error *error);

/* PROGRESS. */
enum packetfs_handover_stage { PACKETFS_STAGE_RECEIVE = 1, PACKETFS_STAGE_RESTORE = 2 };
struct packetfs_handover_progress {
    enum packetfs_handover_stage stage;
    uint64_t files_done, bytes_done;
};
int packetfs_handover_progress_write(const struct packetfs_handover_progress *progress,
                                     struct hm_buf *out);
int packetfs_handover_progress_read(struct hm_slice body, struct packetfs_handover_progress *out,
                                    struct hm_error *error);

/* SHARE, CONFIRM, and the front of OFFER by code: just so many bytes. TAKEN has none. */
int packetfs_handover_bytes_read(struct hm_slice body, uint8_t *out, size_t len,
                                 struct hm_error *error);

#endif
