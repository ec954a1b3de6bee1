#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "crypto.h"

static void *use_everything(void *argument)
{
    struct crypto_root_key *key = NULL;
    struct crypto_root_public public_key;
    struct crypto_root_signature signature;
    uint8_t seed[32];
    uint8_t hash[32];
    int *result = argument;

    memset(seed, 9, 32);
    crypto_hash_parts("hypermesh 1 test", NULL, 0, hash);
    *result = crypto_setup(NULL);
    if (*result == 0)
        *result = crypto_root_key_new(seed, hash, &key, NULL);
    if (*result != 0)
        return NULL;
    crypto_root_key_public(key, &public_key);
    *result = crypto_root_sign(key, hash, 32, &signature, NULL);
    if (*result == 0)
        *result = crypto_root_verify(&public_key, hash, 32, &signature, NULL);
    crypto_root_key_free(key);
    return NULL;
}

/* Nobody called crypto_setup before: the threads race for it. */
static void test_threads_race_for_setup(void **state)
{
    pthread_t threads[4];
    int results[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_everything, &results[i]), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(results[i], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads_race_for_setup)};

    return cmocka_run_group_tests_name("crypto_setup", tests, NULL, NULL);
}
