/* What two ends of a transfer say to each other. Pure: bytes to structures and back, each decoder fuzzed.
 * docs/formats-packetfs-wire.md has the tables.
 *
 * A message is a frame: its type (1 byte), the length of its body (packetfs_varint.h), the body. */
#ifndef HM_PACKETFS_WIRE_H
#define HM_PACKETFS_WIRE_H

#include "packetfs_keys.h"

#define PACKETFS_WIRE_VERSION          1
#define PACKETFS_WIRE_BODY_MAX_BYTES   (PACKETFS_OBJECT_MAX_BYTES + 65536)
#define PACKETFS_WIRE_SESSION_BYTES    16
#define PACKETFS_WIRE_REPLICA_BYTES    16
#define PACKETFS_WIRE_MARK_BYTES       16 /* a fingerprint of a set of snapshot ids */
#define PACKETFS_WIRE_ASKS_MAX         64
#define PACKETFS_WIRE_IDS_MAX          64 /* ids in one answer; more are split */
#define PACKETFS_WIRE_BUCKETS          16
#define PACKETFS_WIRE_GET_MAX          256
#define PACKETFS_WIRE_SEALED_MAX_BYTES 8192 /* a snapshot's file */
#define PACKETFS_WIRE_TEXT_MAX_BYTES   240

enum packetfs_wire_type {
    PACKETFS_WIRE_HELLO = 1, /* both, first */
    PACKETFS_WIRE_ASK = 2, /* sink: what snapshots are there in these parts of the ids? */
    PACKETFS_WIRE_IDS = 3, /* source: these, or so many in each sixteenth */
    PACKETFS_WIRE_FETCH = 4, /* sink: these snapshots' files */
    PACKETFS_WIRE_SNAPSHOT = 5, /* source: one of them */
    PACKETFS_WIRE_GET = 6, /* sink: these objects */
    PACKETFS_WIRE_OBJECT = 7, /* source: one of them */
    PACKETFS_WIRE_PATTERNS =
        8, /* sink, when it was called: open the other connection. Body: 1 byte, 1 for many */
    PACKETFS_WIRE_DONE = 9, /* sink: I have everything */
    PACKETFS_WIRE_FAIL = 10, /* either: it ends here, and why */
    /* Of a handover (packetfs_send_wire.h), on a connection of its own. */
    PACKETFS_WIRE_KNOCK = 11, /* receiver: who I am */
    PACKETFS_WIRE_SHARE = 12, /* sender: my part of the exchange of keys */
    PACKETFS_WIRE_CONFIRM = 13, /* receiver: I know the code */
    PACKETFS_WIRE_OFFER = 14, /* sender: so do I; what there is, and its key */
    PACKETFS_WIRE_PROGRESS = 15, /* receiver: how far I am */
    PACKETFS_WIRE_TAKEN = 16, /* receiver: all is restored */
};

/* Appends a frame. HM_ENOMEM, HM_ELIMIT. */
int packetfs_wire_frame(enum packetfs_wire_type type, struct hm_slice body, struct hm_buf *out);
/* Takes one frame off the front of *in. 0: taken; 1: more bytes are needed; HM_EPARSE, HM_ELIMIT. *in is touched
 * only on 0. */
int packetfs_wire_frame_take(struct hm_slice *in, enum packetfs_wire_type *type,
                             struct hm_slice *body, struct hm_error *error);

enum packetfs_wire_role {
    PACKETFS_WIRE_SERVER = 0,
    PACKETFS_WIRE_SOURCE = 1, /* the caller sends */
    PACKETFS_WIRE_SINK = 2, /* the caller receives */
};
struct packetfs_wire_hello {
    enum packetfs_wire_role role;
    uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES];
    /* which of the volume's folders this is; zeros: it cannot say */
    uint8_t replica[PACKETFS_WIRE_REPLICA_BYTES];
    /* who was called draws it; who calls names it on the connection of patterns, zeros else */
    uint8_t session[PACKETFS_WIRE_SESSION_BYTES];
    uint64_t sequence; /* highest of the sender's snapshots */
    /* Of who was called, on the connection of references: for few patterns, and for many (larger packets). */
    uint16_t pattern_port, bulk_port;
    bool newest_only; /* what a calling sink wants: of each label the newest alone */
    struct hm_slice label; /* and of this label; empty: all */
};
int packetfs_wire_hello_write(const struct packetfs_wire_hello *hello, struct hm_buf *out);
/* label is borrowed of body. HM_EUNSUPPORTED: another version. */
int packetfs_wire_hello_read(struct hm_slice body, struct packetfs_wire_hello *out,
                             struct hm_error *error);

/* --- snapshots ------------------------------------------------------------------------------------------------------ */
/* A part of all snapshot ids: those that begin with these half-bytes (upper half first), and what the sink has there. */
struct packetfs_wire_part {
    uint8_t depth; /* half-bytes, 0 .. 32 */
    uint8_t prefix[PACKETFS_SNAPSHOT_ID_BYTES]; /* zeros after depth */
    uint8_t mark[PACKETFS_WIRE_MARK_BYTES];
};
bool packetfs_wire_part_holds(const struct packetfs_wire_part *part,
                              const uint8_t id[PACKETFS_SNAPSHOT_ID_BYTES]);
/* The fingerprint of count sorted ids, one after the other. */
void packetfs_wire_mark(const uint8_t *ids, size_t count, uint8_t mark[PACKETFS_WIRE_MARK_BYTES]);

struct packetfs_wire_ask {
    size_t count;
    struct packetfs_wire_part parts[PACKETFS_WIRE_ASKS_MAX];
};
int packetfs_wire_ask_write(const struct packetfs_wire_ask *ask, struct hm_buf *out);
int packetfs_wire_ask_read(struct hm_slice body, struct packetfs_wire_ask *out,
                           struct hm_error *error);

enum packetfs_wire_ids_form {
    PACKETFS_WIRE_SAME = 0,
    PACKETFS_WIRE_LIST = 1,
    PACKETFS_WIRE_SPLIT = 2
};
/* The answer for one part; IDS holds one after the other, in the order they were asked. */
struct packetfs_wire_ids {
    enum packetfs_wire_ids_form form;
    size_t count; /* of the list */
    uint8_t ids[PACKETFS_WIRE_IDS_MAX][PACKETFS_SNAPSHOT_ID_BYTES]; /* sorted, of the part */
    uint64_t bucket_count[PACKETFS_WIRE_BUCKETS];
    uint8_t bucket_mark[PACKETFS_WIRE_BUCKETS][PACKETFS_WIRE_MARK_BYTES];
};
int packetfs_wire_ids_write(const struct packetfs_wire_ids *ids, struct hm_buf *out);
/* Takes one off the front of *in; part: what it answers. */
int packetfs_wire_ids_take(struct hm_slice *in, const struct packetfs_wire_part *part,
                           struct packetfs_wire_ids *out, struct hm_error *error);

struct packetfs_wire_fetch {
    size_t count;
    uint8_t ids[PACKETFS_WIRE_IDS_MAX][PACKETFS_SNAPSHOT_ID_BYTES];
};
int packetfs_wire_fetch_write(const struct packetfs_wire_fetch *fetch, struct hm_buf *out);
int packetfs_wire_fetch_read(struct hm_slice body, struct packetfs_wire_fetch *out,
                             struct hm_error *error);
/* SNAPSHOT's body is the sealed file; empty: it is gone. */

/* --- objects -------------------------------------------------------------------------------------------------------- */
struct packetfs_wire_want {
    struct packetfs_id id;
    bool has_base; /* the sink has base: a delta against it will do */
    struct packetfs_id base;
};
struct packetfs_wire_get {
    size_t count;
    struct packetfs_wire_want wants[PACKETFS_WIRE_GET_MAX];
};
int packetfs_wire_get_write(const struct packetfs_wire_get *get, struct hm_buf *out);
int packetfs_wire_get_read(struct hm_slice body, struct packetfs_wire_get *out,
                           struct hm_error *error);

enum packetfs_wire_object_form {
    PACKETFS_WIRE_MISSING = 0,
    PACKETFS_WIRE_PLAIN = 1,
    PACKETFS_WIRE_ZSTD = 2,
    PACKETFS_WIRE_DELTA = 3 /* zstd with the base as prefix */
};
struct packetfs_wire_object {
    enum packetfs_wire_object_form form;
    size_t plain_len; /* 1 .. PACKETFS_OBJECT_MAX_BYTES; 0 when missing */
    struct hm_slice bytes; /* borrowed */
};
int packetfs_wire_object_read(struct hm_slice body, struct packetfs_wire_object *out,
                              struct hm_error *error);

/* Packs and unpacks objects; memory for one at a time. Not from two threads at once. */
struct packetfs_wire_packer;
int packetfs_wire_packer_new(int level, struct packetfs_wire_packer **out, struct hm_error *error);
void packetfs_wire_packer_free(struct packetfs_wire_packer *packer);
/* Appends the body of OBJECT: the shortest of the forms. base: empty when there is none. */
int packetfs_wire_pack(struct packetfs_wire_packer *packer, struct hm_slice plain,
                       struct hm_slice base, struct hm_buf *out, struct hm_error *error);
/* Appends the plain bytes: exactly plain_len, or HM_EPARSE. base is used by DELTA. */
int packetfs_wire_unpack(struct packetfs_wire_packer *packer,
                         const struct packetfs_wire_object *object, struct hm_slice base,
                         struct hm_buf *out, struct hm_error *error);

/* --- the end ---------------------------------------------------------------------------------------------------------- */
/* What the sink tells at its end. */
struct packetfs_wire_done {
    uint64_t snapshots, references, patterns, deltas, plain_bytes, round_trips;
};
int packetfs_wire_done_write(const struct packetfs_wire_done *done, struct hm_buf *out);
int packetfs_wire_done_read(struct hm_slice body, struct packetfs_wire_done *out,
                            struct hm_error *error);

int packetfs_wire_fail_write(int code, const char *text, struct hm_buf *out);
/* Gives the peer's code, one that this format has, and puts its sentence, made fit for a terminal, into error. */
int packetfs_wire_fail_read(struct hm_slice body, struct hm_error *error);

#endif
