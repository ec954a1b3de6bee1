/* Integer arithmetic that cannot wrap in silence, and 128-bit intermediates for money. */
#ifndef HM_BASE_MATH_H
#define HM_BASE_MATH_H

#include <stdbool.h>
#include <stdint.h>

static inline bool hm_add_u64(uint64_t a, uint64_t b, uint64_t *out) /* false: overflow */
{
    return !__builtin_add_overflow(a, b, out);
}

static inline bool hm_sub_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_sub_overflow(a, b, out);
}

static inline bool hm_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

/* a*b/c rounded down (or up), 128-bit intermediate; false when c is 0 or the result needs > 64 bits. */
bool hm_muldiv_u64(uint64_t a, uint64_t b, uint64_t c, uint64_t *out);
bool hm_muldiv_up_u64(uint64_t a, uint64_t b, uint64_t c, uint64_t *out);
unsigned hm_ilog2_u64(uint64_t v); /* floor(log2(v)); 0 for 0 */

#endif
