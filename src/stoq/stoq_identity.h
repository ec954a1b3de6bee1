/* What the TLS files see of an identity; everybody else uses the functions of stoq.h. */
#ifndef STOQ_IDENTITY_H
#define STOQ_IDENTITY_H

#include <openssl/x509.h>

#include "stoq_internal.h"

struct stoq_replay;

X509 *stoq_identity_x509(const struct stoq_identity *identity); /* the leaf, borrowed */
STACK_OF(X509) *
    stoq_identity_chain(const struct stoq_identity *identity); /* after the leaf; may be empty */
EVP_PKEY *stoq_identity_key(const struct stoq_identity *identity);
/* The tickets that were used for early data with this identity, made when first asked for: workers of one host share
 * their identity, so they share this. Borrowed. NULL: out of memory. Any thread. */
struct stoq_replay *stoq_identity_replay(struct stoq_identity *identity, uint64_t now_seconds);

/* The oldest error in this thread's queue of OpenSSL as text for a sentence, and the queue emptied. */
const char *stoq_tls_reason(char *out, size_t capacity);
/* After a PEM reader gave nothing: whether nothing more was there (then the queue is empty), or something broken. */
bool stoq_tls_pem_at_end(void);
/* For PEM readers: what is encrypted fails; nobody is asked at the terminal. */
int stoq_tls_no_passphrase(char *buf, int size, int rwflag, void *arg);

#endif
