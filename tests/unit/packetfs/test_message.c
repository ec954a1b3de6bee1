#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/packetfs_message.h"
#include "people_world.h"

/* --- identities --- */

static void test_public_part(void **state)
{
    struct packetfs_identity *ada = identity_of(1, "Ada Lovelace ✓"), *bob = identity_of(2, "");
    struct packetfs_contact *parsed = NULL, *other = NULL;
    struct packetfs_error error;
    HM_AUTOFREE char *text = NULL;
    char letter[9000];
    (void)state;

    assert_int_equal(packetfs_contact_print(&ada->contact, &text, NULL), 0);
    (void)snprintf(letter, sizeof(letter), "Dear Bob,\nhere I am:\r\n%s\nYours", text);
    assert_int_equal(packetfs_contact_parse(
                         (struct packetfs_bytes){(uint8_t *)letter, strlen(letter)}, &parsed, NULL),
                     0);
    assert_string_equal(packetfs_contact_name(parsed), "Ada Lovelace ✓");
    assert_string_equal(packetfs_contact_id(parsed), ada->contact.id_text);
    assert_int_equal(strlen(packetfs_contact_id(parsed)), PACKETFS_CONTACT_ID_CHARS);
    assert_int_equal(strncmp(packetfs_contact_id(parsed), "pfi1", 4), 0);
    assert_string_not_equal(ada->contact.id_text, bob->contact.id_text);
    assert_memory_equal(&parsed->seal, &ada->contact.seal, sizeof(parsed->seal));
    assert_memory_equal(&parsed->sign, &ada->contact.sign, sizeof(parsed->sign));
    packetfs_contact_close(parsed);
    /* One letter changed, a line lost, cut short. */
    size_t len = strlen(text);
    for (size_t i = 40; i < len - 40; i += 97) {
        char kept = text[i];
        text[i] = kept == 'A' ? 'B' : 'A';
        if (kept != '\n')
            assert_int_equal(packetfs_contact_parse((struct packetfs_bytes){(uint8_t *)text, len},
                                                    &other, &error),
                             PACKETFS_EPARSE);
        text[i] = kept;
        assert_int_equal(
            packetfs_contact_parse((struct packetfs_bytes){(uint8_t *)text, i}, &other, &error),
            PACKETFS_EPARSE);
    }
    assert_null(other);
    packetfs_identity_close(ada);
    packetfs_identity_close(bob);
}

static void test_names(void **state)
{
    const uint8_t secret[CRYPTO_KEY_BYTES] = {1};
    struct packetfs_identity *identity = NULL;
    struct hm_error error;
    char name[66];
    (void)state;

    memset(name, 'n', sizeof(name));
    name[65] = 0;
    assert_int_equal(packetfs_identity_make(secret, name, &identity, &error), HM_EINVAL);
    assert_int_equal(packetfs_identity_make(secret, "two\nlines", &identity, &error), HM_EINVAL);
    assert_int_equal(packetfs_identity_make(secret, "\xff", &identity, &error), HM_EINVAL);
    assert_int_equal(packetfs_identity_make(secret,
                                            "\xc2\x9b"
                                            "2J",
                                            &identity, &error),
                     HM_EINVAL);
    assert_int_equal(packetfs_identity_make(secret,
                                            "\xe2\x80\xae"
                                            "adA",
                                            &identity, &error),
                     HM_EINVAL);
    name[64] = 0;
    assert_int_equal(packetfs_identity_make(secret, name, &identity, &error), 0);
    packetfs_identity_close(identity);
}

static void test_files(void **state)
{
    char dir[] = "/tmp/hm-identity-XXXXXX", path[64], public_path[64];
    struct packetfs_identity *identity = NULL, *again = NULL;
    struct packetfs_error error;
    struct stat st;
    (void)state;

    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/me", dir);
    (void)snprintf(public_path, sizeof(public_path), "%s/me.pub", dir);
    assert_int_equal(packetfs_identity_open(path, &identity, &error), PACKETFS_ENOTFOUND);
    assert_int_equal(packetfs_identity_create(path, "bad\nname", &error), PACKETFS_EINVAL);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(hm_file_replace(public_path, "mine", 4, 0644, NULL), 0); /* somebody's file */
    assert_int_equal(packetfs_identity_create(path, "Ada", &error), PACKETFS_EEXIST);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(unlink(public_path), 0);
    assert_int_equal(packetfs_identity_create(path, "Ada", &error), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(packetfs_identity_create(path, "Ada", &error), PACKETFS_EEXIST);
    assert_int_equal(packetfs_identity_open(path, &identity, &error), 0);
    assert_string_equal(packetfs_contact_name(packetfs_identity_contact(identity)), "Ada");
    /* The public part is only where the name is kept. */
    assert_int_equal(unlink(public_path), 0);
    assert_int_equal(packetfs_identity_open(path, &again, &error), 0);
    assert_string_equal(packetfs_contact_name(packetfs_identity_contact(again)), "");
    assert_string_equal(packetfs_contact_id(packetfs_identity_contact(again)),
                        packetfs_contact_id(packetfs_identity_contact(identity)));
    packetfs_identity_close(again);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(packetfs_identity_open(path, &again, &error), PACKETFS_EPERM);
    packetfs_identity_close(identity);
    assert_int_equal(hm_remove_tree(dir, NULL), 0);
}

/* --- messages --- */

static void test_there_and_nowhere_else(void **state)
{
    struct packetfs_identity *ada = identity_of(1, "Ada"), *bob = identity_of(2, "Bob"),
                             *eve = identity_of(3, "Eve");
    const char words[] = "the key is under the mat";
    struct packetfs_message message = {0};
    struct packetfs_error error;
    uint8_t *sealed = NULL, *again = NULL;
    size_t len, again_len;
    (void)state;

    assert_int_equal(
        packetfs_message_seal(ada, &bob->contact,
                              (struct packetfs_bytes){(const uint8_t *)words, strlen(words)},
                              &sealed, &len, NULL),
        0);
    assert_int_equal(
        packetfs_message_open(bob, (struct packetfs_bytes){sealed, len}, &message, NULL), 0);
    assert_string_equal((const char *)message.content, words);
    assert_int_equal(message.content_len, strlen(words));
    assert_string_equal(message.from_name, "Ada");
    assert_string_equal(message.from_id, ada->contact.id_text);
    assert_int_equal(message.kind, PACKETFS_MESSAGE_TEXT);
    assert_true(message.time_ns > UINT64_C(1700000000000000000));
    packetfs_message_release(&message);
    assert_null(message.content);
    assert_int_equal(
        packetfs_message_open(eve, (struct packetfs_bytes){sealed, len}, &message, &error),
        PACKETFS_EAUTH);
    assert_int_equal(
        packetfs_message_open(ada, (struct packetfs_bytes){sealed, len}, &message, &error),
        PACKETFS_EAUTH);
    /* Nothing in the open says who it is from or for, and the same twice looks different. */
    assert_null(memmem(sealed, len, ada->contact.id, 32));
    assert_null(memmem(sealed, len, bob->contact.id, 32));
    assert_int_equal(
        packetfs_message_seal(ada, &bob->contact,
                              (struct packetfs_bytes){(const uint8_t *)words, strlen(words)},
                              &again, &again_len, NULL),
        0);
    assert_int_equal(len, again_len);
    assert_memory_not_equal(sealed + 8, again + 8, 1120);
    assert_memory_not_equal(sealed + 1128, again + 1128, 1000);
    packetfs_free(sealed);
    packetfs_free(again);
    packetfs_identity_close(ada);
    packetfs_identity_close(bob);
    packetfs_identity_close(eve);
}

static void test_every_byte_counts(void **state)
{
    struct packetfs_identity *ada = identity_of(1, "Ada"), *bob = identity_of(2, "Bob");
    HM_CLEANUP(hm_buf) struct hm_buf sealed = {0};
    HM_CLEANUP(hm_buf) struct hm_buf plain = {0};
    struct packetfs_message_parts parts;
    (void)state;

    assert_int_equal(packetfs_message_write(ada, &bob->contact, PACKETFS_MESSAGE_TEXT, 1,
                                            hm_slice_str("hello"), hm_random_system(), &sealed,
                                            NULL),
                     0);
    assert_int_equal(sealed.len, 16384);
    for (size_t i = 0; i < sealed.len; i += i < 1200 ? 7 : 331) {
        sealed.data[i] ^= 1;
        int rc = packetfs_message_read(bob, hm_buf_slice(&sealed), &plain, &parts, NULL);
        assert_int_equal(rc, i < 8 ? HM_EPARSE : HM_EAUTH);
        sealed.data[i] ^= 1;
    }
    for (size_t len = 0; len < sealed.len; len += 511)
        assert_int_equal(
            packetfs_message_read(bob, hm_slice_of(sealed.data, len), &plain, &parts, NULL),
            HM_EPARSE);
    assert_int_equal(hm_buf_append(&sealed, "", 1), 0);
    assert_int_equal(packetfs_message_read(bob, hm_buf_slice(&sealed), &plain, &parts, NULL),
                     HM_EPARSE);
    packetfs_identity_close(ada);
    packetfs_identity_close(bob);
}

static void test_sizes(void **state)
{
    static const struct {
        size_t content, file;
    } cases[] = {{0, 16 << 10},       {5000, 16 << 10},         {12000, 32 << 10},
                 {1000000, 1 << 20},  {(1 << 20) + 1, 2 << 20}, {(5 << 20) + 1, 6 << 20},
                 {16 << 20, 17 << 20}};
    struct packetfs_identity *ada = identity_of(1, "Ada");
    uint8_t *content = calloc(1, (16 << 20) + 1);
    (void)state;

    assert_non_null(content);
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        HM_CLEANUP(hm_buf) struct hm_buf sealed = {0};
        HM_CLEANUP(hm_buf) struct hm_buf plain = {0};
        struct packetfs_message_parts parts;
        assert_int_equal(packetfs_message_write(ada, &ada->contact, PACKETFS_MESSAGE_TEXT, 1,
                                                hm_slice_of(content, cases[i].content),
                                                hm_random_system(), &sealed, NULL),
                         0);
        assert_int_equal(sealed.len, cases[i].file);
        assert_int_equal(packetfs_message_read(ada, hm_buf_slice(&sealed), &plain, &parts, NULL),
                         0);
        assert_int_equal(parts.content.len, cases[i].content);
    }
    uint8_t *out = NULL;
    size_t len = 0;
    struct packetfs_error error;
    assert_int_equal(packetfs_message_seal(ada, &ada->contact,
                                           (struct packetfs_bytes){content, (16 << 20) + 1}, &out,
                                           &len, &error),
                     PACKETFS_ELIMIT);
    free(content);
    packetfs_identity_close(ada);
}

/* Bob opens what Ada wrote to him, and seals the inside, with her signature, to Carol: she is not deceived. */
static void test_sent_on(void **state)
{
    struct packetfs_identity *ada = identity_of(1, "Ada"), *bob = identity_of(2, "Bob"),
                             *carol = identity_of(3, "Carol");
    HM_CLEANUP(hm_buf) struct hm_buf sealed = {0};
    HM_CLEANUP(hm_buf) struct hm_buf plain = {0};
    HM_CLEANUP(hm_buf) struct hm_buf on = {0};
    struct packetfs_message_parts parts;
    struct crypto_kem_ciphertext ciphertext;
    uint8_t shared[32], key[32];
    (void)state;

    assert_int_equal(packetfs_message_write(ada, &bob->contact, PACKETFS_MESSAGE_TEXT, 1,
                                            hm_slice_str("I owe you"), hm_random_system(), &sealed,
                                            NULL),
                     0);
    assert_int_equal(packetfs_message_read(bob, hm_buf_slice(&sealed), &plain, &parts, NULL), 0);
    assert_int_equal(
        crypto_kem_seal(&carol->contact.seal, hm_random_system(), &ciphertext, shared, NULL), 0);
    crypto_derive("hypermesh packetfs 1 message seal", shared, (struct hm_slice){0}, key);
    assert_int_equal(hm_buf_append(&on, sealed.data, 8), 0);
    assert_int_equal(hm_buf_append(&on, &ciphertext, sizeof(ciphertext)), 0);
    struct hm_slice head = {on.data, on.len};
    uint8_t copy[8 + sizeof(ciphertext)];
    memcpy(copy, head.data, head.len);
    assert_int_equal(crypto_seal(key, hm_slice_of(copy, sizeof(copy)), hm_buf_slice(&plain),
                                 hm_random_system(), &on, NULL),
                     0);
    HM_CLEANUP(hm_buf) struct hm_buf opened = {0};
    struct hm_error error = {0};
    assert_int_equal(packetfs_message_read(carol, hm_buf_slice(&on), &opened, &parts, &error),
                     HM_EAUTH);
    assert_non_null(strstr(error.text, "not signed by"));
    packetfs_identity_close(ada);
    packetfs_identity_close(bob);
    packetfs_identity_close(carol);
}

static void test_memory_runs_out(void **state)
{
    struct packetfs_identity *ada = identity_of(1, "Ada");
    (void)state;

    for (unsigned long nth = 1;; nth++) {
        uint8_t *sealed = NULL;
        size_t len = 0;
        struct packetfs_message message = {0};
        hm_alloc_fail_at(nth);
        int rc = packetfs_message_seal(ada, &ada->contact,
                                       (struct packetfs_bytes){(const uint8_t *)"x", 1}, &sealed,
                                       &len, NULL);
        if (rc == 0)
            rc = packetfs_message_open(ada, (struct packetfs_bytes){sealed, len}, &message, NULL);
        hm_alloc_fail_at(0);
        packetfs_free(sealed);
        if (rc == 0) {
            packetfs_message_release(&message);
            assert_true(nth > 5);
            break;
        }
        assert_int_equal(rc, PACKETFS_ENOMEM);
    }
    packetfs_identity_close(ada);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_public_part),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_there_and_nowhere_else),
        cmocka_unit_test(test_every_byte_counts),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_sent_on),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
