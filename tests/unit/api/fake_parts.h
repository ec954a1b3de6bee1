/* Between the files of the fake. */
#ifndef FAKE_PARTS_H
#define FAKE_PARTS_H

#include "fake_backend.h"

ProtobufCBinaryData fake_bytes(struct hm_arena *arena, uint8_t first); /* fake_id, in the arena */
char *fake_text(struct hm_arena *arena, const char *text);
void fake_ledger_fill(struct api_backend *backend);
void fake_jobs_fill(struct api_backend *backend);

#endif
