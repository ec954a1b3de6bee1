/* jansson's reader survives no lost allocation: where its text buffer cannot grow it drops a character and goes
 * on, so that a text comes out short, or is read past its end. So it is given memory that does not run out:
 * beside each reading lies a reserve, enough for what is still allocated once the first allocation has
 * failed, because from then on it gets no more of the text. */
#include <jansson.h>
#include <string.h>

#include "base_json.h"

#define LOAD_STEP_BYTES ((size_t)64)
/* What the structures of one step can take, and the text buffer with the string made of it. */
#define LOAD_RESERVE_BYTES      ((size_t)32 << 10)
#define LOAD_RESERVE_TEXT_TIMES 4

static _Thread_local struct {
    uint8_t *bytes; /* NULL: nothing is being read */
    size_t size, used;
    bool starved;
} load_reserve;

static void *load_alloc(size_t size)
{
    void *ptr = hm_malloc(size);
    size_t rounded;

    if (ptr || !load_reserve.bytes)
        return ptr;
    load_reserve.starved = true;
    if (__builtin_add_overflow(size, (size_t)15, &rounded))
        return NULL;
    rounded &= ~(size_t)15;
    if (rounded > load_reserve.size - load_reserve.used)
        return NULL;
    ptr = load_reserve.bytes + load_reserve.used;
    load_reserve.used += rounded;
    return ptr;
}

static void load_free(void *ptr)
{
    uintptr_t at = (uintptr_t)ptr;
    uintptr_t from = (uintptr_t)load_reserve.bytes;

    if (from == 0 || at < from || at >= from + load_reserve.size)
        hm_free(ptr);
}

/* Before there is a second thread, and before there is any JSON. What malloc gave elsewhere may be freed here and
 * the other way round. */
__attribute__((constructor)) static void load_hooks(void)
{
    json_set_alloc_funcs(load_alloc, load_free);
}

static size_t load_step(void *buffer, size_t size, void *ctx)
{
    struct hm_slice *rest = ctx;
    size_t step = size < LOAD_STEP_BYTES ? size : LOAD_STEP_BYTES;

    if (load_reserve.starved)
        return 0;
    if (step > rest->len)
        step = rest->len;
    if (step > 0)
        memcpy(buffer, rest->data, step);
    rest->data += step;
    rest->len -= step;
    return step;
}

int hm_json_parse(struct hm_slice text, size_t flags, json_t **out, json_error_t *problem)
{
    struct hm_slice rest = text.len > 0 ? text : hm_slice_str("");
    size_t size = LOAD_RESERVE_BYTES + text.len * LOAD_RESERVE_TEXT_TIMES;
    HM_AUTOFREE uint8_t *reserve = hm_malloc(size);
    json_t *json;
    bool starved;

    if (!reserve)
        return HM_ENOMEM;
    load_reserve.bytes = reserve;
    load_reserve.size = size;
    load_reserve.used = 0;
    load_reserve.starved = false;
    json = json_load_callback(load_step, &rest, flags, problem);
    starved = load_reserve.starved;
    if (starved)
        json_decref(json);
    load_reserve.bytes = NULL;
    if (starved)
        return HM_ENOMEM;
    if (!json)
        return HM_EPARSE;
    *out = json;
    return 0;
}

bool hm_json_is_within(struct hm_slice text, unsigned most)
{
    unsigned depth = 0;
    bool in_text = false;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        if (in_text) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_text = false;
        } else if (c == '"') {
            in_text = true;
        } else if ((c == '{' || c == '[') && ++depth > most) {
            return false;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}
