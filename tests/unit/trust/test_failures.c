/* Disks that refuse, memory and randomness that run out, and what is left in memory afterwards. */
#include "trust_fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SWEEP_MAX  500
#define OTHER_USER 65534

/* Root may write anywhere: there the test goes on as another user. */
static bool become_ordinary(const struct trust_fixture *fixture)
{
    if (geteuid() != 0)
        return false;
    assert_int_equal(chown(fixture->folder, OTHER_USER, OTHER_USER), 0);
    assert_int_equal(seteuid(OTHER_USER), 0);
    return true;
}

static void a_folder_that_cannot_be_written(void **state)
{
    struct trust_fixture *fixture = *state;
    bool was_root = become_ordinary(fixture);
    struct trust_session first, second, current;
    struct trust_entry entry;
    struct hm_error error = {0};

    trust_fixture_reopen(fixture, NULL);
    assert_int_equal(trust_identity_create(fixture->keystore, "user", &entry, NULL), 0);
    struct trust_identity *identity = trust_fixture_identity(fixture, "user");
    assert_int_equal(trust_session_begin(identity, 1000, &first, NULL), 0);
    assert_int_equal(trust_session_adopt(identity, NULL), 0);

    assert_int_equal(chmod(fixture->dir, 0500), 0);
    assert_int_equal(trust_identity_create(fixture->keystore, "more", &entry, &error), HM_EPERM);
    assert_false(trust_fixture_has(fixture, "more.root"));
    assert_int_equal(trust_session_begin(identity, 2000, &second, NULL), 0);
    assert_int_equal(trust_session_adopt(identity, &error), HM_EPERM);
    assert_int_equal(trust_session_current(identity, 0, 0, &current), 0);
    assert_memory_equal(current.public_key, first.public_key, sizeof(first.public_key));

    assert_int_equal(chmod(fixture->dir, 0700), 0);
    assert_int_equal(trust_session_adopt(identity, NULL), 0); /* the one begun is still there */
    assert_int_equal(trust_session_current(identity, 0, 0, &current), 0);
    assert_memory_equal(current.public_key, second.public_key, sizeof(second.public_key));

    assert_int_equal(chmod(fixture->dir, 0500), 0);
    assert_int_equal(trust_session_drop(identity, &error), HM_EPERM);
    assert_int_equal(trust_session_current(identity, 0, 0, &current), HM_ENOTFOUND);
    assert_int_equal(chmod(fixture->dir, 0700), 0);
    trust_identity_free(identity);
    if (was_root)
        assert_int_equal(seteuid(0), 0);
}

static void something_in_the_way(void **state)
{
    struct trust_fixture *fixture = *state;
    HM_AUTOFREE char *way = trust_fixture_path(fixture, "user.root.tmp");
    HM_AUTOFREE char *inside = trust_fixture_path(fixture, "user.root.tmp/x");
    HM_AUTOFREE char *session = trust_fixture_path(fixture, "user.session");
    struct trust_keystore *keystore = NULL;
    struct trust_session made, current;
    struct trust_entry entry;

    assert_int_equal(mkdir(way, 0700), 0);
    assert_int_equal(mkdir(inside, 0700), 0);
    assert_int_not_equal(trust_identity_create(fixture->keystore, "user", &entry, NULL), 0);
    assert_false(trust_fixture_has(fixture, "user.root"));
    assert_int_equal(hm_remove_tree(way, NULL), 0);
    assert_int_equal(trust_identity_create(fixture->keystore, "user", &entry, NULL), 0);

    struct trust_identity *identity = trust_fixture_identity(fixture, "user");
    assert_int_equal(mkdir(session, 0700), 0);
    assert_int_equal(trust_session_begin(identity, 1000, &made, NULL), 0);
    assert_int_equal(trust_session_adopt(identity, NULL), HM_EIO);
    assert_int_equal(trust_session_current(identity, 0, 0, &current), HM_ENOTFOUND);
    trust_identity_free(identity);
    trust_identity_free(trust_fixture_identity(fixture, "user")); /* a folder is no session */

    HM_AUTOFREE char *file = hm_asprintf("%s/file", fixture->folder);
    assert_int_equal(hm_file_replace(file, "", 0, 0600, NULL), 0);
    assert_int_equal(trust_keystore_open(file, NULL, hm_random_system(), &keystore, NULL),
                     HM_EEXIST);
    assert_null(keystore);
}

/* --- randomness -------------------------------------------------------------------------------------- */

/* Recognisable bytes; `left` calls succeed. */
struct known_random {
    unsigned calls;
    unsigned left;
};

static void known_bytes(unsigned call, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(call * 37 + i * 11 + (i >> 2) * 5 + 0xa5);
}

static int known_fill(void *ctx, void *out, size_t len)
{
    struct known_random *known = ctx;

    if (known->left == 0)
        return HM_EIO;
    known->left--;
    known_bytes(known->calls++, out, len);
    return 0;
}

static void no_random_bytes(void **state)
{
    struct trust_fixture *fixture = *state;
    struct known_random known = {0};
    const struct hm_random random = {known_fill, &known};
    HM_AUTOFREE char *sealed_dir = hm_asprintf("%s/sealed", fixture->folder);
    struct trust_keystore *keystore = NULL;
    struct trust_session made;
    struct trust_entry entry;

    for (known.left = 0; known.left < 2; known.left++) { /* no salt; no nonce for the check */
        unsigned left = known.left;

        assert_int_equal(
            trust_keystore_open(sealed_dir, TRUST_TEST_PASSPHRASE, &random, &keystore, NULL),
            HM_EIO);
        known.left = left;
    }
    assert_null(keystore);

    assert_int_equal(trust_keystore_open(fixture->dir, NULL, &random, &keystore, NULL), 0);
    for (unsigned left = 0; left < 2; left++) { /* neither seed, one seed */
        known.left = left;
        assert_int_equal(trust_identity_create(keystore, "user", &entry, NULL), HM_EIO);
        assert_false(trust_fixture_has(fixture, "user.root"));
    }
    known.left = 2;
    assert_int_equal(trust_identity_create(keystore, "user", &entry, NULL), 0);
    struct trust_identity *identity;
    assert_int_equal(trust_identity_open(keystore, "user", &identity, NULL), 0);
    assert_int_equal(trust_session_begin(identity, 1, &made, NULL), HM_EIO);
    assert_int_equal(trust_session_adopt(identity, NULL), HM_EINVAL);
    trust_identity_free(identity);
    trust_keystore_close(keystore);
}

/* --- memory runs out ---------------------------------------------------------------------------------- */

typedef int (*sweep_step)(struct trust_fixture *fixture, unsigned long nth);

/* Fails the 1st, 2nd ... allocation of a step until it gets through without meeting the end. */
static void sweep(struct trust_fixture *fixture, sweep_step step)
{
    for (unsigned long nth = 1; nth < SWEEP_MAX; nth++) {
        int rc = step(fixture, nth);

        if (rc == 0) {
            assert_true(nth > 1);
            return;
        }
        if (rc != HM_ENOMEM)
            fail_msg("allocation %lu failed: %s", nth, hm_error_name(rc));
    }
    fail_msg("more than %d allocations", SWEEP_MAX);
}

static int step_open_keystore(struct trust_fixture *fixture, unsigned long nth)
{
    const char *passphrase = trust_keystore_sealed(fixture->keystore) ? TRUST_TEST_PASSPHRASE
                                                                      : NULL;
    struct trust_keystore *keystore = NULL;

    trust_fixture_close(fixture);
    hm_alloc_fail_at(nth);
    int rc = trust_keystore_open(fixture->dir, passphrase, hm_random_system(), &keystore, NULL);
    hm_alloc_fail_at(0);
    assert_true((rc == 0) == (keystore != NULL));
    trust_keystore_close(keystore);
    trust_fixture_reopen(fixture, passphrase); /* nothing holds the folder */
    return rc;
}

static int step_create(struct trust_fixture *fixture, unsigned long nth)
{
    struct trust_entry entry;

    hm_alloc_fail_at(nth);
    int rc = trust_identity_create(fixture->keystore, "swept", &entry, NULL);
    hm_alloc_fail_at(0);
    assert_true((rc == 0) == trust_fixture_has(fixture, "swept.root"));
    return rc;
}

static int step_list(struct trust_fixture *fixture, unsigned long nth)
{
    struct trust_entry *entries = NULL;
    size_t count;

    hm_alloc_fail_at(nth);
    int rc = trust_keystore_list(fixture->keystore, &entries, &count, NULL);
    hm_alloc_fail_at(0);
    hm_free(entries);
    return rc;
}

static int step_adopt(struct trust_fixture *fixture, unsigned long nth)
{
    struct trust_identity *identity = trust_fixture_identity(fixture, "swept");
    struct trust_session made, current;

    assert_int_equal(trust_session_begin(identity, 1000 + nth, &made, NULL), 0);
    hm_alloc_fail_at(nth);
    int rc = trust_session_adopt(identity, NULL);
    hm_alloc_fail_at(0);
    assert_int_equal(trust_session_current(identity, 0, 0, &current), rc == 0 ? 0 : HM_ENOTFOUND);
    if (rc != 0) /* written and not synced: the caller was told no, so it starts without */
        assert_int_equal(trust_session_drop(identity, NULL), 0);
    trust_identity_free(identity);
    return rc;
}

static int step_open_identity(struct trust_fixture *fixture, unsigned long nth)
{
    struct trust_identity *identity = NULL;

    hm_alloc_fail_at(nth);
    int rc = trust_identity_open(fixture->keystore, "swept", &identity, NULL);
    hm_alloc_fail_at(0);
    assert_true((rc == 0) == (identity != NULL));
    trust_identity_free(identity);
    return rc;
}

static int step_sign(struct trust_fixture *fixture, unsigned long nth)
{
    struct trust_identity *identity = trust_fixture_identity(fixture, "swept");
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__RootAuth auth = HYPERMESH__ROOT_AUTH__INIT;
    static const uint8_t digest[CRYPTO_HASH_BYTES];

    hm_arena_init(&arena, 0);
    hm_alloc_fail_at(nth);
    int rc = trust_identity_sign_root(identity, digest, &arena, &auth, NULL);
    hm_alloc_fail_at(0);
    trust_identity_free(identity);
    return rc;
}

static void memory_runs_out(void **state)
{
    struct trust_fixture *fixture = *state;

    sweep(fixture, step_open_keystore);
    sweep(fixture, step_create);
    sweep(fixture, step_list);
    sweep(fixture, step_adopt);
    sweep(fixture, step_open_identity);
    sweep(fixture, step_sign);
}

/* --- what stays in memory -------------------------------------------------------------------------------- */

#define MAPPING_MAX_BYTES ((uint64_t)512 << 20)
#define SCAN_STEP_BYTES   ((size_t)1 << 16)

/* Looks for the needle in the anonymous writable memory of this process, its stack apart. free() keeps notes
 * of its own in the first 16 bytes of what it is given, so the needle is the later half of a seed. */
static size_t count_in_memory(const uint8_t needle[16])
{
    /* The window itself must not be found: it lies on the stack. */
    uint8_t window[SCAN_STEP_BYTES + 16];
    FILE *maps = fopen("/proc/self/maps", "r");
    FILE *memory = fopen("/proc/self/mem", "r");
    char line[512];
    size_t found = 0;

    assert_non_null(maps);
    assert_non_null(memory);
    while (fgets(line, sizeof(line), maps) != NULL) {
        uint64_t start, end, inode;

        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " rw-p %*x %*s %" SCNu64, &start, &end, &inode) !=
                3 ||
            inode != 0 || strstr(line, "[stack]") != NULL || end - start > MAPPING_MAX_BYTES)
            continue;
        for (uint64_t at = start; at < end; at += SCAN_STEP_BYTES) {
            size_t want = end - at < sizeof(window) ? (size_t)(end - at) : sizeof(window);
            ssize_t got = pread(fileno(memory), window, want, (off_t)at);

            for (size_t i = 0; got >= 16 && i + 16 <= (size_t)got && i < SCAN_STEP_BYTES; i++)
                found += window[i] == needle[0] && memcmp(window + i, needle, 16) == 0;
        }
    }
    hm_wipe(window, sizeof(window));
    (void)fclose(memory);
    (void)fclose(maps);
    return found;
}

static void seeds_are_wiped(void **state)
{
    struct trust_fixture *fixture = *state;
    struct known_random known = {.left = 100};
    const struct hm_random random = {known_fill, &known};
    struct trust_keystore *keystore;
    struct trust_identity *identity;
    struct trust_entry *entries;
    struct trust_session made;
    struct trust_entry entry;
    uint8_t seed[CRYPTO_SEED_BYTES];
    size_t count;

    (void)mallopt(M_PERTURB,
                  0); /* where the environment has free() overwrite, it would hide a leak */
    trust_fixture_close(fixture);
    assert_int_equal(trust_keystore_open(fixture->dir, NULL, &random, &keystore, NULL), 0);
    assert_int_equal(trust_identity_create(keystore, "user", &entry, NULL), 0);
    assert_int_equal(trust_identity_open(keystore, "user", &identity, NULL), 0);
    assert_int_equal(trust_session_begin(identity, 1000, &made, NULL), 0);
    assert_int_equal(trust_session_adopt(identity, NULL), 0);
    known_bytes(2, seed, sizeof(seed)); /* calls 0 and 1 made the root key, 2 the session */
    if (count_in_memory(seed + 16) == 0) {
        print_message("the scan does not see this build's heap\n");
        skip();
    }
    assert_int_equal(trust_keystore_list(keystore, &entries, &count, NULL), 0);
    hm_free(entries);
    trust_identity_free(identity);
    assert_int_equal(trust_identity_open(keystore, "user", &identity, NULL), 0);
    trust_identity_free(identity);
    trust_keystore_close(keystore);

    /* A damaged file's secret too. */
    trust_fixture_reopen(fixture, NULL);
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    trust_fixture_read(fixture, "user.root", &bytes);
    trust_fixture_write(fixture, "user.root", bytes.data, bytes.len - 1);
    hm_wipe(bytes.data, bytes.cap);
    assert_int_not_equal(trust_identity_open(fixture->keystore, "user", &identity, NULL), 0);
    for (unsigned call = 0; call < 3; call++) {
        known_bytes(call, seed, sizeof(seed));
        assert_int_equal(count_in_memory(seed + 16), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_written, trust_fixture_new,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(something_in_the_way, trust_fixture_open,
                                        trust_fixture_free),
        cmocka_unit_test_setup_teardown(no_random_bytes, trust_fixture_new, trust_fixture_free),
        cmocka_unit_test_setup_teardown(memory_runs_out, trust_fixture_open, trust_fixture_free),
        {"memory_runs_out (sealed)", memory_runs_out, trust_fixture_sealed, trust_fixture_free,
         NULL},
        cmocka_unit_test_setup_teardown(seeds_are_wiped, trust_fixture_open, trust_fixture_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
