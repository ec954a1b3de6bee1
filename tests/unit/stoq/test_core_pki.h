/* An authority of the tests' own, made anew each time: certificates good and bad, and revocation lists. */
#ifndef TEST_CORE_PKI_H
#define TEST_CORE_PKI_H

#include <openssl/x509.h>

#include "stoq.h"

enum pki_kind {
    PKI_GOOD, /* a server's */
    PKI_CLIENT,
    PKI_EXPIRED,
    PKI_FUTURE,
    PKI_STRANGER, /* of an authority that nobody knows */
};
struct pki {
    EVP_PKEY *key, *stranger_key;
    X509 *authority, *stranger;
    char *authority_pem, *revoked_pem;
    struct stoq_identity *server, *client;
    struct stoq_trust *trust;
    uint64_t serial;
};
void pki_init(struct pki *pki);
void pki_release(struct pki *pki);
/* A leaf's chain and key as PEM text of malloc. */
void pki_leaf(struct pki *pki, const char *name, enum pki_kind kind, char **chain, char **key);
int pki_identity(struct pki *pki, struct stoq_identity **out, const char *name, enum pki_kind kind);
uint64_t pki_serial(const struct stoq_identity *identity);
/* Sets revoked_pem to a current list with this serial number; 0: an empty list. */
void pki_revocations(struct pki *pki, uint64_t serial);
struct stoq_bytes pki_bytes(const char *text);

#endif
