/* The records inside a backup. First byte: how many bytes to feed at once; the rest: the stream. What is told
 * must not depend on how it was cut, and no name that leaves its folder is told. */
#include <stdlib.h>

#include "backup_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void tell(struct hm_buf *told, const void *data, size_t len)
{
    if (hm_buf_append(told, data, len))
        abort();
}

static int run(const uint8_t *data, size_t size, size_t step, struct hm_buf *told)
{
    struct backup_parser parser;

    backup_parser_init(&parser);
    for (size_t at = 0; at < size; at += step) {
        struct hm_slice bytes = hm_slice_of(data + at, size - at < step ? size - at : step);

        while (bytes.len > 0) {
            struct hm_slice piece = {0};
            enum backup_found found;
            int rc = backup_parser_step(&parser, &bytes, &found, &piece, NULL);

            if (rc)
                return rc;
            if (found == BACKUP_FOUND_FILE && !backup_name_ok(parser.name))
                abort();
            if (found == BACKUP_FOUND_FILE)
                tell(told, parser.name, strlen(parser.name) + 1);
            if (found == BACKUP_FOUND_DATA &&
                (piece.data < data || piece.data + piece.len > data + size))
                abort();
            if (found == BACKUP_FOUND_DATA)
                tell(told, piece.data, piece.len);
        }
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HM_CLEANUP(hm_buf) struct hm_buf whole = {0};
    HM_CLEANUP(hm_buf) struct hm_buf cut = {0};

    if (size < 2)
        return 0;
    if (run(data + 1, size - 1, size, &whole) !=
            run(data + 1, size - 1, (size_t)data[0] + 1, &cut) ||
        !hm_slice_equal(hm_buf_slice(&whole), hm_buf_slice(&cut)))
        abort();
    return 0;
}
