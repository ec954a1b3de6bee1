/* The known-file attack (after eprint 2025/558 and 2025/532), tried against both chunkers.
 *
 * The attacker had one file of his stored in the volume, of two byte values a and b (a bitmap, say), and saw the lengths of its chunks.
 * Later he sees lengths again and wants to know: is that file A or file B, both known to him? All of a volume is cut under one key.
 *   Against gear: with B(e) the 64 newest bytes as bits (b is 1, the newest byte the lowest bit), the state at e is
 * B(e) d - u modulo 2^64, d = G[b] - G[a], u = G[a]: the weights 1 + 2 + 4 + ... make -1. A cut says that it is under the
 * threshold: a hidden number problem in d. Some ten cuts make a lattice whose reduction (Lenstra, Lenstra, Lovasz 1982) shows d;
 * u follows; then every cut of every such file can be foretold.
 *   Against the keyed chunker the same attacker solves the same equations, and may guess where they have no solution. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "chunk/packetfs_chunk.h"

static const struct packetfs_chunk_limits LIMITS = {256, 1024, 4096};
#define TURN      841u /* where gear's first threshold ends: public, follows from the limits */
#define THRESHOLD (UINT64_MAX / 1024 / 4)
#define KNOWN     ((size_t)300000)
#define CANDIDATE ((size_t)60000)
#define EQUATIONS 12
#define SIZE      (EQUATIONS + 1)
#define CUTS_MAX  2000
#define TRIALS    40

__extension__ typedef __int128 wide;

static uint64_t mixed(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void two_values(uint8_t *data, size_t len, uint64_t *seed)
{
    for (size_t i = 0; i < len; i++)
        data[i] = (mixed(seed) >> 40 & 1) != 0 ? 'b' : 'a';
}

static size_t cut(const struct packetfs_cutter *cutter, const uint8_t *data, size_t len,
                  size_t *ends)
{
    size_t count = 0;

    for (size_t at = 0; at < len && count < CUTS_MAX; ends[count++] = at)
        at += packetfs_cutter_next(cutter, data + at, len - at, true);
    return count;
}

/* --- reduction of a lattice: Gram-Schmidt in floating point, made anew each step; small enough for that --------------- */
struct lattice {
    wide row[SIZE][SIZE];
};

static long double product(const long double *a, const long double *b)
{
    long double sum = 0;

    for (size_t i = 0; i < SIZE; i++)
        sum += a[i] * b[i];
    return sum;
}

static void orthogonal(const struct lattice *l, long double mu[SIZE][SIZE], long double norm[SIZE])
{
    long double star[SIZE][SIZE];

    for (size_t i = 0; i < SIZE; i++) {
        long double row[SIZE];

        for (size_t k = 0; k < SIZE; k++)
            row[k] = star[i][k] = (long double)l->row[i][k];
        for (size_t j = 0; j < i; j++) {
            mu[i][j] = norm[j] > 0 ? product(row, star[j]) / norm[j] : 0;
            for (size_t k = 0; k < SIZE; k++)
                star[i][k] -= mu[i][j] * star[j][k];
        }
        norm[i] = product(star[i], star[i]);
    }
}

static void reduce(struct lattice *l)
{
    long double mu[SIZE][SIZE] = {{0}}, norm[SIZE];
    size_t k = 1;

    for (unsigned step = 0; k < SIZE && step < 20000; step++) {
        for (int pass = 0; pass < 2; pass++) { /* the first's rounding is the second's work */
            orthogonal(l, mu, norm);
            for (size_t j = k; j-- > 0;) {
                long double q = roundl(mu[k][j]);

                for (size_t i = 0; i < SIZE && q != 0; i++)
                    l->row[k][i] -= (wide)q * l->row[j][i];
                for (size_t i = 0; i < j; i++)
                    mu[k][i] -= q * mu[j][i];
            }
        }
        orthogonal(l, mu, norm);
        if (norm[k] >= (0.99L - mu[k][k - 1] * mu[k][k - 1]) * norm[k - 1]) {
            k++;
            continue;
        }
        for (size_t i = 0; i < SIZE; i++) {
            wide t = l->row[k][i];

            l->row[k][i] = l->row[k - 1][i];
            l->row[k - 1][i] = t;
        }
        k = k > 1 ? k - 1 : 1;
    }
}

/* --- the attacker -------------------------------------------------------------------------------------------------------- */
struct learned {
    bool some;
    uint64_t d, u;
};

static uint64_t window(const uint8_t *data, size_t end)
{
    uint64_t bits = 0;

    for (size_t i = end - 64; i < end; i++)
        bits = bits << 1 | (data[i] == 'b');
    return bits;
}

/* Do all values lie in a stretch of the threshold's length? Then u is where the stretch begins, as near as can be said. */
static bool fits(uint64_t d, const uint64_t *windows, size_t count, uint64_t *u)
{
    int64_t low = 0, high = 0;

    for (size_t i = 1; i < count; i++) {
        int64_t off = (int64_t)(windows[i] * d - windows[0] * d);

        low = off < low ? off : low;
        high = off > high ? off : high;
    }
    if (d == 0 || (uint64_t)high - (uint64_t)low >= THRESHOLD)
        return false;
    *u = windows[0] * d + (uint64_t)low - (THRESHOLD - ((uint64_t)high - (uint64_t)low)) / 2;
    return true;
}

static struct learned learn(const uint8_t *data, const size_t *ends, size_t count)
{
    uint64_t windows[CUTS_MAX];
    struct learned out = {false, 0, 0};
    struct lattice l = {{{0}}};
    size_t n = 0;

    for (size_t i = 0, at = 0; i + 1 < count; at = ends[i++])
        if (ends[i] - at <= TURN && ends[i] - at > LIMITS.min_bytes)
            windows[n++] = window(data, ends[i]);
    if (n < SIZE)
        return out;
    /* Weights make all coordinates of the wanted vector about 2^64. */
    for (size_t i = 0; i < EQUATIONS; i++) {
        l.row[i][i] = (wide)1 << 76;
        l.row[EQUATIONS][i] = (wide)(windows[i + 1] - windows[0]) << 12;
    }
    l.row[EQUATIONS][EQUATIONS] = 1;
    reduce(&l);
    for (size_t i = 0; i < SIZE && !out.some; i++)
        for (size_t j = 0; j <= i && !out.some; j++)
            for (int sign = -1; sign <= 1 && !out.some; sign++) {
                uint64_t d = (uint64_t)(l.row[i][EQUATIONS] + sign * l.row[j][EQUATIONS]);

                for (int turned = 0; turned < 2 && !out.some; turned++, d = 0 - d)
                    if (fits(d, windows, n, &out.u))
                        out = (struct learned){true, d, out.u};
            }
    return out;
}

/* How many of the cuts that were seen stand where they would in this file. */
static size_t likeness(const struct learned *learned, const uint8_t *data, const size_t *ends,
                       size_t count)
{
    size_t at = 0, same = 0;

    for (size_t i = 0; i + 1 < count; at = ends[i++]) {
        size_t len = ends[i] - at;
        uint64_t value = window(data, ends[i]) * learned->d - learned->u;

        same += len < LIMITS.max_bytes && value < (len <= TURN ? THRESHOLD : THRESHOLD * 16);
    }
    return same;
}

static unsigned right_answers(enum packetfs_chunker kind, unsigned *solved)
{
    static uint8_t known[KNOWN], file[2][CANDIDATE];
    static size_t ends[CUTS_MAX];
    uint64_t seed = 2025558;
    unsigned right = 0;

    for (unsigned trial = 0; trial < TRIALS; trial++) {
        struct packetfs_cutter *cutter = NULL;
        struct learned learned;
        uint8_t key[PACKETFS_CHUNK_KEY_BYTES];
        size_t count, like[2];
        unsigned secret, guess;

        for (size_t i = 0; i < sizeof(key); i++)
            key[i] = (uint8_t)mixed(&seed);
        two_values(known, sizeof(known), &seed);
        two_values(file[0], CANDIDATE, &seed);
        two_values(file[1], CANDIDATE, &seed);
        assert_int_equal(packetfs_cutter_new(kind, key, &LIMITS, &cutter, NULL), 0);
        count = cut(cutter, known, sizeof(known), ends);
        learned = learn(known, ends, count);
        *solved += learned.some;
        secret = (unsigned)(mixed(&seed) >> 33 & 1);
        count = cut(cutter, file[secret], CANDIDATE, ends);
        like[0] = learned.some ? likeness(&learned, file[0], ends, count) : 0;
        like[1] = learned.some ? likeness(&learned, file[1], ends, count) : 0;
        guess = like[0] == like[1] ? (unsigned)(mixed(&seed) >> 35 & 1) : like[1] > like[0];
        right += guess == secret;
        packetfs_cutter_free(cutter);
    }
    return right;
}

static void gear_falls(void **state)
{
    unsigned solved = 0, right = right_answers(PACKETFS_CHUNKER_FAST, &solved);

    (void)state;
    print_message(
        "fast:  key material found in %u of %u volumes; told file A from B in %u (%u %%)\n", solved,
        TRIALS, right, right * 100 / TRIALS);
    /* Not a wish but a fact that the documents state. Should it fail, they are wrong. */
    assert_true(right * 10 >= TRIALS * 9);
}

static void keyed_stands(void **state)
{
    unsigned solved = 0, right = right_answers(PACKETFS_CHUNKER_KEYED, &solved);

    (void)state;
    print_message(
        "keyed: key material found in %u of %u volumes; told file A from B in %u (%u %%)\n", solved,
        TRIALS, right, right * 100 / TRIALS);
    assert_int_equal(solved, 0);
    /* Guessing: 20 of 40, and by chance outside of 9..31 once in 2,000 keys. */
    assert_true(right >= 9 && right <= 31);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gear_falls),
        cmocka_unit_test(keyed_stands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
