#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <time.h>

#include "care/packetfs_retain.h"

#define S    ((uint64_t)1000000000)
#define HOUR (3600 * S)
#define DAY  (24 * HOUR)

static struct packetfs_snapshot snapshots[4000];
static bool keep[4000];
static size_t count;

static uint64_t at(int year, int month, int day, int hour)
{
    struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour};

    return (uint64_t)timegm(&tm) * S;
}

static void add(const char *label, uint64_t time_ns)
{
    struct packetfs_snapshot *snapshot = &snapshots[count];

    memset(snapshot, 0, sizeof(*snapshot));
    snapshot->time_ns = time_ns;
    snapshot->sequence = ++count;
    (void)snprintf(snapshot->label, sizeof(snapshot->label), "%s", label);
}

static size_t kept(void)
{
    size_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += keep[i];
    return sum;
}

static void plan(struct packetfs_retention retention)
{
    for (size_t i = 0; i < count; i++)
        keep[i] = (i & 1) != 0; /* says nothing */
    assert_int_equal(packetfs_retain_plan(snapshots, count, &retention, keep, NULL), 0);
}

/* The C library's calendar, for every day of nine centuries and a half. */
static void test_calendar(void **state)
{
    uint64_t week = 0;
    (void)state;

    for (uint64_t day = 0; day < 200000; day++) {
        struct packetfs_calendar calendar;
        uint64_t hour = day * 7 % 24;
        time_t seconds = (time_t)(day * 86400 + hour * 3600 + 3599);
        struct tm tm;
        if (day * DAY / DAY != day || day > UINT64_MAX / DAY - 1)
            break;
        packetfs_calendar_of((uint64_t)seconds * S + S - 1, &calendar);
        assert_non_null(gmtime_r(&seconds, &tm));
        assert_int_equal(calendar.hour, day * 24 + hour);
        assert_int_equal(calendar.day, day);
        assert_int_equal(calendar.year, tm.tm_year + 1900);
        assert_int_equal(calendar.month, (uint64_t)(tm.tm_year + 1900) * 12 + (uint64_t)tm.tm_mon);
        if (day > 0)
            assert_int_equal(calendar.week != week, tm.tm_wday == 1);
        week = calendar.week;
    }
}

static void test_last(void **state)
{
    (void)state;
    count = 0;
    for (uint64_t i = 0; i < 10; i++)
        add("a", i * HOUR);
    plan((struct packetfs_retention){.last = 3});
    for (size_t i = 0; i < count; i++)
        assert_int_equal(keep[i], i >= 7);
    plan((struct packetfs_retention){.last = 300});
    assert_int_equal(kept(), 10);
}

/* The clock goes back a year: what was made last counts as last. */
static void test_clock_back(void **state)
{
    (void)state;
    count = 0;
    add("a", at(2026, 5, 1, 0));
    add("a", at(2026, 5, 2, 0));
    add("a", at(2025, 5, 3, 0));
    plan((struct packetfs_retention){.last = 1});
    assert_true(keep[2]);
    assert_int_equal(kept(), 1);
    plan((struct packetfs_retention){.daily = 1});
    assert_true(keep[1]);
    assert_int_equal(kept(), 1);
}

static void test_calendar_rules(void **state)
{
    (void)state;
    count = 0;
    /* Every six hours for two years. */
    for (uint64_t time = at(2024, 1, 1, 0); time < at(2026, 1, 1, 0); time += 6 * HOUR)
        add("a", time);
    plan((struct packetfs_retention){.daily = 7});
    assert_int_equal(kept(), 7);
    for (size_t i = count - 1, day = 0; day < 7; day++, i -= 4)
        assert_true(keep[i]); /* 18:00 of each day */
    plan((struct packetfs_retention){.hourly = 5});
    assert_int_equal(kept(), 5); /* hours that have one, not the last five hours */
    plan((struct packetfs_retention){.monthly = 100});
    assert_int_equal(kept(), 24);
    for (size_t i = 0; i < count; i++)
        if (keep[i]) { /* the last of its month */
            struct packetfs_calendar this, next;
            packetfs_calendar_of(snapshots[i].time_ns, &this);
            packetfs_calendar_of(snapshots[i].time_ns + 6 * HOUR, &next);
            assert_int_not_equal(this.month, next.month);
        }
    plan((struct packetfs_retention){.yearly = 10});
    assert_int_equal(kept(), 2);
    plan((struct packetfs_retention){.weekly = 3});
    assert_int_equal(kept(), 3);
    for (size_t i = 0; i + 1 < count; i++)
        if (keep[i])
            assert_int_equal((snapshots[i].time_ns + 6 * HOUR) % (7 * DAY), 4 * DAY); /* Monday */
    plan((struct packetfs_retention){.last = 2, .daily = 2, .monthly = 2, .yearly = 2});
    assert_int_equal(kept(), 2 + 1 + 1 + 1);
}

static void test_order_does_not_matter(void **state)
{
    static struct packetfs_snapshot kept_ones[4000];
    const struct packetfs_retention retention = {.last = 2, .daily = 5, .weekly = 4, .yearly = 3};
    size_t n = 0;
    (void)state;

    count = 0;
    for (uint64_t i = 0; i < 900; i++)
        add(i % 3 == 0 ? "a" : i % 3 == 1 ? "b" : "", at(2025, 1, 1, 0) + i * 5 * HOUR);
    plan(retention);
    for (size_t i = 0; i < count; i++)
        if (keep[i])
            kept_ones[n++] = snapshots[i];
    for (size_t i = 0; i < count / 2; i++) {
        struct packetfs_snapshot swapped = snapshots[i];
        snapshots[i] = snapshots[count - 1 - i];
        snapshots[count - 1 - i] = swapped;
    }
    plan(retention);
    for (size_t i = count, k = 0; i-- > 0;)
        if (keep[i])
            assert_int_equal(snapshots[i].sequence, kept_ones[k++].sequence);
    /* Asked again of what was kept, with the same rules, it takes nothing more away. */
    for (size_t i = 0; i < n; i++)
        snapshots[i] = kept_ones[i];
    count = n;
    plan(retention);
    assert_int_equal(kept(), n);
}

static void test_labels(void **state)
{
    (void)state;
    count = 0;
    for (uint64_t i = 0; i < 20; i++)
        add(i % 2 == 0 ? "a" : "ab", i * DAY);
    plan((struct packetfs_retention){.last = 1});
    assert_int_equal(kept(), 2);
    plan((struct packetfs_retention){.last = 1, .label = "a"});
    assert_int_equal(kept(), 11);
    plan((struct packetfs_retention){.last = 1, .label = "nobody"});
    assert_int_equal(kept(), 20);
}

static void test_refusals(void **state)
{
    const struct packetfs_retention none = {.label = "a"};
    const struct packetfs_retention one = {.last = 1};
    struct hm_error error;
    (void)state;

    count = 0;
    add("a", 1);
    assert_int_equal(packetfs_retain_plan(snapshots, 1, &none, keep, &error), HM_EINVAL);
    assert_int_equal(packetfs_retain_plan(NULL, 0, &one, NULL, &error), 0);
    hm_alloc_fail_at(1);
    assert_int_equal(packetfs_retain_plan(snapshots, 1, &one, keep, &error), HM_ENOMEM);
    hm_alloc_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calendar),
        cmocka_unit_test(test_last),
        cmocka_unit_test(test_clock_back),
        cmocka_unit_test(test_calendar_rules),
        cmocka_unit_test(test_order_does_not_matter),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
