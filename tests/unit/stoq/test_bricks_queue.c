/* The two queues of a stream against a plain array that remembers everything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "stoq_queue.h"

#define WORLD_BYTES 400000
#define STEPS       20000
#define SEEDS       12
#define LIMIT       30000

static uint8_t world[WORLD_BYTES]; /* what every stream here consists of */

static int make_world(void **state)
{
    struct hm_random_seeded seeded;
    struct hm_random random = hm_random_seeded_source(&seeded, 77);

    (void)state;
    return random.fill(random.ctx, world, sizeof(world));
}

static size_t below(const struct hm_random *source, size_t most)
{
    return (size_t)(hm_random_u64(source) % most);
}

static void count_release(void *cookie)
{
    ++*(int *)cookie;
}

/* Everything unsent, seen through peek in pieces of every size, is what the model says. */
static void check_unsent(const struct stoq_sendq *queue, size_t vectors)
{
    struct stoq_bytes list[64];
    size_t count = stoq_sendq_peek(queue, list, vectors), at = (size_t)queue->sent;

    for (size_t i = 0; i < count; i++) {
        assert_true(list[i].len > 0);
        assert_true(at + list[i].len <= queue->end);
        assert_memory_equal(list[i].data, world + at, list[i].len);
        at += list[i].len;
    }
    if (count < vectors)
        assert_int_equal(at, queue->end);
}

struct sender {
    struct stoq_sendq queue;
    struct hm_random random;
    int held, released;
};

static void step_write(struct sender *s)
{
    struct stoq_sendq *queue = &s->queue;
    size_t len = below(&s->random, below(&s->random, 4) == 0 ? 50000 : 900);
    size_t room = stoq_sendq_room(queue);

    assert_int_equal(room, queue->limit <= queue->end - queue->acked
                               ? 0
                               : queue->limit - (queue->end - queue->acked));
    if (len > WORLD_BYTES - queue->end)
        len = WORLD_BYTES - (size_t)queue->end;
    if (below(&s->random, 2) == 0) {
        uint64_t end = queue->end;
        int64_t taken = stoq_sendq_copy(queue, world + end, len);

        assert_int_equal(taken, len < room ? len : room);
        assert_int_equal(queue->end, end + (uint64_t)taken);
    } else {
        bool fits = len == 0 || len <= room || queue->end == queue->acked;
        int code = stoq_sendq_hold(queue, world + queue->end, len, count_release, &s->released);

        assert_int_equal(code, fits ? 0 : STOQ_EBUSY);
        s->held += fits;
    }
}

static void step_move(struct sender *s, bool *early)
{
    struct stoq_sendq *queue = &s->queue;

    switch (below(&s->random, 4)) {
    case 0:
        stoq_sendq_sent(queue, below(&s->random, (size_t)(queue->end - queue->sent) + 1));
        break;
    case 1:
        stoq_sendq_acked(queue, queue->acked +
                                    below(&s->random, (size_t)(queue->sent - queue->acked) + 1));
        *early = *early && queue->acked == 0;
        break;
    case 2:
        if (*early) {
            stoq_sendq_rewind(queue);
            assert_int_equal(queue->sent, 0);
        }
        break;
    default:
        stoq_sendq_acked(queue, queue->acked / 2); /* an old figure changes nothing */
        check_unsent(queue, 1 + below(&s->random, 64));
        break;
    }
    assert_true(queue->acked <= queue->sent && queue->sent <= queue->end);
}

static void test_sendq_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct hm_random_seeded seeded;
        struct sender s = {.random = hm_random_seeded_source(&seeded, seed)};
        bool early = seed % 2 == 0;

        stoq_sendq_init(&s.queue, LIMIT);
        for (int i = 0; i < STEPS && s.queue.acked < WORLD_BYTES; i++) {
            if (below(&s.random, 2) == 0)
                step_write(&s);
            else
                step_move(&s, &early);
        }
        if (seed % 3 == 0) {
            stoq_sendq_drop(&s.queue);
            assert_int_equal(s.queue.end, s.queue.sent);
        } else {
            check_unsent(&s.queue, 64);
            stoq_sendq_sent(&s.queue, (size_t)(s.queue.end - s.queue.sent));
            stoq_sendq_acked(&s.queue, s.queue.end);
        }
        assert_int_equal(s.released, s.held);
        assert_null(s.queue.first);
        stoq_sendq_release(&s.queue);
        assert_int_equal(s.released, s.held);
    }
}

static void test_sendq_large_piece_alone(void **state)
{
    struct stoq_sendq queue;
    struct stoq_bytes bytes;
    int released = 0;

    (void)state;
    stoq_sendq_init(&queue, 1000);
    assert_int_equal(stoq_sendq_hold(&queue, world, 50000, count_release, &released), 0);
    assert_int_equal(stoq_sendq_room(&queue), 0);
    assert_int_equal(stoq_sendq_copy(&queue, world, 1), 0);
    assert_int_equal(stoq_sendq_hold(&queue, world, 1, count_release, &released), STOQ_EBUSY);
    assert_int_equal(stoq_sendq_peek(&queue, &bytes, 1), 1);
    assert_ptr_equal(bytes.data, world); /* not a copy */
    stoq_sendq_sent(&queue, 50000);
    stoq_sendq_acked(&queue, 49999);
    assert_int_equal(released, 0);
    assert_int_equal(stoq_sendq_room(&queue), 999);
    stoq_sendq_acked(&queue, 50000);
    assert_int_equal(released, 1);
    assert_int_equal(stoq_sendq_hold(&queue, world, 10, NULL, NULL), 0);
    queue.fin = true;
    assert_int_equal(stoq_sendq_hold(&queue, world, 1, count_release, &released), STOQ_ECLOSED);
    assert_int_equal(stoq_sendq_copy(&queue, world, 1), 0);
    stoq_sendq_release(&queue);
    assert_int_equal(released, 1);
}

/* Bytes on their way stay where they are while more is written. */
static void test_sendq_bytes_do_not_move(void **state)
{
    struct stoq_sendq queue;
    struct stoq_bytes first, again;

    (void)state;
    stoq_sendq_init(&queue, LIMIT);
    assert_int_equal(stoq_sendq_copy(&queue, world, 10), 10);
    assert_int_equal(stoq_sendq_peek(&queue, &first, 1), 1);
    for (size_t at = 10; at + 100 < LIMIT; at += 100)
        assert_int_equal(stoq_sendq_copy(&queue, world + at, 100), 100);
    assert_int_equal(stoq_sendq_peek(&queue, &again, 1), 1);
    assert_ptr_equal(first.data, again.data);
    assert_true(again.len > 900); /* small writes share a piece */
    stoq_sendq_release(&queue);
}

struct again {
    struct stoq_sendq *queue;
    int left;
};

static void write_again(void *cookie)
{
    struct again *again = cookie;

    if (again->left-- > 0)
        assert_int_equal(stoq_sendq_hold(again->queue, world, 100, write_again, again), 0);
}

static void test_sendq_release_may_write(void **state)
{
    struct stoq_sendq queue;
    struct again again = {.queue = &queue, .left = 5};

    (void)state;
    stoq_sendq_init(&queue, LIMIT);
    assert_int_equal(stoq_sendq_hold(&queue, world, 100, write_again, &again), 0);
    for (uint64_t at = 100; at <= 600; at += 100) {
        assert_int_equal(queue.end, at);
        stoq_sendq_sent(&queue, 100);
        stoq_sendq_acked(&queue, at);
    }
    assert_int_equal(again.left, -1);
    assert_null(queue.first);
    stoq_sendq_release(&queue);
}

static void test_recvq_model(void **state)
{
    static uint8_t out[70000];

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct hm_random_seeded seeded;
        struct hm_random random = hm_random_seeded_source(&seeded, seed);
        struct stoq_recvq queue;
        size_t pushed = 0, read = 0;

        stoq_recvq_init(&queue);
        for (int i = 0; i < STEPS && read < WORLD_BYTES; i++) {
            size_t len = below(&random, below(&random, 9) == 0 ? sizeof(out) : 1500);

            if (below(&random, 2) == 0 && pushed + len <= WORLD_BYTES) {
                assert_int_equal(stoq_recvq_push(&queue, world + pushed, len), 0);
                pushed += len;
            } else {
                size_t got = stoq_recvq_read(&queue, out, len);

                assert_int_equal(got, len < pushed - read ? len : pushed - read);
                assert_memory_equal(out, world + read, got);
                read += got;
            }
            assert_int_equal(queue.bytes, pushed - read);
        }
        stoq_recvq_release(&queue);
    }
}

static void test_no_memory(void **state)
{
    struct stoq_sendq queue;
    struct stoq_recvq recvq;
    uint8_t out[4000];
    int released = 0;

    (void)state;
    stoq_sendq_init(&queue, 1000000);
    hm_alloc_fail_from(1);
    assert_int_equal(stoq_sendq_copy(&queue, world, 10), STOQ_ENOMEM);
    assert_int_equal(stoq_sendq_hold(&queue, world, 10, count_release, &released), STOQ_ENOMEM);
    hm_alloc_fail_from(2);
    int64_t taken = stoq_sendq_copy(&queue, world, 200000); /* as far as memory went */
    hm_alloc_fail_from(0);
    assert_true(taken > 0 && taken < 200000);
    assert_int_equal(queue.end, taken);
    check_unsent(&queue, 64);
    stoq_sendq_release(&queue);
    assert_int_equal(released, 0);

    stoq_recvq_init(&recvq);
    assert_int_equal(stoq_recvq_push(&recvq, world, 1500), 0);
    hm_alloc_fail_at(1);
    assert_int_equal(stoq_recvq_push(&recvq, world + 1500, 1500), STOQ_ENOMEM);
    assert_int_equal(recvq.bytes, 1500);
    assert_int_equal(stoq_recvq_push(&recvq, world + 1500, 1500), 0);
    assert_int_equal(stoq_recvq_read(&recvq, out, sizeof(out)), 3000);
    assert_memory_equal(out, world, 3000);
    stoq_recvq_release(&recvq);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sendq_model),
        cmocka_unit_test(test_sendq_large_piece_alone),
        cmocka_unit_test(test_sendq_bytes_do_not_move),
        cmocka_unit_test(test_sendq_release_may_write),
        cmocka_unit_test(test_recvq_model),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("bricks_queue", tests, make_world, NULL);
}
