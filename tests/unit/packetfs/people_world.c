#include "people_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

struct packetfs_identity *identity_of(uint8_t number, const char *name)
{
    uint8_t secret[CRYPTO_KEY_BYTES];
    struct packetfs_identity *identity = NULL;

    memset(secret, number, sizeof(secret));
    assert_int_equal(packetfs_identity_make(secret, name, &identity, NULL), 0);
    return identity;
}
