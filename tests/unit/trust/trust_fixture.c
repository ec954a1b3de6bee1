#include "trust_fixture.h"

#include <stdlib.h>
#include <unistd.h>

int trust_fixture_new(void **state)
{
    const char *base = getenv("TMPDIR");
    struct trust_fixture *fixture = hm_calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    fixture->folder = hm_asprintf("%s/trust-test-XXXXXX", base ? base : "/tmp");
    assert_non_null(fixture->folder);
    assert_non_null(mkdtemp(fixture->folder));
    fixture->dir = hm_asprintf("%s/keys", fixture->folder);
    assert_non_null(fixture->dir);
    *state = fixture;
    return 0;
}

static int fixture_with(void **state, const char *passphrase)
{
    if (trust_fixture_new(state) != 0)
        return -1;
    trust_fixture_reopen(*state, passphrase);
    return 0;
}

int trust_fixture_open(void **state)
{
    return fixture_with(state, NULL);
}

int trust_fixture_sealed(void **state)
{
    return fixture_with(state, TRUST_TEST_PASSPHRASE);
}

int trust_fixture_free(void **state)
{
    struct trust_fixture *fixture = *state;

    trust_keystore_close(fixture->keystore);
    assert_int_equal(hm_remove_tree(fixture->folder, NULL), 0);
    hm_free(fixture->dir);
    hm_free(fixture->folder);
    hm_free(fixture);
    return 0;
}

void trust_fixture_close(struct trust_fixture *fixture)
{
    trust_keystore_close(fixture->keystore);
    fixture->keystore = NULL;
}

void trust_fixture_reopen(struct trust_fixture *fixture, const char *passphrase)
{
    struct hm_error error = {0};

    trust_fixture_close(fixture);
    if (trust_keystore_open(fixture->dir, passphrase, hm_random_system(), &fixture->keystore,
                            &error) != 0)
        fail_msg("keystore: %s", error.text);
}

char *trust_fixture_path(const struct trust_fixture *fixture, const char *file)
{
    char *path = hm_asprintf("%s/%s", fixture->dir, file);

    assert_non_null(path);
    return path;
}

void trust_fixture_read(const struct trust_fixture *fixture, const char *file, struct hm_buf *out)
{
    HM_AUTOFREE char *path = trust_fixture_path(fixture, file);

    assert_int_equal(hm_file_read(path, TRUST_FILE_MAX_BYTES, out, NULL), 0);
}

void trust_fixture_write(const struct trust_fixture *fixture, const char *file, const void *data,
                         size_t len)
{
    HM_AUTOFREE char *path = trust_fixture_path(fixture, file);

    assert_int_equal(hm_file_replace(path, data, len, 0600, NULL), 0);
}

bool trust_fixture_has(const struct trust_fixture *fixture, const char *file)
{
    HM_AUTOFREE char *path = trust_fixture_path(fixture, file);

    return access(path, F_OK) == 0;
}

struct trust_identity *trust_fixture_identity(const struct trust_fixture *fixture, const char *name)
{
    struct trust_identity *identity = NULL;
    struct hm_error error = {0};

    if (trust_identity_open(fixture->keystore, name, &identity, &error) != 0)
        fail_msg("%s: %s", name, error.text);
    return identity;
}
