/* Who may ask. Unix socket: the kernel's word for the peer. TCP: a loopback Host (so that no web
 * page can point its own name here), no foreign Origin, and the bearer token. */
#ifndef HM_API_AUTH_H
#define HM_API_AUTH_H

#include "api_request.h"

#define API_TOKEN_BYTES 32
#define API_TOKEN_CHARS (2 * API_TOKEN_BYTES)

/* Reads the token, or makes the file (0600) with a new one. HM_EPERM when others could read the
 * file. */
int api_token_open(const char *path, const struct hm_random *random,
                   char token[API_TOKEN_CHARS + 1], struct hm_error *error);

/* Loopback literal or localhost, with or without a port. */
bool api_host_is_local(const char *host);

#define API_PRINCIPAL_MAX 32
/* Who asks, as a name for counting and remembering. */
void api_auth_principal(const struct api_request *request, char out[API_PRINCIPAL_MAX]);

/* Whether the request came here on purpose. HM_EPERM. */
int api_auth_check_origin(const struct api_request *request, struct hm_error *error);
/* Whether the caller is who may act. HM_EAUTH, HM_EPERM. token: NUL-terminated. */
int api_auth_check_caller(const struct api_request *request, uid_t owner, const char *token,
                          struct hm_error *error);

#endif
