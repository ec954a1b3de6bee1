/* Packs: the files that objects lie in, sealed, written once and never changed. docs/formats-packetfs.md has the layout:
 *
 *     header | objects, one after the other | folder | filler | footer
 *
 * Everything behind the header is sealed under the pack's own key (derived from the volume's and the salt in the header), each
 * part with its position in the file as nonce. All lengths and positions are multiples of PACKETFS_UNIT_BYTES and counted in
 * them ("units"). The parsers are pure: bytes from outside, fuzzed. */
#ifndef HM_PACKETFS_PACK_H
#define HM_PACKETFS_PACK_H

#include "crypto.h"
#include "pack/packetfs_codec.h"
#include "packetfs_keys.h"

#define PACKETFS_PACK_FORMAT           1
#define PACKETFS_UNIT_BYTES            16u
#define PACKETFS_PACK_HEADER_BYTES     64u
#define PACKETFS_PACK_HEADER_UNITS     (PACKETFS_PACK_HEADER_BYTES / PACKETFS_UNIT_BYTES)
#define PACKETFS_PACK_FOOTER_BYTES     32u
#define PACKETFS_PACK_FOOTER_UNITS     (PACKETFS_PACK_FOOTER_BYTES / PACKETFS_UNIT_BYTES)
#define PACKETFS_PACK_SALT_BYTES       32
#define PACKETFS_PACK_NAME_BYTES       16
#define PACKETFS_PACK_MAX_UNITS        (1u << 22) /* 64 MiB */
#define PACKETFS_PACK_OBJECTS_MAX      65536u
#define PACKETFS_STORED_MAX_UNITS      (1u << 17) /* of an object; exclusive */
#define PACKETFS_FILLER_BYTES          ((size_t)1 << 20) /* sealed pieces of filler are at most this long */
#define PACKETFS_PACK_FOLDER_ROW_BYTES 36u /* id, length in units */

struct packetfs_pack_header {
    enum packetfs_kind kind;
    enum packetfs_suite suite;
    uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES];
    uint8_t salt[PACKETFS_PACK_SALT_BYTES];
    uint8_t
        bytes[PACKETFS_PACK_HEADER_BYTES]; /* as it lies in the file; the footer is bound to it */
};

/* The dictionaries (packetfs_dict_ref) that frames of a pack name: in order, each once. */
#define PACKETFS_PACK_DICTIONARIES_MAX 64u
#define PACKETFS_PACK_FOLDER_REF_BYTES 8u
struct packetfs_pack_names {
    uint32_t count;
    uint64_t refs[PACKETFS_PACK_DICTIONARIES_MAX];
};
bool packetfs_pack_names_has(const struct packetfs_pack_names *names, uint64_t ref);
/* HM_ELIMIT: full. */
int packetfs_pack_names_add(struct packetfs_pack_names *names, uint64_t ref);

/* Where an object lies in a pack. */
struct packetfs_pack_row {
    struct packetfs_id id;
    uint32_t position, length; /* units; sealed, with the tag */
};

struct packetfs_pack_footer {
    uint32_t folder_position, folder_length, file_length; /* units */
    uint32_t objects;
};

void packetfs_pack_header_make(enum packetfs_kind kind, enum packetfs_suite suite,
                               const uint8_t volume_id[PACKETFS_VOLUME_ID_BYTES],
                               const uint8_t salt[PACKETFS_PACK_SALT_BYTES],
                               struct packetfs_pack_header *out);
/* HM_EPARSE; HM_EUNSUPPORTED: a later format. */
int packetfs_pack_header_parse(struct hm_slice bytes, struct packetfs_pack_header *out,
                               struct hm_error *error);

/* A pack's key with its schedule made. By one thread at a time. */
struct packetfs_pack_key {
    struct crypto_aead *aead;
    struct packetfs_pack_header header;
};
int packetfs_pack_key_init(struct packetfs_pack_key *key, const struct packetfs_keys *keys,
                           const struct packetfs_pack_header *header, struct hm_error *error);
/* The same memory for another pack: quicker. On failure the key is empty and may be released. */
int packetfs_pack_key_change(struct packetfs_pack_key *key, const struct packetfs_keys *keys,
                             const struct packetfs_pack_header *header, struct hm_error *error);
void packetfs_pack_key_release(struct packetfs_pack_key *key); /* zeroed and NULL are fine */

/* Parts of a pack, sealed and opened at their position (units). Opening gives HM_ECORRUPT. sealed has plain.len + 16 bytes. */
int packetfs_pack_seal_object(struct packetfs_pack_key *key, const struct packetfs_id *id,
                              uint32_t position, struct hm_slice frame, uint8_t *sealed,
                              struct hm_error *error);
int packetfs_pack_open_object(struct packetfs_pack_key *key, const struct packetfs_id *id,
                              uint32_t position, struct hm_slice sealed, uint8_t *frame,
                              struct hm_error *error);
enum packetfs_pack_part {
    PACKETFS_PART_FOLDER = 'F',
    PACKETFS_PART_FILLER = 'P',
    PACKETFS_PART_FOOTER = 'T'
};
int packetfs_pack_seal_part(struct packetfs_pack_key *key, enum packetfs_pack_part part,
                            uint32_t position, struct hm_slice plain, uint8_t *sealed,
                            struct hm_error *error);
int packetfs_pack_open_part(struct packetfs_pack_key *key, enum packetfs_pack_part part,
                            uint32_t position, struct hm_slice sealed, uint8_t *plain,
                            struct hm_error *error);

/* --- what is inside, opened ------------------------------------------------------------------------------------- */
void packetfs_pack_footer_make(const struct packetfs_pack_footer *footer, uint8_t out[16]);
/* Checked against the file's length. HM_ECORRUPT. */
int packetfs_pack_footer_parse(const uint8_t in[16], uint64_t file_bytes,
                               struct packetfs_pack_footer *out, struct hm_error *error);
/* Appends count rows, in the order of their positions, to out, filled with zeros to a whole unit. */
int packetfs_pack_folder_make(const struct packetfs_pack_row *rows, size_t count,
                              const struct packetfs_pack_names *names, struct hm_buf *out);
/* footer->objects rows into *out, one block for hm_free; names may be NULL. HM_ECORRUPT: objects that do not lie one behind the other from the
 * header to the folder; HM_ENOMEM. */
int packetfs_pack_folder_parse(struct hm_slice folder, const struct packetfs_pack_footer *footer,
                               struct packetfs_pack_row **out, struct packetfs_pack_names *names,
                               struct hm_error *error);

/* A length of file that says less about what is in it: Padmé (PURBs, 2019), and room for the sealed filler. Units. */
uint32_t packetfs_pack_padded(uint32_t units);
/* How long the next piece of filler is, of so many units that are left. */
uint32_t packetfs_pack_filler_piece(uint32_t units);

/* --- whole files ------------------------------------------------------------------------------------------------- */
/* Objects on their way into a pack: frames (packetfs_codec.h) one after the other in memory. */
struct packetfs_pack_item {
    struct packetfs_id id;
    uint32_t offset, len; /* of the frame in frames */
    uint32_t position; /* units, once written */
};
struct packetfs_pack_draft {
    enum packetfs_kind kind;
    struct hm_buf frames;
    struct packetfs_pack_item *items;
    uint32_t count, room;
    uint32_t bytes; /* frames and tags */
    struct packetfs_pack_names names;
};
/* HM_ENOMEM; HM_ELIMIT: too many dictionaries. */
int packetfs_pack_draft_add(struct packetfs_pack_draft *draft, const struct packetfs_id *id,
                            const struct packetfs_frame *frame, struct hm_error *error);
void packetfs_pack_draft_release(struct packetfs_pack_draft *draft);

struct packetfs_pack_cost {
    uint64_t ns_seal, ns_write;
};
/* Writes draft as a pack to the empty file fd, shuffled and padded when asked to; fills the items' positions and *bytes, the file's
 * length. Not synced. HM_EIO, HM_ENOMEM, HM_ELIMIT. cost is added to. */
int packetfs_pack_write(struct packetfs_pack_draft *draft, const struct packetfs_keys *keys,
                        enum packetfs_suite suite, bool pad, const struct hm_random *random, int fd,
                        uint64_t *bytes, struct packetfs_pack_cost *cost, struct hm_error *error);

/* The folder of the pack in fd: header, footer and folder are read and opened. *rows is for hm_free. HM_ECORRUPT: not a whole pack of
 * this volume and kind; HM_EIO. header, footer and names may be NULL. */
int packetfs_pack_read_folder(int fd, const struct packetfs_keys *keys,
                              struct packetfs_pack_header *header,
                              struct packetfs_pack_footer *footer, struct packetfs_pack_row **rows,
                              struct packetfs_pack_names *names, struct hm_error *error);
/* Whether the filler is as it was written. HM_ECORRUPT, HM_EIO. */
int packetfs_pack_check_filler(int fd, struct packetfs_pack_key *key,
                               const struct packetfs_pack_footer *footer, struct hm_error *error);
/* len bytes at offset; HM_ECORRUPT when the file ends before. */
int packetfs_pack_pread(int fd, void *out, size_t len, uint64_t offset, struct hm_error *error);

#endif
