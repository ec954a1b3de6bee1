/* What tests of hosts and callers share: an identity that both sides show and take, and configurations on loopback. */
#ifndef HOST_WORLD_H
#define HOST_WORLD_H

#include "stoq_internal.h"

struct stoq_identity *host_world_identity(void);
/* Setup and teardown of a group of tests: one identity for all of them. */
extern struct stoq_identity *identity;
int host_world_make(void **state);
int host_world_end(void **state);
/* A host on a free port of ::1; server: accepts. Idle for 10 s at most. */
struct stoq_host_config host_world_config(struct stoq_identity *own, bool server, unsigned workers);
struct sockaddr_in6 host_world_at(const struct stoq_host *host); /* its port on ::1 */
size_t host_world_descriptors(void); /* that are open in this process */
void host_world_fill(uint8_t *out, size_t len, uint64_t seed);
uint64_t host_world_now(void); /* nanoseconds */
void host_world_pause(unsigned ms);

#endif
