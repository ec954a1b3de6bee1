/* What names people: certificates, keys and revocation lists as text, chains as a peer shows them, and what a server
 * put into its tickets. The first byte picks which. */
#include <stdlib.h>

#include "stoq_tls_chain.h"

#define WALL_SECONDS 1800000000ULL
#define TICKET_BYTES 16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A ticket's data that parses is written to bytes that parse to the same. */
static void ticket(struct stoq_bytes bytes)
{
    static uint8_t written[TICKET_BYTES];
    struct stoq_ticket_data parsed, again;
    size_t len;

    if (stoq_ticket_data_parse(bytes, &parsed) != 0)
        return;
    len = stoq_ticket_data_write(&parsed, written, sizeof written);
    if (len == 0)
        return;
    if (stoq_ticket_data_parse((struct stoq_bytes){written, len}, &again) != 0 ||
        again.rest_count != parsed.rest_count)
        abort();
}

static void chain(struct stoq_bytes bytes, const char *authority)
{
    struct stoq_peer peer = {
        .chain = &bytes, .count = 1, .expected_name = "server.test", .wall_seconds = WALL_SECONDS};
    struct stoq_trust *trust = NULL;
    struct stoq_error error;
    uint8_t alert = 0;

    if (stoq_trust_new(&trust, (struct stoq_bytes){(const uint8_t *)authority, strlen(authority)},
                       (struct stoq_bytes){NULL, 0}, &error) != 0)
        abort();
    if (stoq_trust_verify(trust, &peer, &alert, &error) == 0)
        abort(); /* nobody has the authority's key any more */
    stoq_trust_unref(trust);
}

/* A certificate of an authority whose key was thrown away. */
static const char authority_pem[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBPjCB8aADAgECAhQOMjwHvl6N847h1XDIgPoSoB2MPTAFBgMrZXAwFDESMBAG\n"
    "A1UEAwwJYXV0aG9yaXR5MCAXDTI2MTEyMTA4MzI0MloYDzIwODEwODI0MDgzMjQy\n"
    "WjAUMRIwEAYDVQQDDAlhdXRob3JpdHkwKjAFBgMrZXADIQAWB1IjufZZQ+L8Evcf\n"
    "XRix8UwmxfxzC106GEHrXiDsV6NTMFEwHQYDVR0OBBYEFN6eckatEy5RtdqxuOir\n"
    "NpUzU+AuMB8GA1UdIwQYMBaAFN6eckatEy5RtdqxuOirNpUzU+AuMA8GA1UdEwEB\n"
    "/wQFMAMBAf8wBQYDK2VwA0EA/v2ymUwM9xbttP/i/lL1RxnOQ/op+5sbw9uKy/3I\n"
    "Hu6zD3gXc9V8a+SCRWBu/8oYqpi61je0VDigeaF9Z4CUAw==\n"
    "-----END CERTIFICATE-----\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_bytes rest = {data + 1, size - 1};
    struct stoq_identity *identity = NULL;
    struct stoq_trust *trust = NULL;
    struct stoq_error error;

    if (size == 0)
        return 0;
    switch (data[0] & 3) {
    case 0:
        ticket(rest);
        break;
    case 1:
        (void)stoq_identity_new(&identity, rest, rest, &error);
        stoq_identity_unref(identity);
        break;
    case 2:
        (void)stoq_trust_new(&trust, rest, (data[0] & 4) != 0 ? rest : (struct stoq_bytes){NULL, 0},
                             &error);
        stoq_trust_unref(trust);
        break;
    default:
        chain(rest, authority_pem);
        break;
    }
    return 0;
}
