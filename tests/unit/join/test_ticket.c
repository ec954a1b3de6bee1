/* Join tickets as text, and the book of those that were issued. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "join_ticket.h"

#define NOW_MS   UINT64_C(1700000000000)
#define HOUR_MS  UINT64_C(3600000)
#define DAY_MS   (24 * HOUR_MS)
#define ISSUED_N 5

typedef Hypermesh__Cluster__JoinTicket Ticket;
typedef Hypermesh__Cluster__IssuedTicket Issued;
typedef Hypermesh__Cluster__Redeem Redeem;

static struct crypto_ed25519_key member, stranger;
static const uint8_t hash[CRYPTO_HASH_BYTES] = {1, 2, 3};
static const uint8_t id[JOIN_TICKET_ID_BYTES] = {4, 5}, secret[JOIN_TICKET_SECRET_BYTES] = {6, 7};

/* --- text ----------------------------------------------------------------------------------------------- */

static Hypermesh__Cluster__JoinAddress four, six, *both[] = {&four, &six};

static Ticket example(void)
{
    static uint8_t v4[] = {192, 0, 2, 7}, v6[16] = {0xfd, [15] = 7};
    Ticket ticket = HYPERMESH__CLUSTER__JOIN_TICKET__INIT;

    hypermesh__cluster__join_address__init(&four);
    hypermesh__cluster__join_address__init(&six);
    four.ip = wire_bytes(v4, sizeof(v4));
    six.ip = wire_bytes(v6, sizeof(v6));
    four.port = 7471;
    six.port = 65535;
    ticket.chain_id = (char *)(uintptr_t) "local-12345678";
    ticket.genesis_hash = ticket.trust_hash = wire_bytes(hash, sizeof(hash));
    ticket.addresses = both;
    ticket.n_addresses = 2;
    ticket.trust_height = 42;
    ticket.id = wire_bytes(id, sizeof(id));
    ticket.secret = wire_bytes(secret, sizeof(secret));
    ticket.expires_ms = NOW_MS;
    ticket.role = HYPERMESH__CLUSTER__JOIN_ROLE__ROLE_FULL;
    return ticket;
}

static char *example_text(void)
{
    struct hm_buf text = {0};
    Ticket ticket = example();

    assert_int_equal(join_ticket_write(&ticket, &member, &text, NULL), 0);
    return (char *)(uintptr_t)hm_buf_cstr(&text);
}

static void refused(const char *text, int rc, const char *words)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct hm_error error = {0};
    Ticket *ticket = NULL;

    hm_arena_init(&arena, 0);
    assert_int_equal(join_ticket_read(text, &arena, &ticket, &error), rc);
    assert_null(ticket);
    assert_non_null(strstr(error.text, words));
}

static void test_what_is_written_is_read(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_AUTOFREE char *text = example_text();
    HM_AUTOFREE char *padded = hm_asprintf(" \t%s\r\n", text);
    Ticket wanted = example(), *got;

    (void)state;
    hm_arena_init(&arena, 0);
    assert_memory_equal(text, "hmjoin1", 7);
    assert_int_equal(join_ticket_read(padded, &arena, &got, NULL), 0);
    assert_string_equal(got->chain_id, wanted.chain_id);
    assert_int_equal(got->n_addresses, 2);
    assert_int_equal(got->addresses[1]->port, 65535);
    assert_memory_equal(got->addresses[1]->ip.data, six.ip.data, 16);
    assert_int_equal(got->trust_height, 42);
    assert_memory_equal(got->secret.data, secret, sizeof(secret));
    assert_int_equal(got->expires_ms, NOW_MS);
    assert_memory_equal(got->issuer.data, member.public_key, sizeof(member.public_key));
}

static void test_every_character_counts(void **state)
{
    HM_AUTOFREE char *text = example_text();
    size_t len = strlen(text);

    (void)state;
    for (size_t i = sizeof("hmjoin"); i < len; i++) {
        char kept = text[i];

        text[i] = kept == 'q' ? 'p' : 'q';
        refused(text, HM_EPARSE, "mistyped or cut");
        text[i] = kept;
    }
    for (size_t cut = sizeof("hmjoin1"); cut < len; cut += 7) {
        HM_AUTOFREE char *part = hm_strndup(text, cut);

        refused(part, HM_EPARSE, "mistyped or cut");
    }
}

/* With a right checksum: only the signature is between what was issued and what is read. */
static void test_every_bit_is_signed(void **state)
{
    HM_AUTOFREE char *text = example_text();
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    (void)state;
    assert_int_equal(hm_bech32_decode_long(JOIN_TICKET_PREFIX, text, &bytes, NULL), 0);
    for (size_t bit = 0; bit < 8 * bytes.len; bit++) {
        HM_CLEANUP(hm_arena) struct hm_arena arena;
        HM_CLEANUP(hm_buf) struct hm_buf changed = {0};
        struct hm_error error = {0};
        Ticket *ticket = NULL;

        hm_arena_init(&arena, 0);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(hm_bech32_encode_long(JOIN_TICKET_PREFIX, hm_buf_slice(&bytes), &changed),
                         0);
        assert_int_not_equal(join_ticket_read(hm_buf_cstr(&changed), &arena, &ticket, &error), 0);
        assert_null(ticket);
        assert_true(error.code == HM_EPARSE || error.code == HM_EAUTH ||
                    error.code == HM_EUNSUPPORTED);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void test_what_is_no_ticket(void **state)
{
    char longer[HM_BECH32_LONG_MAX_CHARS + 100];

    (void)state;
    refused("", HM_EPARSE, "begins with hmjoin1");
    refused("hm1qqqq", HM_EPARSE, "begins with hmjoin1");
    refused("hmjoin1", HM_EPARSE, "mistyped or cut");
    memset(longer, 'q', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    memcpy(longer, "hmjoin1", 7);
    refused(longer, HM_EPARSE, "longer than any");
}

static void test_of_another_version(void **state)
{
    Hypermesh__Cluster__SignedJoinTicket whole = HYPERMESH__CLUSTER__SIGNED_JOIN_TICKET__INIT;
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0}, bytes = {0}, text = {0};
    Ticket ticket = example();

    (void)state;
    ticket.version = 2;
    assert_int_equal(wire_pack(&ticket.base, &packed), 0);
    whole.ticket = wire_bytes(packed.data, packed.len);
    assert_int_equal(wire_pack(&whole.base, &bytes), 0);
    assert_int_equal(hm_bech32_encode_long(JOIN_TICKET_PREFIX, hm_buf_slice(&bytes), &text), 0);
    refused(hm_buf_cstr(&text), HM_EUNSUPPORTED, "has version 2");
}

static void test_what_cannot_be_issued(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    Ticket ticket = example();

    (void)state;
    ticket.n_addresses = 0;
    assert_int_equal(join_ticket_write(&ticket, &member, &text, NULL), HM_EINVAL);
    ticket = example();
    ticket.chain_id = (char *)(uintptr_t) "two words";
    assert_int_equal(join_ticket_write(&ticket, &member, &text, NULL), HM_EINVAL);
    ticket = example();
    ticket.secret.len--;
    assert_int_equal(join_ticket_write(&ticket, &member, &text, NULL), HM_EINVAL);
    ticket = example();
    ticket.role = HYPERMESH__CLUSTER__JOIN_ROLE__ROLE_NONE;
    assert_int_equal(join_ticket_write(&ticket, &member, &text, NULL), HM_EINVAL);
    assert_int_equal(text.len, 0);
}

static void test_addresses(void **state)
{
    static const char *const good[] = {"192.0.2.7:7471", "[fd00::7]:1", "127.0.0.1:65535"};
    static const char *const bad[] = {"",           "192.0.2.7", "192.0.2.7:0", "192.0.2.7:65536",
                                      "name:1",     "fd00::7:1", "[fd00::7]",   "[192.0.2.7]:1",
                                      "0.0.0.0:1",  "[::]:1",    ":1",          "192.0.2.7:x",
                                      "[fd00::7:1", "]:1"};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Cluster__JoinAddress address;
    struct sockaddr_in6 at;

    (void)state;
    hm_arena_init(&arena, 0);
    for (size_t i = 0; i < HM_COUNT_OF(good); i++) {
        HM_CLEANUP(hm_buf) struct hm_buf text = {0};

        assert_int_equal(join_ticket_address_parse(good[i], &arena, &address, NULL), 0);
        assert_int_equal(join_ticket_address_text(&address, &text), 0);
        assert_string_equal(hm_buf_cstr(&text), good[i]);
        assert_int_equal(join_ticket_sockaddr(&address, &at, NULL), 0);
        assert_int_equal(ntohs(at.sin6_port), address.port);
        assert_int_equal(IN6_IS_ADDR_V4MAPPED(&at.sin6_addr), good[i][0] != '[');
    }
    for (size_t i = 0; i < HM_COUNT_OF(bad); i++)
        assert_int_equal(join_ticket_address_parse(bad[i], &arena, &address, NULL), HM_EINVAL);
}

/* --- the book ------------------------------------------------------------------------------------------- */

struct book {
    char folder[64], path[96];
    struct join_tickets tickets;
    struct hm_arena arena;
};

static int setup(void **state)
{
    struct book *book = hm_calloc(1, sizeof(*book));

    memcpy(book->folder, "/tmp/hm-ticket-XXXXXX", sizeof("/tmp/hm-ticket-XXXXXX"));
    assert_non_null(mkdtemp(book->folder));
    snprintf(book->path, sizeof(book->path), "%s/tickets", book->folder);
    hm_arena_init(&book->arena, 0);
    join_tickets_init(&book->tickets, book->path);
    *state = book;
    return 0;
}

static int teardown(void **state)
{
    struct book *book = *state;

    join_tickets_release(&book->tickets);
    hm_arena_release(&book->arena);
    assert_int_equal(hm_remove_tree(book->folder, NULL), 0);
    hm_free(book);
    return 0;
}

/* As after kill -9 and a new start: nothing but the file. */
static void begin_again(struct book *book)
{
    join_tickets_release(&book->tickets);
    join_tickets_init(&book->tickets, book->path);
}

static void issue(struct book *book, uint8_t number, uint64_t expires_ms)
{
    Issued issued = HYPERMESH__CLUSTER__ISSUED_TICKET__INIT;
    uint8_t own[JOIN_TICKET_ID_BYTES] = {number}, hashed[CRYPTO_HASH_BYTES];

    crypto_hash(secret, sizeof(secret), hashed);
    issued.id = wire_bytes(own, sizeof(own));
    issued.secret_hash = wire_bytes(hashed, sizeof(hashed));
    issued.role = HYPERMESH__CLUSTER__JOIN_ROLE__ROLE_FULL;
    issued.issued_ms = NOW_MS;
    issued.expires_ms = expires_ms;
    assert_int_equal(join_tickets_add(&book->tickets, &issued, NOW_MS, NULL), 0);
}

static int redeem(struct book *book, uint8_t number, const uint8_t *shown,
                  const struct crypto_ed25519_key *by, uint64_t now_ms, struct hm_error *error)
{
    static uint8_t account[WIRE_ID_BYTES] = {9}, user[WIRE_ID_BYTES] = {10};
    Redeem request = HYPERMESH__CLUSTER__REDEEM__INIT;
    uint8_t own[JOIN_TICKET_ID_BYTES] = {number};
    Issued *issued = NULL;

    request.ticket_id = wire_bytes(own, sizeof(own));
    request.secret = wire_bytes(shown, JOIN_TICKET_SECRET_BYTES);
    request.operator_ = wire_bytes(account, sizeof(account));
    request.user = wire_bytes(user, sizeof(user));
    int rc = join_tickets_redeem(&book->tickets, &request, by->public_key, now_ms, &book->arena,
                                 &issued, error);
    assert_true((rc == 0) == (issued != NULL));
    if (rc == 0)
        assert_memory_equal(issued->used_by.data, by->public_key, sizeof(by->public_key));
    return rc;
}

static void test_one_use(void **state)
{
    struct book *book = *state;
    struct hm_error error = {0};

    issue(book, 1, NOW_MS + HOUR_MS);
    assert_int_equal(redeem(book, 1, secret, &member, NOW_MS + 5, &error), 0);
    /* Who lost the answer asks again; it is one use all the same, also after a restart. */
    assert_int_equal(redeem(book, 1, secret, &member, NOW_MS + 10, &error), 0);
    begin_again(book);
    assert_int_equal(redeem(book, 1, secret, &stranger, NOW_MS + 15, &error), HM_ECONFLICT);
    assert_non_null(strstr(error.text, "has been used"));
    assert_int_equal(redeem(book, 1, secret, &member, NOW_MS + 20, &error), 0);
    /* Who used it in time may ask while it may read, and nobody else. */
    assert_int_equal(redeem(book, 1, secret, &member, NOW_MS + 2 * HOUR_MS, &error), 0);
    assert_int_equal(redeem(book, 1, secret, &stranger, NOW_MS + 2 * HOUR_MS, NULL), HM_ECONFLICT);
    assert_int_equal(redeem(book, 1, secret, &member, NOW_MS + 5 + JOIN_TICKET_READ_MS, &error),
                     HM_ETIMEOUT);
}

#define SENT HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_SENT
#define DONE HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_DONE
#define NONE HYPERMESH__CLUSTER__JOIN_PAYMENT__PAYMENT_NONE

/* One turn for each account, also after a restart. */
static void test_one_payment(void **state)
{
    uint8_t own[JOIN_TICKET_ID_BYTES] = {1};
    struct hm_slice one = hm_slice_of(own, sizeof(own));
    Hypermesh__Cluster__JoinPayment before = DONE;
    struct book *book = *state;

    issue(book, 1, NOW_MS + HOUR_MS);
    assert_int_equal(redeem(book, 1, secret, &member, NOW_MS, NULL), 0);
    assert_int_equal(join_tickets_pay(&book->tickets, one, JOIN_TICKET_OPERATOR, &before, NULL), 0);
    assert_int_equal(before, NONE);
    begin_again(book);
    assert_int_equal(join_tickets_pay(&book->tickets, one, JOIN_TICKET_OPERATOR, &before, NULL), 0);
    assert_int_equal(before, SENT);
    assert_int_equal(join_tickets_pay(&book->tickets, one, JOIN_TICKET_USER, &before, NULL), 0);
    assert_int_equal(before, NONE);
    assert_int_equal(join_tickets_paid(&book->tickets, one, JOIN_TICKET_OPERATOR, DONE, NULL), 0);
    /* What is done stays so; what was surely not sent may be. */
    assert_int_equal(join_tickets_paid(&book->tickets, one, JOIN_TICKET_OPERATOR, NONE, NULL), 0);
    assert_int_equal(join_tickets_paid(&book->tickets, one, JOIN_TICKET_USER, NONE, NULL), 0);
    begin_again(book);
    assert_int_equal(join_tickets_pay(&book->tickets, one, JOIN_TICKET_OPERATOR, &before, NULL), 0);
    assert_int_equal(before, DONE);
    assert_int_equal(join_tickets_pay(&book->tickets, one, JOIN_TICKET_USER, &before, NULL), 0);
    assert_int_equal(before, NONE);
    own[0] = 2;
    assert_int_equal(join_tickets_pay(&book->tickets, one, JOIN_TICKET_USER, &before, NULL),
                     HM_ENOTFOUND);
}

static void test_one_account_for_both(void **state)
{
    uint8_t own[JOIN_TICKET_ID_BYTES] = {1}, account[WIRE_ID_BYTES] = {9};
    Redeem request = HYPERMESH__CLUSTER__REDEEM__INIT;
    struct book *book = *state;
    Issued *issued = NULL;

    issue(book, 1, NOW_MS + HOUR_MS);
    request.ticket_id = wire_bytes(own, sizeof(own));
    request.secret = wire_bytes(secret, sizeof(secret));
    request.operator_ = request.user = wire_bytes(account, sizeof(account));
    assert_int_equal(join_tickets_redeem(&book->tickets, &request, member.public_key, NOW_MS,
                                         &book->arena, &issued, NULL),
                     HM_EINVAL);
    assert_int_equal(redeem(book, 1, secret, &stranger, NOW_MS, NULL), 0);
}

/* Of one key's tickets a later one that pays is seen. */
static void test_the_ticket_that_pays(void **state)
{
    Issued more = HYPERMESH__CLUSTER__ISSUED_TICKET__INIT;
    uint8_t own[JOIN_TICKET_ID_BYTES] = {2}, hashed[CRYPTO_HASH_BYTES];
    struct book *book = *state;
    Issued *issued = NULL;

    issue(book, 1, NOW_MS + HOUR_MS);
    crypto_hash(secret, sizeof(secret), hashed);
    more.id = wire_bytes(own, sizeof(own));
    more.secret_hash = wire_bytes(hashed, sizeof(hashed));
    more.expires_ms = NOW_MS + HOUR_MS;
    more.funded = true;
    assert_int_equal(join_tickets_add(&book->tickets, &more, NOW_MS, NULL), 0);
    issue(book, 3, NOW_MS + HOUR_MS);
    for (uint8_t i = 1; i <= 3; i++)
        assert_int_equal(redeem(book, i, secret, &member, NOW_MS, NULL), 0);
    assert_int_equal(
        join_tickets_of(&book->tickets, member.public_key, NOW_MS, &book->arena, &issued, NULL), 0);
    assert_int_equal(issued->id.data[0], 2);
    assert_true(issued->funded);
}

static void test_each_refusal_has_its_sentence(void **state)
{
    static const uint8_t wrong[JOIN_TICKET_SECRET_BYTES] = {6, 8};
    uint8_t revoked[JOIN_TICKET_ID_BYTES] = {3};
    struct hm_error error = {0}, other = {0};
    struct book *book = *state;

    issue(book, 2, NOW_MS + HOUR_MS);
    issue(book, 3, NOW_MS + HOUR_MS);
    assert_int_equal(redeem(book, 2, secret, &member, NOW_MS + HOUR_MS, &error), HM_ETIMEOUT);
    assert_non_null(strstr(error.text, "expired at 2023-11-14T23:13:20"));
    /* Who has not the secret does not learn whether there is such a ticket. */
    assert_int_equal(redeem(book, 2, wrong, &member, NOW_MS, &error), HM_ENOTFOUND);
    assert_int_equal(redeem(book, 99, secret, &member, NOW_MS, &other), HM_ENOTFOUND);
    assert_string_equal(error.text, other.text);
    assert_int_equal(redeem(book, 2, wrong, &member, NOW_MS + HOUR_MS, &error), HM_ENOTFOUND);
    assert_int_equal(
        join_tickets_revoke(&book->tickets, hm_slice_of(revoked, sizeof(revoked)), NULL), 0);
    begin_again(book);
    assert_int_equal(redeem(book, 3, secret, &member, NOW_MS, &error), HM_EPERM);
    assert_non_null(strstr(error.text, "revoked"));
    assert_int_equal(redeem(book, 3, wrong, &member, NOW_MS, &error), HM_ENOTFOUND);
    revoked[0] = 98;
    assert_int_equal(
        join_tickets_revoke(&book->tickets, hm_slice_of(revoked, sizeof(revoked)), NULL),
        HM_ENOTFOUND);
    /* None of it has used the ticket up. */
    assert_int_equal(redeem(book, 2, secret, &stranger, NOW_MS, &error), 0);
}

static void test_who_may_read(void **state)
{
    uint8_t one[JOIN_TICKET_ID_BYTES] = {1};
    struct book *book = *state;
    Issued *issued = NULL;

    issue(book, 1, NOW_MS + HOUR_MS);
    assert_int_equal(
        join_tickets_of(&book->tickets, member.public_key, NOW_MS, &book->arena, &issued, NULL),
        HM_EPERM);
    assert_int_equal(redeem(book, 1, secret, &member, NOW_MS, NULL), 0);
    assert_int_equal(join_tickets_of(&book->tickets, member.public_key, NOW_MS + 2 * HOUR_MS,
                                     &book->arena, &issued, NULL),
                     0);
    assert_int_equal(issued->operator_.data[0], 9);
    assert_int_equal(
        join_tickets_of(&book->tickets, stranger.public_key, NOW_MS, &book->arena, &issued, NULL),
        HM_EPERM);
    assert_int_equal(join_tickets_of(&book->tickets, member.public_key,
                                     NOW_MS + JOIN_TICKET_READ_MS, &book->arena, &issued, NULL),
                     HM_EPERM);
    assert_int_equal(join_tickets_revoke(&book->tickets, hm_slice_of(one, sizeof(one)), NULL), 0);
    assert_int_equal(
        join_tickets_of(&book->tickets, member.public_key, NOW_MS, &book->arena, &issued, NULL),
        HM_EPERM);
}

static void test_the_file(void **state)
{
    struct book *book = *state;
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    Issued **list = NULL;
    struct stat info;
    size_t count = 9;

    assert_int_equal(join_tickets_list(&book->tickets, &book->arena, &list, &count, NULL), 0);
    assert_int_equal(count, 0);
    for (uint8_t i = 0; i < ISSUED_N; i++)
        issue(book, i, NOW_MS + i * HOUR_MS);
    begin_again(book);
    assert_int_equal(join_tickets_list(&book->tickets, &book->arena, &list, &count, NULL), 0);
    assert_int_equal(count, ISSUED_N);
    assert_int_equal(list[ISSUED_N - 1]->expires_ms, NOW_MS + (ISSUED_N - 1) * HOUR_MS);
    assert_int_equal(stat(book->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(hm_file_read(book->path, JOIN_TICKETS_BYTES, &bytes, NULL), 0);
    assert_null(memmem(bytes.data, bytes.len, secret, sizeof(secret)));
    /* What is damaged is told, and not written over. */
    assert_int_equal(hm_file_replace(book->path, "damaged", 7, 0600, NULL), 0);
    begin_again(book);
    assert_int_not_equal(redeem(book, 1, secret, &member, NOW_MS, NULL), 0);
    hm_buf_clear(&bytes);
    assert_int_equal(hm_file_read(book->path, JOIN_TICKETS_BYTES, &bytes, NULL), 0);
    assert_int_equal(bytes.len, 7);
}

static void test_a_book_has_an_end(void **state)
{
    Issued more = HYPERMESH__CLUSTER__ISSUED_TICKET__INIT;
    uint8_t own[JOIN_TICKET_ID_BYTES] = {0, 1};
    struct book *book = *state;
    struct hm_error error = {0};
    Issued **list = NULL;
    size_t count = 0;

    for (unsigned i = 0; i < JOIN_TICKETS_MAX; i++)
        issue(book, (uint8_t)i, NOW_MS + HOUR_MS);
    more.id = wire_bytes(own, sizeof(own));
    more.secret_hash = wire_bytes(hash, sizeof(hash));
    more.expires_ms = NOW_MS + 2 * JOIN_TICKETS_KEPT_MS;
    assert_int_equal(join_tickets_add(&book->tickets, &more, NOW_MS, &error), HM_ELIMIT);
    /* The old ones make room. */
    assert_int_equal(join_tickets_add(&book->tickets, &more,
                                      NOW_MS + HOUR_MS + JOIN_TICKETS_KEPT_MS + DAY_MS, NULL),
                     0);
    assert_int_equal(join_tickets_list(&book->tickets, &book->arena, &list, &count, NULL), 0);
    assert_int_equal(count, 1);
}

/* A disk that does not take it: nobody is told that the ticket was used. */
static void test_what_is_not_durable_is_not_answered(void **state)
{
    struct book *book = *state;
    char gone[128];

    if (geteuid() == 0) { /* nothing keeps root from writing: take the folder away */
        issue(book, 1, NOW_MS + HOUR_MS);
        snprintf(gone, sizeof(gone), "%s.gone", book->folder);
        assert_int_equal(rename(book->folder, gone), 0);
        assert_int_not_equal(redeem(book, 1, secret, &member, NOW_MS, NULL), 0);
        assert_int_equal(rename(gone, book->folder), 0);
    } else {
        issue(book, 1, NOW_MS + HOUR_MS);
        assert_int_equal(chmod(book->folder, 0500), 0);
        assert_int_not_equal(redeem(book, 1, secret, &member, NOW_MS, NULL), 0);
        assert_int_equal(chmod(book->folder, 0700), 0);
    }
    assert_int_equal(redeem(book, 1, secret, &stranger, NOW_MS, NULL), 0);
}

int main(void)
{
    const uint8_t one[CRYPTO_SEED_BYTES] = {1}, two[CRYPTO_SEED_BYTES] = {2};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_every_character_counts),
        cmocka_unit_test(test_every_bit_is_signed),
        cmocka_unit_test(test_what_is_no_ticket),
        cmocka_unit_test(test_of_another_version),
        cmocka_unit_test(test_what_cannot_be_issued),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test_setup_teardown(test_one_use, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_payment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_account_for_both, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_ticket_that_pays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_refusal_has_its_sentence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_may_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_book_has_an_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_durable_is_not_answered, setup, teardown),
    };

    if (crypto_setup(NULL) != 0)
        return 1;
    crypto_ed25519_from_seed(&member, one);
    crypto_ed25519_from_seed(&stranger, two);
    return cmocka_run_group_tests_name("join_ticket", tests, NULL, NULL);
}
