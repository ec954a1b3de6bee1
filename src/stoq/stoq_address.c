/* Addresses and ports as text, both ways. IPv4 lives in IPv6 as ::ffff:a.b.c.d. */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>

#include "stoq_internal.h"

/* "[ffff:...:255.255.255.255%interface]:65535" is shorter. */
#define TEXT_MAX 96

/* Digits only, at most most. */
static bool number_parse(const char *text, uint32_t most, uint32_t *out)
{
    uint64_t value = 0;

    if (text[0] == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > most)
            return false;
    }
    *out = (uint32_t)value;
    return true;
}

static bool scope_parse(const char *text, uint32_t *out)
{
    if (number_parse(text, UINT32_MAX, out))
        return *out != 0;
    if (text[0] == '\0' || strlen(text) >= IF_NAMESIZE)
        return false;
    *out = if_nametoindex(text);
    return *out != 0;
}

/* host is changed: cut at '%'. */
static bool host_parse(char *host, struct sockaddr_in6 *out)
{
    struct in_addr v4;

    if (inet_pton(AF_INET, host, &v4) == 1) {
        out->sin6_addr = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
        memcpy(out->sin6_addr.s6_addr + 12, &v4, sizeof(v4));
        return true;
    }
    char *scope = strchr(host, '%');
    if (scope != NULL) {
        *scope++ = '\0';
        if (!scope_parse(scope, &out->sin6_scope_id))
            return false;
    }
    return inet_pton(AF_INET6, host, &out->sin6_addr) == 1;
}

/* Cuts "[host]:port", "host:port" and bare hosts; *port stays NULL without one. */
static bool split(char *text, char **host, char **port)
{
    *port = NULL;
    if (text[0] == '[') {
        char *close = strchr(text, ']');

        if (close == NULL || (close[1] != '\0' && close[1] != ':'))
            return false;
        *host = text + 1;
        *port = close[1] == ':' ? close + 2 : NULL;
        *close = '\0';
        return strchr(*host, ':') != NULL; /* brackets are for IPv6 */
    }
    *host = text;
    char *colon = strchr(text, ':');
    if (colon != NULL && strchr(colon + 1, ':') == NULL) {
        *colon = '\0';
        *port = colon + 1;
    }
    return true;
}

int stoq_address_parse(const char *text, uint16_t default_port, struct sockaddr_in6 *out,
                       struct stoq_error *error)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6};
    char copy[TEXT_MAX], *host, *port;
    uint32_t number = default_port;
    size_t len = text != NULL ? strnlen(text, sizeof(copy)) : sizeof(copy);

    if (len < sizeof(copy)) {
        memcpy(copy, text, len + 1);
        if (split(copy, &host, &port) && (port == NULL || number_parse(port, 65535, &number)) &&
            host_parse(host, &address)) {
            address.sin6_port = htons((uint16_t)number);
            *out = address;
            return 0;
        }
    }
    return stoq_fail(error, STOQ_EPARSE,
                     "\"%.80s\" is no address; write [::1]:4433, 10.0.0.1:4433 or an address alone",
                     text != NULL ? text : "");
}

void stoq_address_text(const struct sockaddr_in6 *address, char out[STOQ_ADDRESS_TEXT_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned port = ntohs(address->sin6_port);

    if (IN6_IS_ADDR_V4MAPPED(&address->sin6_addr)) {
        (void)inet_ntop(AF_INET, address->sin6_addr.s6_addr + 12, host, sizeof(host));
        (void)snprintf(out, STOQ_ADDRESS_TEXT_BYTES, "%s:%u", host, port);
        return;
    }
    (void)inet_ntop(AF_INET6, &address->sin6_addr, host, sizeof(host));
    if (address->sin6_scope_id != 0)
        (void)snprintf(out, STOQ_ADDRESS_TEXT_BYTES, "[%s%%%u]:%u", host, address->sin6_scope_id,
                       port);
    else
        (void)snprintf(out, STOQ_ADDRESS_TEXT_BYTES, "[%s]:%u", host, port);
}
