/* What the tests of trust share: a folder of their own, a keystore in it, and changes to its files. */
#ifndef HM_TRUST_FIXTURE_H
#define HM_TRUST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "trust_identity.h"

#define TRUST_TEST_PASSPHRASE "correct horse battery staple"

struct trust_fixture {
    char *folder; /* temporary; the keystore is folder/keys */
    char *dir;
    struct trust_keystore *keystore;
};

int trust_fixture_new(void **state); /* nothing opened yet */
int trust_fixture_open(void **state); /* keystore without a seal */
int trust_fixture_sealed(void **state); /* under TRUST_TEST_PASSPHRASE */
int trust_fixture_free(void **state);

void trust_fixture_close(struct trust_fixture *fixture); /* a folder can be open once only */
void trust_fixture_reopen(struct trust_fixture *fixture, const char *passphrase);

/* Path of a file in the keystore; free with hm_free. */
char *trust_fixture_path(const struct trust_fixture *fixture, const char *file);
void trust_fixture_read(const struct trust_fixture *fixture, const char *file, struct hm_buf *out);
void trust_fixture_write(const struct trust_fixture *fixture, const char *file, const void *data,
                         size_t len);
bool trust_fixture_has(const struct trust_fixture *fixture, const char *file);

struct trust_identity *trust_fixture_identity(const struct trust_fixture *fixture,
                                              const char *name);

#endif
