/* Assets for the tests of placement, made in a line each. */
#ifndef HM_SCHED_FIXTURE_H
#define HM_SCHED_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sched.h"

#define SCHED_TEST_ASSETS_MAX 64
#define SCHED_TEST_CONSUMER   200
#define SCHED_TEST_GRACE_MS   UINT64_C(1000)

struct sched_fixture {
    Hypermesh__Asset assets[SCHED_TEST_ASSETS_MAX];
    Hypermesh__Privacy privacies[SCHED_TEST_ASSETS_MAX];
    uint8_t ids[SCHED_TEST_ASSETS_MAX][WIRE_ID_BYTES];
    uint8_t owners[256][WIRE_ID_BYTES]; /* owner n: all bytes n */
    Hypermesh__Asset *list[SCHED_TEST_ASSETS_MAX];
    struct sched_snapshot snapshot;
    uint8_t consumer; /* number of the owner who asks */
    Hypermesh__JobSpec spec;
};

/* Nobody offers anything; the job asks for 1 CPU, 1000 bytes of memory and of storage, one slot, for an hour
 * less the grace. A lease lasts one hour then. */
void sched_fixture_init(struct sched_fixture *fixture);
/* A whole, free, public asset; its id grows with each call. Fields may be changed afterwards. */
Hypermesh__Asset *sched_fixture_add(struct sched_fixture *fixture, uint8_t owner,
                                    Hypermesh__AssetKind kind, uint64_t capacity,
                                    uint64_t price_per_hour);
/* CPU, memory, storage and container of one owner, each just twice what the job asks, at a price each. */
void sched_fixture_provider(struct sched_fixture *fixture, uint8_t owner, uint64_t price_per_hour);
/* The owner's asset of that kind. */
Hypermesh__Asset *sched_fixture_of(struct sched_fixture *fixture, uint8_t owner,
                                   Hypermesh__AssetKind kind);

/* The adapters' function as the tests have it: rounded up, HM_ERANGE for nothing or more than all. */
int sched_fixture_share(const Hypermesh__Asset *asset, uint64_t amount, uint32_t *share_ppm,
                        struct hm_error *error);

#endif
