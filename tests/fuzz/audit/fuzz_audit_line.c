/* Lines of an export from outside: each is taken or refused with a sentence that names it. */
#include <stdlib.h>

#include "audit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct audit_reader *reader = NULL;
    struct audit_summary summary;
    struct hm_error error = {0};

    if (audit_reader_new(NULL, &reader))
        abort();
    while (size > 0) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t len = end ? (size_t)(end - data) : size;

        if (audit_reader_line(reader, hm_slice_of(data, len), &error)) {
            if (error.code == 0 || error.text[0] == '\0')
                abort();
            break;
        }
        data += len + (end ? 1 : 0);
        size -= len + (end ? 1 : 0);
    }
    (void)audit_reader_end(reader, &summary, NULL);
    audit_reader_free(reader);
    return 0;
}
