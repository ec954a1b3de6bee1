/* A peer for bench/stoq: TCP with TLS 1.3 of our OpenSSL, or without; the command line and protocol of bench/stoq/quicgo.
 *
 *   peer server PORT                                  on PEER_HOST (::1); prints "ready [::1]:PORT"; ends when its input ends
 *   peer client ADDRESS CONNECTIONS STREAMS SECONDS   a stream is a connection here, with a thread on each side
 *   peer handshakes ADDRESS SECONDS AT_ONCE           each a new connection
 *   peer identity KEY CERT                            writes a new key and its certificate (PEM), for other peers
 *
 * PEER_PLAIN=1: no TLS. PEER_KTLS=1: the kernel encrypts where it can. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PIECE_BYTES (256 * 1024)
#define STREAMS_MAX 256

static bool plain;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "peer: %s: %s\n", what, strerror(errno));
    ERR_print_errors_fp(stderr);
    _exit(1);
}

static double seconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_seconds(void)
{
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

/* The comparison is of speed: any certificate will do, but its key must sign. */
static int anyone(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

static void identity(EVP_PKEY **key, X509 **cert)
{
    *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    *cert = X509_new();
    if (*key == NULL || *cert == NULL || X509_set_version(*cert, X509_VERSION_3) != 1 ||
        ASN1_INTEGER_set(X509_get_serialNumber(*cert), 1) != 1 ||
        X509_gmtime_adj(X509_getm_notBefore(*cert), 0) == NULL ||
        X509_gmtime_adj(X509_getm_notAfter(*cert), 86400) == NULL ||
        X509_set_pubkey(*cert, *key) != 1 || X509_sign(*cert, *key, NULL) == 0)
        fail("certificate");
}

static void identity_write(const char *key_path, const char *cert_path)
{
    EVP_PKEY *key;
    X509 *cert;
    FILE *key_file = fopen(key_path, "w"), *cert_file = fopen(cert_path, "w");

    identity(&key, &cert);
    if (key_file == NULL || cert_file == NULL ||
        PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_X509(cert_file, cert) != 1 || fclose(key_file) != 0 || fclose(cert_file) != 0)
        fail("write");
    X509_free(cert);
    EVP_PKEY_free(key);
}

static SSL_CTX *context(bool server)
{
    SSL_CTX *made = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    EVP_PKEY *key;
    X509 *cert;

    identity(&key, &cert);
    if (made == NULL || SSL_CTX_use_certificate(made, cert) != 1 ||
        SSL_CTX_use_PrivateKey(made, key) != 1 ||
        SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set1_groups_list(made, "X25519MLKEM768") != 1 ||
        SSL_CTX_set_ciphersuites(made, "TLS_AES_128_GCM_SHA256") != 1)
        fail("TLS");
    SSL_CTX_set_verify(made, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, anyone);
    SSL_CTX_set_num_tickets(made, 0);
    if (getenv("PEER_KTLS") != NULL)
        SSL_CTX_set_options(made, SSL_OP_ENABLE_KTLS);
    X509_free(cert);
    EVP_PKEY_free(key);
    return made;
}

struct end {
    int fd;
    SSL *ssl; /* NULL: plain */
};

static struct end end_open(SSL_CTX *tls, int fd, bool server)
{
    struct end end = {.fd = fd};
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (plain)
        return end;
    end.ssl = SSL_new(tls);
    if (end.ssl == NULL || SSL_set_fd(end.ssl, fd) != 1 ||
        (server ? SSL_accept(end.ssl) : SSL_connect(end.ssl)) != 1)
        fail("handshake");
    if (!server && getenv("PEER_KTLS") != NULL && BIO_get_ktls_send(SSL_get_wbio(end.ssl)) == 0) {
        fputs("peer: the kernel does not do TLS here\n", stderr);
        _exit(1);
    }
    return end;
}

static void end_close(struct end *end)
{
    SSL_free(end->ssl);
    close(end->fd);
}

static long end_read(struct end *end, void *out, size_t len)
{
    return end->ssl != NULL ? SSL_read(end->ssl, out, (int)len) : recv(end->fd, out, len, 0);
}

static void end_write(struct end *end, const uint8_t *data, size_t len)
{
    while (len > 0) {
        long n = end->ssl != NULL ? SSL_write(end->ssl, data, (int)len)
                                  : send(end->fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            fail("write");
        data += n;
        len -= (size_t)n;
    }
}

static void end_finish(struct end *end)
{
    if (end->ssl != NULL)
        SSL_shutdown(end->ssl);
    else
        shutdown(end->fd, SHUT_WR);
}

/* How many bytes the server has received. */
static uint64_t end_answer(struct end *end)
{
    uint8_t answer[8];
    uint64_t total = 0;
    long have = 0, n;

    while (have < 8 && (n = end_read(end, answer + have, (size_t)(8 - have))) > 0)
        have += n;
    if (have != 8)
        fail("answer");
    for (int i = 0; i < 8; i++)
        total = total << 8 | answer[i];
    return total;
}

static SSL_CTX *server_tls;

static void *serve(void *arg)
{
    struct end end = end_open(server_tls, (int)(intptr_t)arg, true);
    uint8_t *piece = malloc(PIECE_BYTES), answer[8];
    uint64_t total = 0;
    long n;

    while ((n = end_read(&end, piece, PIECE_BYTES)) > 0)
        total += (uint64_t)n;
    for (int i = 0; i < 8; i++)
        answer[i] = (uint8_t)(total >> (56 - 8 * i));
    if (total > 0)
        end_write(&end, answer, sizeof(answer));
    end_close(&end);
    free(piece);
    return NULL;
}

static void *accept_all(void *arg)
{
    int listener = (int)(intptr_t)arg, fd;

    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) != 0)
            fail("thread");
        pthread_detach(thread);
    }
    fail("accept");
}

static struct sockaddr_in6 address_of(const char *text) /* "[::1]:PORT" */
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6};
    char host[64];
    int port;

    if (sscanf(text, "[%63[^]]]:%d", host, &port) != 2 ||
        inet_pton(AF_INET6, host, &address.sin6_addr) != 1)
        fail(text);
    address.sin6_port = htons((uint16_t)port);
    return address;
}

static void server(const char *host, int port)
{
    char text[96], byte;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    socklen_t len = sizeof(struct sockaddr_in6);
    pthread_t thread;

    snprintf(text, sizeof(text), "[%s]:%d", host, port);
    struct sockaddr_in6 address = address_of(text);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, 1024) != 0 || getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        fail("listen");
    server_tls = context(true);
    printf("ready [%s]:%d\n", host, ntohs(address.sin6_port));
    fflush(stdout);
    if (pthread_create(&thread, NULL, accept_all, (void *)(intptr_t)fd) != 0)
        fail("thread");
    while (read(0, &byte, 1) > 0)
        ;
    printf("{\"cpu_seconds\": %.3f}\n", cpu_seconds());
}

static struct end dial(SSL_CTX *tls, const char *address_text)
{
    struct sockaddr_in6 address = address_of(address_text);
    int fd = socket(AF_INET6, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        fail("connect");
    return end_open(tls, fd, false);
}

struct sender {
    struct end end;
    double until;
    uint64_t total;
};

static void *send_for(void *arg)
{
    struct sender *sender = arg;
    uint8_t *piece = calloc(1, PIECE_BYTES);

    while (seconds_of(CLOCK_MONOTONIC) < sender->until)
        end_write(&sender->end, piece, PIECE_BYTES);
    end_finish(&sender->end);
    sender->total = end_answer(&sender->end);
    free(piece);
    return NULL;
}

static void client(const char *address, unsigned count, double seconds)
{
    static struct sender senders[STREAMS_MAX];
    pthread_t threads[STREAMS_MAX];
    SSL_CTX *tls = context(false);
    uint64_t total = 0;

    if (count == 0 || count > STREAMS_MAX)
        fail("1 to 256 streams");
    for (unsigned i = 0; i < count; i++)
        senders[i].end = dial(tls, address);
    double start = seconds_of(CLOCK_MONOTONIC), cpu = cpu_seconds();
    for (unsigned i = 0; i < count; i++) {
        senders[i].until = start + seconds;
        if (pthread_create(&threads[i], NULL, send_for, &senders[i]) != 0)
            fail("thread");
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        total += senders[i].total;
    }
    double elapsed = seconds_of(CLOCK_MONOTONIC) - start;
    printf("{\"bytes\": %llu, \"seconds\": %.3f, \"gbit_s\": %.3f, \"cpu_seconds\": %.3f}\n",
           (unsigned long long)total, elapsed, (double)total * 8 / elapsed / 1e9,
           cpu_seconds() - cpu);
    SSL_CTX_free(tls);
}

struct shaker {
    const char *address;
    SSL_CTX *tls;
    double until;
    unsigned long count;
};

static void *shake(void *arg)
{
    struct shaker *shaker = arg;

    for (; seconds_of(CLOCK_MONOTONIC) < shaker->until; shaker->count++) {
        struct end end = dial(shaker->tls, shaker->address);
        end_write(&end, (const uint8_t *)"?", 1);
        end_finish(&end);
        end_answer(&end);
        end_close(&end);
    }
    return NULL;
}

static void handshakes(const char *address, double seconds, unsigned at_once)
{
    struct shaker shakers[STREAMS_MAX];
    pthread_t threads[STREAMS_MAX];
    SSL_CTX *tls = context(false);
    unsigned long count = 0;
    double start = seconds_of(CLOCK_MONOTONIC), cpu = cpu_seconds();

    if (at_once == 0 || at_once > STREAMS_MAX)
        fail("1 to 256 at once");
    for (unsigned i = 0; i < at_once; i++) {
        shakers[i] = (struct shaker){.address = address, .tls = tls, .until = start + seconds};
        if (pthread_create(&threads[i], NULL, shake, &shakers[i]) != 0)
            fail("thread");
    }
    for (unsigned i = 0; i < at_once; i++) {
        pthread_join(threads[i], NULL);
        count += shakers[i].count;
    }
    double elapsed = seconds_of(CLOCK_MONOTONIC) - start;
    printf(
        "{\"handshakes\": %lu, \"seconds\": %.3f, \"per_second\": %.1f, \"cpu_seconds\": %.3f}\n",
        count, elapsed, (double)count / elapsed, cpu_seconds() - cpu);
    SSL_CTX_free(tls);
}

int main(int argc, char **argv)
{
    plain = getenv("PEER_PLAIN") != NULL;
    const char *host = getenv("PEER_HOST") != NULL ? getenv("PEER_HOST") : "::1";
    if (argc == 3 && strcmp(argv[1], "server") == 0)
        server(host, (int)strtol(argv[2], NULL, 10));
    else if (argc == 6 && strcmp(argv[1], "client") == 0)
        client(argv[2], (unsigned)(strtol(argv[3], NULL, 10) * strtol(argv[4], NULL, 10)),
               strtod(argv[5], NULL));
    else if (argc == 5 && strcmp(argv[1], "handshakes") == 0)
        handshakes(argv[2], strtod(argv[3], NULL), (unsigned)strtol(argv[4], NULL, 10));
    else if (argc == 4 && strcmp(argv[1], "identity") == 0)
        identity_write(argv[2], argv[3]);
    else
        fputs("usage: peer server PORT | client ADDRESS CONNECTIONS STREAMS SECONDS | handshakes "
              "ADDRESS SECONDS AT_ONCE | identity KEY CERT\n",
              stderr);
    return 0;
}
