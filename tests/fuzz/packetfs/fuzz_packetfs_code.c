/* What a person types as a code. What is taken is a code of ours, and reads again as itself. */
#include <stdlib.h>

#include "sync/packetfs_code.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char code[PACKETFS_CODE_MAX_BYTES], again[PACKETFS_CODE_MAX_BYTES];
    struct hm_error error = {0};

    if (packetfs_code_parse(hm_slice_of(data, size), code, &error) != 0) {
        if (error.text[0] == '\0')
            abort();
        return 0;
    }
    if (memchr(code, '\0', sizeof(code)) == NULL ||
        packetfs_code_parse(hm_slice_str(code), again, NULL) != 0 || strcmp(code, again) != 0 ||
        strspn(code, "0123456789") != 4 || code[4] != '-')
        abort();
    return 0;
}
