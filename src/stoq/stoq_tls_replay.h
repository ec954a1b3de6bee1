/* Which tickets were used for early data (RFC 8446 section 8.1): each at most once. A table of fixed size that never
 * forgets what could still be replayed: when it is full of such, early data is refused. Any thread. */
#ifndef STOQ_TLS_REPLAY_H
#define STOQ_TLS_REPLAY_H

#include "stoq_internal.h"

#define STOQ_REPLAY_ID_BYTES 16
#define STOQ_REPLAY_ENTRIES  65536 /* tickets remembered; a power of two */
#define STOQ_REPLAY_WAYS     16 /* places that one ticket may be kept in */
/* TLS takes early data only when the ticket's age as the client states it is within 10 seconds of the true one, so a
 * copied ClientHello works for about 11 seconds. Remembered for longer, to be safe about clocks that step. */
#define STOQ_REPLAY_WINDOW_S 30

struct stoq_replay;
struct stoq_replay *stoq_replay_new(uint64_t now_seconds); /* NULL: out of memory */
void stoq_replay_free(struct stoq_replay *replay);
/* True once per id: the caller may take early data. False: used before, no room to remember it, or made
 * (issued_seconds) before this table while a use that the table did not see may still be replayed. */
bool stoq_replay_take(struct stoq_replay *replay, const uint8_t id[STOQ_REPLAY_ID_BYTES],
                      uint64_t issued_seconds, uint64_t now_seconds);

#endif
