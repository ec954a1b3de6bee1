#include "base_math.h"

__extension__ typedef unsigned __int128 wide_u128;

static bool muldiv(uint64_t a, uint64_t b, uint64_t c, bool up, uint64_t *out)
{
    wide_u128 product;
    wide_u128 result;

    if (c == 0)
        return false;
    product = (wide_u128)a * b;
    result = product / c;
    if (up && product % c != 0)
        result++;
    if (result > UINT64_MAX)
        return false;
    *out = (uint64_t)result;
    return true;
}

bool hm_muldiv_u64(uint64_t a, uint64_t b, uint64_t c, uint64_t *out)
{
    return muldiv(a, b, c, false, out);
}

bool hm_muldiv_up_u64(uint64_t a, uint64_t b, uint64_t c, uint64_t *out)
{
    return muldiv(a, b, c, true, out);
}

unsigned hm_ilog2_u64(uint64_t v)
{
    return v == 0 ? 0 : 63U - (unsigned)__builtin_clzll(v);
}
