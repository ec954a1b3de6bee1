/* Between the files of the fake. */
#ifndef FAKE_PARTS_H
#define FAKE_PARTS_H

#include <stdlib.h>

#include "crypto.h"
#include "fake_backend.h"

#define FAKE_KV_CHANGES   128
#define FAKE_KV_KEY_MAX   64
#define FAKE_KV_VALUE_MAX 64
#define FAKE_KV_LEASES    8
#define FAKE_KV_PAGE      3 /* pairs that one read gives, so that readers must go on */

ProtobufCBinaryData fake_bytes(struct hm_arena *arena, uint8_t first); /* fake_id, in the arena */
char *fake_text(struct hm_arena *arena, const char *text);
void fake_ledger_fill(struct api_backend *backend);
void fake_jobs_fill(struct api_backend *backend);
void fake_light_fill(struct api_backend *backend);
void fake_mesh_fill(struct api_backend *backend);
void fake_witness_fill(struct api_backend *backend);
void fake_ticket_fill(struct api_backend *backend);
int fake_kv_fill(struct fake *fake);
/* Under the lock: does the operation when it is one of the key-value store. */
int fake_kv_apply(struct fake *fake, const Hypermesh__Operation *op, struct hm_arena *arena,
                  struct api_receipt *out, struct hm_error *error);
void fake_wake(struct fake *fake); /* under the lock */

#endif
