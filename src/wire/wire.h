/* wire: the schema in C. Generated from proto/ by protoc-c, with the helpers every user needs.
 *
 * Never: decides whether a message makes sense; that is the room's that asked for it.
 * Start reading with proto/ledger.proto, then wire_unpack. */
#ifndef HM_WIRE_H
#define HM_WIRE_H

#include "base.h"
#include "job.pb-c.h"
#include "ledger.pb-c.h"
#include "wire_yaml.h"

/* Packs any message and appends the bytes to out. HM_ENOMEM. */
int wire_pack(const ProtobufCMessage *message, struct hm_buf *out);

/* Unpacks into memory of the arena; strings and bytes are copied there, nothing to free. HM_EPARSE
 * on malformed bytes, trailing garbage, unknown fields, text that is not UTF-8 or holds a NUL, a
 * singular field given twice, two members of a oneof, a number wider than its field, a list of
 * numbers that is not packed, or nesting deeper than WIRE_MAX_NESTING; HM_ELIMIT when len > limit or it unfolds past the arena's limit; HM_ENOMEM.
 * All of it is refused because what is signed must mean the same to everyone. On failure the arena
 * may hold leftovers, *out is untouched. */
#define WIRE_MAX_NESTING 16
int wire_unpack(const ProtobufCMessageDescriptor *descriptor, struct hm_slice bytes, size_t limit,
                struct hm_arena *arena, ProtobufCMessage **out, struct hm_error *error);
/* WIRE_UNPACK(tx, bytes, limit, arena, &tx, error): typed form; prefix is the generated one. */
#define WIRE_UNPACK(prefix, bytes, limit, arena, out, error)                                    \
    wire_unpack(&prefix##__descriptor, bytes, limit, arena, (ProtobufCMessage **)(void *)(out), \
                error)
/* For exactly these bytes, which wire_unpack took before or wire_pack made in this process: the same message,
 * without looking at the form of every field again. Never for other bytes. */
int wire_unpack_again(const ProtobufCMessageDescriptor *descriptor, struct hm_slice bytes,
                      struct hm_arena *arena, ProtobufCMessage **out, struct hm_error *error);

static inline struct hm_slice wire_slice(ProtobufCBinaryData data)
{
    return hm_slice_of(data.data, data.len);
}

static inline ProtobufCBinaryData wire_bytes(const void *data, size_t len)
{
    /* protobuf-c has no const; packing only reads. */
    return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)data};
}

/* --- text forms of ids ---------------------------------------------------------------------- */
#define WIRE_ID_BYTES    32
#define WIRE_ID_TEXT_MAX 72 /* with NUL */
/* Accounts "hm1…", assets "asset1…", leases "lease1…", networks "net1…", challenges "chal1…": bech32m over the 32
 * bytes. */
void wire_account_text(const uint8_t id[WIRE_ID_BYTES], char out[WIRE_ID_TEXT_MAX]);
void wire_asset_text(const uint8_t id[WIRE_ID_BYTES], char out[WIRE_ID_TEXT_MAX]);
void wire_lease_text(const uint8_t id[WIRE_ID_BYTES], char out[WIRE_ID_TEXT_MAX]);
void wire_network_text(const uint8_t id[WIRE_ID_BYTES], char out[WIRE_ID_TEXT_MAX]);
void wire_challenge_text(const uint8_t id[WIRE_ID_BYTES], char out[WIRE_ID_TEXT_MAX]);
int wire_account_parse(const char *text, uint8_t id[WIRE_ID_BYTES], struct hm_error *error);
int wire_asset_parse(const char *text, uint8_t id[WIRE_ID_BYTES], struct hm_error *error);
int wire_lease_parse(const char *text, uint8_t id[WIRE_ID_BYTES], struct hm_error *error);
int wire_network_parse(const char *text, uint8_t id[WIRE_ID_BYTES], struct hm_error *error);
int wire_challenge_parse(const char *text, uint8_t id[WIRE_ID_BYTES], struct hm_error *error);
/* Global address: fd + 40 bits of the chain id's hash (passed in) + 16 bits kind + 64 bits of the id. */
void wire_asset_address(const uint8_t chain_hash[WIRE_ID_BYTES], Hypermesh__AssetKind kind,
                        const uint8_t id[WIRE_ID_BYTES], uint8_t out[16]);

const char *wire_asset_kind_name(Hypermesh__AssetKind kind); /* "cpu", ...; "none" */
int wire_asset_kind_parse(const char *text, Hypermesh__AssetKind *kind); /* 0 or HM_EPARSE */
const char *wire_asset_kind_unit(Hypermesh__AssetKind kind); /* "millicores", "bytes", ... */
const char *wire_privacy_name(Hypermesh__PrivacyLevel level); /* "Private", "PrivateNetwork", ... */
int wire_privacy_parse(const char *text, Hypermesh__PrivacyLevel *level); /* name or "1".."5" */
const char *wire_outcome_name(Hypermesh__JobOutcome outcome); /* "finished", ... */
const char *wire_lease_state_name(Hypermesh__LeaseState state); /* "active", ... */
const char *wire_op_name(unsigned op); /* field number in Operation -> "allocate"; "expire" for 0 */

/* --- job specification --------------------------------------------------------------------------
 * YAML 1.1 (and so JSON) checked against one schema; `name` is what errors call the source. An error
 * reads "FILE:LINE:COLUMN: field: what is wrong". Flags, files and HTTP bodies all come through here.
 * Defaults are filled in, relative paths are left as they are. The result lives in the arena. */
#define WIRE_JOB_SPEC_MAX_BYTES ((size_t)256 * 1024)
#define WIRE_JOB_SPEC_MAX_DEPTH 8
#define WIRE_JOB_SPEC_MAX_NODES 2048
int wire_job_spec_parse(struct hm_slice text, const char *name, struct hm_arena *arena,
                        Hypermesh__JobSpec **out, struct hm_error *error);
/* Canonical JSON of a spec, appended to out: parses back to an equal spec. HM_EINVAL when a text is
 * not UTF-8, HM_ELIMIT past WIRE_JOB_SPEC_MAX_BYTES, HM_ENOMEM. */
int wire_job_spec_json(const Hypermesh__JobSpec *spec, struct hm_buf *out);
/* Range and cross-field checks (also run by parse). */
int wire_job_spec_check(const Hypermesh__JobSpec *spec, struct hm_error *error);

#define WIRE_JOB_NAME_MAX_BYTES      64
#define WIRE_JOB_IMAGE_MAX_BYTES     255
#define WIRE_JOB_PATH_MAX_BYTES      1024
#define WIRE_JOB_COMMAND_MAX         256
#define WIRE_JOB_COMMAND_MAX_BYTES   (128 * 1024) /* terminators included */
#define WIRE_JOB_ENV_MAX             128
#define WIRE_JOB_ENV_NAME_MAX_BYTES  128
#define WIRE_JOB_ENV_VALUE_MAX_BYTES (32 * 1024)
#define WIRE_JOB_ENV_MAX_BYTES       (64 * 1024) /* "NAME=VALUE" with terminators */
#define WIRE_JOB_MOUNTS_MAX          32 /* inputs, and as many outputs */
#define WIRE_JOB_MAX_PRICE           UINT64_C(1000000000000000000) /* base units: 10^9 HYPER */

/* A spec built field by field, as flags do it: init, set ..., complete.
 * init fills in the defaults; name, image and the lists are empty. */
void wire_job_spec_init(Hypermesh__JobSpec *spec);
/* Sets one field (the name it has in YAML) from its text form; for command, env ("NAME=VALUE"),
 * inputs ("SRC:/target") and outputs ("/src:TARGET") adds one entry. A spec that came from a file can
 * be changed with it too. Memory from the arena; spec untouched on failure. Errors: "field: what". */
int wire_job_spec_set(Hypermesh__JobSpec *spec, const char *field, const char *text,
                      struct hm_arena *arena, struct hm_error *error);
/* Gives it a name when it has none, then wire_job_spec_check. */
int wire_job_spec_complete(Hypermesh__JobSpec *spec, struct hm_arena *arena,
                           struct hm_error *error);
/* Appends the table of fields for docs/job-spec.md (Markdown). HM_ENOMEM. */
int wire_job_spec_table(struct hm_buf *out);

#endif
