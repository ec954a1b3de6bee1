/* What each of the four proofs costs its maker and its checker, beside the one Ed25519 verification that
 * no transaction can do without. Usage: bench_proof [FOLDER] (for a 64 MiB plot; default /tmp). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base.h"
#include "crypto.h"
#include "proof.h"
#include "proof_plot_open.h"
#include "wire.h"

#define BENCH_ROUNDS   2000
#define BENCH_SOLVES   400
#define BENCH_BITS     9
#define BENCH_OPENINGS 8
#define BENCH_COMMITS  64

static uint64_t now_ns(void)
{
    return hm_mono_ns(hm_clock_system());
}

static void check(int rc, const struct hm_error *error)
{
    if (rc == 0)
        return;
    (void)fprintf(stderr, "bench_proof: %s: %s\n", hm_error_name(rc), error->text);
    exit(1);
}

static double line(const char *what, uint64_t started, uint64_t rounds, double signature_us)
{
    double us = (double)(now_ns() - started) / 1e3 / (double)rounds;

    (void)printf("%-58s %12.2f us", what, us);
    if (signature_us > 0)
        (void)printf("   %6.2f signatures", us / signature_us);
    (void)printf("\n");
    return us;
}

static double bench_stake(void)
{
    struct crypto_ed25519_key key;
    uint8_t message[CRYPTO_HASH_BYTES] = {1};
    uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES];
    const uint8_t seed[CRYPTO_SEED_BYTES] = {7};
    Hypermesh__Tx tx = HYPERMESH__TX__INIT;
    Hypermesh__TxBody body = HYPERMESH__TX_BODY__INIT;
    struct hm_error error = {0};
    uint64_t started;

    crypto_ed25519_from_seed(&key, seed);
    crypto_ed25519_sign(&key, message, sizeof(message), signature);
    tx.signature = wire_bytes(signature, sizeof(signature));
    body.account = wire_bytes(message, sizeof(message));
    body.session_key = wire_bytes(key.public_key, sizeof(key.public_key));
    started = now_ns();
    for (int i = 0; i < BENCH_ROUNDS; i++)
        check(proof_signature_verify(&tx, &body, message, &error), &error);
    return line("stake: verify a session signature", started, BENCH_ROUNDS, 0);
}

static void bench_work(double signature_us)
{
    uint8_t body[CRYPTO_HASH_BYTES] = {3};
    uint8_t digest[CRYPTO_HASH_BYTES];
    uint64_t nonce = 0;
    uint64_t tries = 0;
    struct hm_error error = {0};
    uint64_t started = now_ns();

    for (uint32_t i = 0; i < BENCH_SOLVES; i++) {
        hm_put_be32(body, i);
        check(proof_work_solve(body, BENCH_BITS, &nonce, digest, &error), &error);
        tries += nonce + 1;
    }
    double us = line("work: solve at 9 bits", started, BENCH_SOLVES, signature_us);
    (void)printf("%-58s %12.2f ns (%" PRIu64 " tries a solve)\n", "work: one try",
                 us * 1e3 * BENCH_SOLVES / (double)tries, tries / BENCH_SOLVES);
    started = now_ns();
    for (int i = 0; i < BENCH_ROUNDS * 10; i++) {
        proof_tx_digest(body, nonce, digest);
        check(proof_work_verify(digest, BENCH_BITS, &error), &error);
    }
    (void)line("work: digest and verify", started, BENCH_ROUNDS * 10, signature_us);
}

static void bench_time(double signature_us)
{
    uint8_t hash[CRYPTO_HASH_BYTES] = {9};
    struct proof_time_facts facts = {
        .block_ms = 1000000,
        .window_ms = 30000,
        .anchor_height = 5,
        .anchor_claimed = hash,
        .anchor_known = hash,
        .presence_claimed = hash,
        .presence_known = hash,
    };
    struct hm_error error = {0};
    uint64_t started = now_ns();

    for (uint64_t i = 0; i < BENCH_ROUNDS * 100; i++) {
        facts.timestamp_ms = 990000 + i % 10000;
        check(proof_time_verify(&facts, &error), &error);
    }
    (void)line("time: verify", started, BENCH_ROUNDS * 100, signature_us);
}

static void bench_openings(const struct proof_plot *plot, const uint8_t *node, size_t count,
                           bool with_parents, uint64_t rounds, double signature_us)
{
    Hypermesh__PlotCommitment commitment;
    Hypermesh__PlotOpening **openings = NULL;
    uint8_t challenge[CRYPTO_HASH_BYTES] = {0};
    struct hm_arena arena;
    struct hm_error error = {0};
    char what[64];
    uint64_t started = 0;

    hm_arena_init(&arena, 0);
    proof_plot_commitment(plot, &commitment);
    /* The second time the places are known: what they were hashed for is in memory. */
    for (unsigned time = 0; time < 2; time++) {
        started = now_ns();
        for (uint64_t i = 0; i < rounds; i++) {
            hm_arena_clear(&arena);
            hm_put_be64(challenge, i);
            check(
                proof_plot_open_at(plot, challenge, count, with_parents, &arena, &openings, &error),
                &error);
        }
        (void)snprintf(what, sizeof(what), "space: make %zu openings%s%s", count,
                       with_parents ? " with parents" : "", time > 0 ? ", places seen before" : "");
        (void)line(what, started, rounds, signature_us);
    }
    started = now_ns();
    for (uint64_t i = 0; i < rounds; i++)
        check(proof_space_verify(node, &commitment, challenge, openings, count, count, with_parents,
                                 &error),
              &error);
    (void)snprintf(what, sizeof(what), "space: verify %zu openings%s", count,
                   with_parents ? " with parents" : "");
    (void)line(what, started, rounds, signature_us);
    hm_arena_release(&arena);
}

/* A plot kept in memory as far as memory_max_bytes allow. */
static void bench_reading(const char *path, const uint8_t *node, uint64_t memory_max_bytes,
                          const char *how, double signature_us)
{
    struct proof_plot *plot = NULL;
    struct hm_error error = {0};
    char what[64];

    uint64_t started = now_ns();
    check(plot_open_limited(path, node, memory_max_bytes, &plot, &error), &error);
    (void)snprintf(what, sizeof(what), "space: open the plot's file, %s", how);
    (void)line(what, started, 1, 0);
    bench_openings(plot, node, BENCH_OPENINGS, false, BENCH_ROUNDS, signature_us);
    bench_openings(plot, node, BENCH_COMMITS, false, BENCH_ROUNDS / 10, signature_us);
    bench_openings(plot, node, BENCH_COMMITS, true, BENCH_ROUNDS / 20, signature_us);
    proof_plot_close(plot);
}

static void bench_space(const char *folder, double signature_us)
{
    const uint8_t node[CRYPTO_HASH_BYTES] = {5};
    const uint64_t labels = PROOF_SEGMENT_LABELS_DEFAULT;
    struct hm_error error = {0};
    HM_AUTOFREE char *path = hm_asprintf("%s/bench-proof-%d.plot", folder, (int)getpid());

    check(path == NULL ? HM_ENOMEM : 0, &error);
    uint64_t started = now_ns();
    check(proof_plot_create(path, node, labels, labels, NULL, NULL, &error), &error);
    double us = line("space: build a plot of 64 MiB", started, 1, 0);
    (void)printf("%-58s %12.2f MiB/s\n", "space: building", 64e6 / us);
    bench_reading(path, node, PLOT_MEMORY_MAX_BYTES, "as it is", signature_us);
    bench_reading(path, node, PLOT_MEMORY_MAX_BYTES / 4, "as one over 128 MiB", signature_us);
    bench_reading(path, node, 0, "as one over 512 MiB", signature_us);
    (void)unlink(path);
}

int main(int argc, char **argv)
{
    struct hm_error error = {0};

    check(crypto_setup(&error), &error);
    double signature_us = bench_stake();
    bench_work(signature_us);
    bench_time(signature_us);
    bench_space(argc > 1 ? argv[1] : "/tmp", signature_us);
    return 0;
}
