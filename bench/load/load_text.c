#include "load_text.h"

static const struct {
    const char *name;
    enum load_part_kind kind;
} part_names[] = {
    {"n", LOAD_PART_N},         {"client", LOAD_PART_CLIENT}, {"random", LOAD_PART_RANDOM},
    {"again", LOAD_PART_AGAIN}, {"line", LOAD_PART_LINE},     {"pick", LOAD_PART_PICK},
    {"pad", LOAD_PART_PAD},     {"base64", LOAD_PART_BASE64}, {"end", LOAD_PART_END},
};

/* From after "${" to before "}". */
static int load_part_parse(struct hm_slice inside, struct load_part *part, struct hm_error *error)
{
    char text[32] = "";

    if (inside.len < sizeof(text))
        memcpy(text, inside.data, inside.len);
    char *colon = strchr(text, ':');
    if (colon != NULL) {
        uint64_t width;

        *colon = '\0';
        int rc = hm_u64_parse(colon + 1, &width, error);
        if (rc != 0)
            return rc;
        part->width = (unsigned)(width < 65536 ? width : 65536);
    }
    for (size_t i = 0; i < HM_COUNT_OF(part_names); i++) {
        if (strcmp(part_names[i].name, text) == 0) {
            part->kind = part_names[i].kind;
            return 0;
        }
    }
    return hm_fail(error, HM_EPARSE, "a template knows no ${%.*s}", (int)inside.len,
                   (const char *)inside.data);
}

int load_text_parse(const char *template, struct load_text *out, struct hm_error *error)
{
    const char *at = template;

    out->count = 0;
    while (*at != '\0') {
        if (out->count + 2 > LOAD_TEXT_PARTS_MAX)
            return hm_fail(error, HM_ELIMIT, "a template has more than %d parts",
                           LOAD_TEXT_PARTS_MAX);
        const char *mark = strstr(at, "${");
        const char *stop = mark != NULL ? mark : at + strlen(at);
        if (stop > at)
            out->parts[out->count++] = (struct load_part){
                .kind = LOAD_PART_LITERAL, .text = hm_slice_of(at, (size_t)(stop - at))};
        if (mark == NULL)
            break;
        const char *close = strchr(mark, '}');
        if (close == NULL)
            return hm_fail(error, HM_EPARSE, "a template has ${ without }");
        struct load_part *part = &out->parts[out->count++];
        *part = (struct load_part){0};
        int rc = load_part_parse(hm_slice_of(mark + 2, (size_t)(close - mark - 2)), part, error);
        if (rc != 0)
            return rc;
        at = close + 1;
    }
    return 0;
}

/* xorshift64*: which key is next need not be more random than that. */
static uint64_t load_random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(2685821657736338717);
}

static int load_pad(struct hm_buf *out, size_t width)
{
    if (hm_buf_reserve(out, width) != 0)
        return HM_ENOMEM;
    memset(out->data + out->len, 'x', width);
    out->len += width;
    return 0;
}

/* By hand, because printf is a good part of what a small request costs its sender. */
static int load_number(struct hm_buf *out, uint64_t value, unsigned width)
{
    char digits[64];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (at > 0 && (value != 0 || (sizeof(digits) - at < width)));
    return hm_buf_append(out, digits + at, sizeof(digits) - at);
}

static int load_base64_end(struct hm_buf *out, size_t begin)
{
    HM_CLEANUP(hm_buf) struct hm_buf plain = {0};

    if (hm_buf_append(&plain, out->data + begin, out->len - begin) != 0)
        return HM_ENOMEM;
    out->len = begin;
    return hm_base64_encode(plain.data, plain.len, out);
}

static int load_line(const struct load_values *values, uint64_t number, struct hm_buf *out)
{
    if (values->lines == NULL || values->lines->count == 0)
        return HM_EINVAL;
    return hm_buf_append_str(out, values->lines->items[number % values->lines->count]);
}

int load_text_write(const struct load_text *text, const struct load_values *values,
                    struct hm_buf *out)
{
    size_t begin = out->len;
    uint64_t last = 0;
    int rc = 0;

    for (size_t i = 0; i < text->count && rc == 0; i++) {
        const struct load_part *part = &text->parts[i];

        switch (part->kind) {
        case LOAD_PART_LITERAL:
            rc = hm_buf_append(out, part->text.data, part->text.len);
            break;
        case LOAD_PART_N:
            rc = load_number(out, values->n, part->width);
            break;
        case LOAD_PART_CLIENT:
            rc = load_number(out, values->client, part->width);
            break;
        case LOAD_PART_RANDOM:
            last = load_random(values->random_state) % values->range;
            rc = load_number(out, last, part->width);
            break;
        case LOAD_PART_AGAIN:
            rc = load_number(out, last, part->width);
            break;
        case LOAD_PART_LINE:
            rc = load_line(values, values->client, out);
            break;
        case LOAD_PART_PICK:
            rc = load_line(values, load_random(values->random_state) >> 8, out);
            break;
        case LOAD_PART_PAD:
            rc = load_pad(out, part->width);
            break;
        case LOAD_PART_BASE64:
            begin = out->len;
            break;
        case LOAD_PART_END:
            rc = load_base64_end(out, begin);
            break;
        }
    }
    return rc;
}
