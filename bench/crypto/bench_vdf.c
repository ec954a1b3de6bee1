/* The delay function beside GMP's own way to square and to raise to a power: how far a plain implementation is behind
 * ours, and what checking costs. Usage: bench_vdf [DIR [STEPS]]; DIR is not used. */
#include <gmp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto.h"

#define BENCH_STEPS  200000
#define BENCH_CHECKS 500

static uint64_t now_ns(void)
{
    return hm_mono_ns(hm_clock_system());
}

static void check(int rc, const struct hm_error *error)
{
    if (rc == 0)
        return;
    (void)fprintf(stderr, "bench_vdf: %s: %s\n", hm_error_name(rc), error->text);
    exit(1);
}

/* us a squaring with mpz_mul and mpz_tdiv_r */
static double plain_squarings(const uint8_t *from, uint64_t steps, uint8_t *out)
{
    uint8_t bytes[CRYPTO_VDF_ELEMENT_BYTES];
    uint64_t started;
    mpz_t n, x, product;
    double us;

    mpz_inits(n, x, product, NULL);
    crypto_vdf_modulus(bytes);
    mpz_import(n, sizeof(bytes), 1, 1, 1, 0, bytes);
    mpz_import(x, sizeof(bytes), 1, 1, 1, 0, from);
    started = now_ns();
    for (uint64_t i = 0; i < steps; i++) {
        mpz_mul(product, x, x);
        mpz_tdiv_r(x, product, n);
    }
    us = (double)(now_ns() - started) / 1e3 / (double)steps;
    mpz_sub(product, n, x);
    if (mpz_cmp(product, x) < 0)
        mpz_swap(product, x);
    memset(out, 0, sizeof(bytes));
    mpz_export(out + sizeof(bytes) - (mpz_sizeinbase(x, 2) + 7) / 8, NULL, 1, 1, 1, 0, x);
    mpz_clears(n, x, product, NULL);
    return us;
}

int main(int argc, char **argv)
{
    uint64_t steps = argc > 2 ? strtoull(argv[2], NULL, 10) : BENCH_STEPS;
    const uint8_t input[CRYPTO_VDF_INPUT_BYTES] = {1};
    uint8_t element[CRYPTO_VDF_ELEMENT_BYTES];
    uint8_t output[CRYPTO_VDF_ELEMENT_BYTES];
    uint8_t proof[CRYPTO_VDF_ELEMENT_BYTES];
    uint8_t plain[CRYPTO_VDF_ELEMENT_BYTES];
    struct hm_error error = {0};
    uint64_t started = now_ns();
    double eval_us, prove_us, verify_us, plain_us;

    check(crypto_vdf_eval(input, steps, NULL, NULL, output, &error), &error);
    eval_us = (double)(now_ns() - started) / 1e3;
    started = now_ns();
    check(crypto_vdf_prove(input, steps, output, NULL, NULL, proof, &error), &error);
    prove_us = (double)(now_ns() - started) / 1e3;
    started = now_ns();
    for (int i = 0; i < BENCH_CHECKS; i++)
        check(crypto_vdf_verify(input, steps, output, proof, &error), &error);
    verify_us = (double)(now_ns() - started) / 1e3 / BENCH_CHECKS;
    crypto_vdf_element(input, element);
    plain_us = plain_squarings(element, steps, plain);
    if (memcmp(plain, output, sizeof(plain)) != 0) {
        (void)fprintf(stderr, "bench_vdf: GMP's squarings give something else\n");
        return 1;
    }
    (void)printf("delay function, %" PRIu64 " steps\n", steps);
    (void)printf("%-48s %10.3f us\n", "a squaring", eval_us / (double)steps);
    (void)printf("%-48s %10.3f us   %.2f of ours\n", "a squaring with mpz_mul, mpz_tdiv_r",
                 plain_us, plain_us * (double)steps / eval_us);
    (void)printf("%-48s %10.1f ms\n", "evaluate", eval_us / 1e3);
    (void)printf("%-48s %10.1f ms   %.2f of evaluating\n", "prove", prove_us / 1e3,
                 prove_us / eval_us);
    (void)printf("%-48s %10.3f ms   1/%.0f of evaluating\n", "verify", verify_us / 1e3,
                 eval_us / verify_us);
    return 0;
}
