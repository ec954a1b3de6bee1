/* stoqcat: standard input and output over one STOQ stream, or over datagrams.
 *
 * Never: trusts a peer that was not named with --ca or --pin.
 * Start reading with cat_main in cat_main.c. */
#ifndef CAT_H
#define CAT_H

#include "base.h"
#include "stoq.h"

enum cat_exit {
    CAT_EXIT_OK = 0,
    CAT_EXIT_FAILED = 1, /* input, output or memory */
    CAT_EXIT_USAGE = 2,
    CAT_EXIT_UNREACHABLE = 3, /* nobody answered in time, or the connection broke off */
    CAT_EXIT_REFUSED = 5, /* a certificate or a tag */
};

#define CAT_PEM_BYTES_MAX     (1U << 20)
#define CAT_TIMEOUT_S_MAX     86400
#define CAT_TIMEOUT_S_DEFAULT 10
#define CAT_PORT_DEFAULT      4433
#define CAT_IDENTITY_DAYS     365

struct cat_options {
    bool listen, datagrams, verbose, any_client, help, version;
    const char *address;
    const char *cert, *key, *ca, *pin, *name, *alpn, *tag, *identity_new, *qlog;
    int timeout_ms; /* for the connection to come up; a listener waits without an end */
};
/* 0, or a sentence for the user in *error: STOQ_EINVAL. Pointers are into argv. */
int cat_options_parse(struct cat_options *out, int argc, char **argv, struct stoq_error *error);
const char *cat_help(void);

/* Who we are and whom we take. */
struct cat_trust {
    struct stoq_identity *identity; /* NULL: none */
    struct stoq_trust *trust; /* of --ca */
    struct hm_buf pin; /* DER of --pin; empty: none */
    bool any_client;
};
int cat_trust_load(struct cat_trust *out, const struct cat_options *options,
                   struct stoq_error *error);
void cat_trust_release(struct cat_trust *trust);
int cat_trust_verify(void *trust, const struct stoq_peer *peer, uint8_t *alert,
                     struct stoq_error *error);
/* Writes a new key and a certificate that signs itself to two files that must not be there yet. */
int cat_identity_new(const char *name, const char *cert_path, const char *key_path,
                     struct stoq_error *error);

/* Host configuration from options. */
int cat_configure(struct stoq_host_config *config, const struct cat_options *options,
                  struct cat_trust *trust, struct stoq_error *error);
int cat_stream(const struct cat_options *options, const struct stoq_host_config *config,
               struct stoq_error *error);
int cat_datagrams(const struct cat_options *options, const struct stoq_host_config *config,
                  struct stoq_error *error);
void cat_say(const struct cat_options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* on standard error, with -v */
/* The address without its port: what a certificate may name. */
void cat_host_of(const struct sockaddr_in6 *address, char out[STOQ_ADDRESS_TEXT_BYTES]);
int cat_main(int argc, char **argv);

#endif
