/* Addresses as people write them. What parses is written and read again to the same address. */
#include <stdlib.h>

#include "stoq_internal.h"

#define TEXT_MAX 300

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[TEXT_MAX + 1], written[STOQ_ADDRESS_TEXT_BYTES];
    struct sockaddr_in6 address, again;
    size_t len = size < TEXT_MAX ? size : TEXT_MAX;

    if (len > 0)
        memcpy(text, data, len);
    text[len] = '\0';
    if (stoq_address_parse(text, 4433, &address, NULL) != 0)
        return 0;
    stoq_address_text(&address, written);
    if (memchr(written, '\0', sizeof written) == NULL ||
        stoq_address_parse(written, 1, &again, NULL) != 0 || again.sin6_port != address.sin6_port ||
        memcmp(&again.sin6_addr, &address.sin6_addr, sizeof again.sin6_addr) != 0)
        abort();
    return 0;
}
