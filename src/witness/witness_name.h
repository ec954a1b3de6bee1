/* Where the peers are that were named by text. Asking a name server may take long and nothing ends it early, so a thread of its own
 * does that, for which nobody waits: not the one that measures distances, and not the one that closes it. */
#ifndef HM_WITNESS_NAME_H
#define HM_WITNESS_NAME_H

#include <sys/socket.h>

#include "witness_echo.h"

#define WITNESS_NAME_AGAIN_MS 60000 /* between two tries to find what was not found */

/* "HOST:PORT", "[HOST]:PORT" as an address of that family (AF_UNSPEC: any). by_name: may ask a name server, and take its time.
 * HM_EPARSE, HM_ENOTFOUND. */
int witness_address(const char *text, int family, bool by_name, struct sockaddr_storage *out,
                    socklen_t *out_len);

struct witness_names;

/* Room for so many, addresses of that family. HM_ENOMEM, HM_EIO. */
int witness_names_new(size_t max, int family, struct witness_names **out, struct hm_error *error);
/* Before the start, at most max times; the text is copied, and cut where it is too long for a name. */
void witness_names_add(struct witness_names *names, const uint8_t id[WITNESS_ECHO_ID_BYTES],
                       const char *text);
/* Begins to look for them; nothing is done where there are none. wake_fd: an eventfd that is written to when there is something to take;
 * the caller keeps it. HM_ENOMEM, HM_EIO. */
int witness_names_start(struct witness_names *names, int wake_fd, struct hm_error *error);
/* One that was found and not taken yet; false: there is none. Never waits for a name server. */
bool witness_names_take(struct witness_names *names, uint8_t id[WITNESS_ECHO_ID_BYTES],
                        struct sockaddr_storage *out);
/* Returns at once; a question that is under way ends by itself. NULL is fine. */
void witness_names_free(struct witness_names *names);

#endif
