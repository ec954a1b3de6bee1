/* base: what every room stands on. Bytes and buffers, arenas, errors, logging, the clock and
 * random sources as injectable interfaces, text encodings, checked arithmetic.
 *
 * Never: opens a socket, starts a thread, knows what HyperMesh is about.
 * Start reading with base_error.h: its contract holds in every room. */
#ifndef HM_BASE_H
#define HM_BASE_H

#include "base_arena.h"
#include "base_bytes.h"
#include "base_clock.h"
#include "base_encode.h"
#include "base_error.h"
#include "base_file.h"
#include "base_json.h"
#include "base_log.h"
#include "base_math.h"

#endif
