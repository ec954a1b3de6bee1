/* Templates of request paths and bodies. What changes from one request to the next stands between ${ and }:
 *
 *   ${n}       number of the request, counted over all clients
 *   ${client}  number of the client, from 0
 *   ${random}  0 to range-1
 *   ${again}   the last ${random} of the same text once more
 *   ${line}    a line of the file of lines: line (client mod lines)
 *   ${pick}    a line of that file by chance
 *   ${pad}     as many letters x as the width says
 *   ${base64}, ${end}   what is between them in base64
 *
 * A number is given a width with zeros in front as in ${n:8}. */
#ifndef LOAD_TEXT_H
#define LOAD_TEXT_H

#include "base.h"

#define LOAD_TEXT_PARTS_MAX 32

enum load_part_kind {
    LOAD_PART_LITERAL,
    LOAD_PART_N,
    LOAD_PART_CLIENT,
    LOAD_PART_RANDOM,
    LOAD_PART_AGAIN,
    LOAD_PART_LINE,
    LOAD_PART_PICK,
    LOAD_PART_PAD,
    LOAD_PART_BASE64,
    LOAD_PART_END,
};

struct load_part {
    enum load_part_kind kind;
    unsigned width;
    struct hm_slice text; /* of LITERAL; borrowed from the template */
};

struct load_text {
    struct load_part parts[LOAD_TEXT_PARTS_MAX];
    size_t count;
};

struct load_lines {
    char **items;
    size_t count;
};

/* What the parts stand for in one request. */
struct load_values {
    uint64_t n;
    uint64_t client;
    uint64_t range;
    uint64_t *random_state;
    const struct load_lines *lines;
};

/* HM_EPARSE with the place; the template must outlive *out. */
int load_text_parse(const char *template, struct load_text *out, struct hm_error *error);
/* Appends the text; HM_ENOMEM. */
int load_text_write(const struct load_text *text, const struct load_values *values,
                    struct hm_buf *out);

#endif
