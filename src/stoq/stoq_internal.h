/* What every file of the room shares: its way of failing, and where memory comes from. */
#ifndef STOQ_INTERNAL_H
#define STOQ_INTERNAL_H

#include <stdarg.h>

#include "base.h"
#include "stoq.h"

#define STOQ_NEVER     UINT64_MAX
#define STOQ_NS_PER_S  1000000000ULL
#define STOQ_NS_PER_MS 1000000ULL

/* As hm_fail, for this library's own error: sets *error when not NULL, returns code. The codes of enum stoq_code and
 * HM_E* are the same numbers. */
int stoq_fail(struct stoq_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int stoq_fail_errno(struct stoq_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Memory comes from hm_malloc and hm_free of base, so that tests can make the Nth allocation fail; ngtcp2 is given the
 * same. OpenSSL keeps its own. */

#endif
