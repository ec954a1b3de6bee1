#include "api_strangers.h"

void api_strangers_init(struct api_strangers *strangers)
{
    api_rate_init(&strangers->rate, API_STRANGERS_PER_S);
    api_rate_init(&strangers->asks, API_STRANGERS_ASKS_PER_S);
}

void api_strangers_release(struct api_strangers *strangers)
{
    api_rate_release(&strangers->rate);
    api_rate_release(&strangers->asks);
}

int api_strangers_enter(struct api_strangers *strangers, uint64_t now_ns, struct hm_error *error)
{
    if (atomic_fetch_add(&strangers->now, 1) < API_STRANGERS_MAX &&
        api_rate_take(&strangers->rate, 0, now_ns))
        return 0;
    api_strangers_leave(strangers);
    return hm_fail(error, HM_EBUSY,
                   "too many readers without a token ask at once; ask again in a second");
}

void api_strangers_leave(struct api_strangers *strangers)
{
    atomic_fetch_sub(&strangers->now, 1);
}

bool api_strangers_may_ask(struct api_strangers *strangers, uint64_t now_ns)
{
    return api_rate_take(&strangers->asks, 0, now_ns);
}
