/* See test_core_hostile.h. */
#include "test_core_hostile.h"

#define TICK_NS     (5 * MS)
#define PACKET_MAX  1452
#define WRITES_MAX  64
#define PLAIN_BYTES 65536

/* ngtcp2 gives its packet callbacks no context: whose packet is being written. */
static struct hostile *writing;

static enum hostile_level level_of(const uint8_t *header)
{
    if ((header[0] & 0x80) == 0)
        return HOSTILE_SHORT;
    return (header[0] >> 4 & 3) == 0 ? HOSTILE_INITIAL : HOSTILE_HANDSHAKE;
}

static int on_encrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                      const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *plain, size_t plain_len,
                      const uint8_t *nonce, size_t nonce_len, const uint8_t *header,
                      size_t header_len)
{
    static uint8_t changed[PLAIN_BYTES], bits[256];
    struct hostile *hostile = writing;

    if (hostile == NULL)
        return ngtcp2_crypto_encrypt_cb(dest, aead, ctx, plain, plain_len, nonce, nonce_len, header,
                                        header_len);
    memcpy(changed, plain, plain_len);
    if (hostile->mutate != NULL)
        hostile->mutate(hostile, level_of(header), changed, plain_len);
    if (hostile->armed && level_of(header) == hostile->level && plain_len >= hostile->frames_len) {
        memset(changed, 0, plain_len);
        memcpy(changed, hostile->frames, hostile->frames_len);
        hostile->armed = false;
        hostile->header_mask = hostile->header_bits;
    }
    memcpy(bits, header, header_len);
    bits[0] ^= hostile->header_mask;
    return ngtcp2_crypto_encrypt_cb(dest, aead, ctx, changed, plain_len, nonce, nonce_len, bits,
                                    header_len);
}

static int on_hp_mask(uint8_t *dest, const ngtcp2_crypto_cipher *hp,
                      const ngtcp2_crypto_cipher_ctx *ctx, const uint8_t *sample)
{
    int code = ngtcp2_crypto_hp_mask_cb(dest, hp, ctx, sample);

    if (writing != NULL) {
        dest[0] ^= writing->header_mask;
        writing->header_mask = 0;
    }
    return code;
}

static void on_rand(uint8_t *dest, size_t len, const ngtcp2_rand_ctx *ctx)
{
    struct world *world = ctx->native_handle;

    for (size_t i = 0; i < len; i++)
        dest[i] = (uint8_t)stoq_net_random(world->net);
}

static int on_new_cid(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t len, void *user)
{
    struct hostile *hostile = user;

    (void)conn;
    cid->datalen = len;
    for (size_t i = 0; i < len; i++)
        cid->data[i] = (uint8_t)stoq_net_random(hostile->world->net);
    for (size_t i = 0; i < NGTCP2_STATELESS_RESET_TOKENLEN; i++)
        token[i] = (uint8_t)stoq_net_random(hostile->world->net);
    return 0;
}

static int on_complete(ngtcp2_conn *conn, void *user)
{
    struct hostile *hostile = user;

    (void)conn;
    hostile->complete = true;
    return 0;
}

static int on_stream_data(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t offset,
                          const uint8_t *data, size_t len, void *user, void *stream_user)
{
    struct hostile *hostile = user;

    (void)flags;
    (void)offset;
    (void)data;
    (void)stream_user;
    hostile->taken += len;
    (void)ngtcp2_conn_extend_max_stream_offset(conn, id, len);
    ngtcp2_conn_extend_max_offset(conn, len);
    return 0;
}

static ngtcp2_conn *conn_of(ngtcp2_crypto_conn_ref *ref)
{
    struct hostile *hostile = ref->user_data;

    return hostile->conn;
}

/* --- TLS ------------------------------------------------------------------------------------------------------------ */

static const unsigned char alpn[] = {4, 't', 'e', 's', 't'};

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned int in_len, void *arg)
{
    (void)ssl;
    (void)in;
    (void)in_len;
    (void)arg;
    *out = alpn + 1;
    *out_len = alpn[0];
    return SSL_TLSEXT_ERR_OK;
}

static void use_certificate(struct hostile *hostile, struct pki *pki)
{
    char *chain, *key;
    BIO *bio;
    X509 *leaf;
    EVP_PKEY *secret;

    pki_leaf(pki, hostile->server ? "server.test" : "client.test",
             hostile->server ? PKI_GOOD : PKI_CLIENT, &chain, &key);
    bio = BIO_new_mem_buf(chain, -1);
    leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    bio = BIO_new_mem_buf(key, -1);
    secret = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_int_equal(SSL_CTX_use_certificate(hostile->tls, leaf), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(hostile->tls, secret), 1);
    X509_free(leaf);
    EVP_PKEY_free(secret);
    free(chain);
    free(key);
}

static void make_tls(struct hostile *hostile, struct pki *pki)
{
    hostile->tls = SSL_CTX_new(hostile->server ? TLS_server_method() : TLS_client_method());
    assert_non_null(hostile->tls);
    assert_int_equal(SSL_CTX_set1_groups_list(hostile->tls, "X25519"), 1); /* one packet's hello */
    use_certificate(hostile, pki);
    if (hostile->server)
        SSL_CTX_set_alpn_select_cb(hostile->tls, choose_alpn, NULL);
    hostile->ssl = SSL_new(hostile->tls);
    assert_int_equal(ngtcp2_crypto_ossl_ctx_new(&hostile->ossl, hostile->ssl), 0);
    hostile->ref = (ngtcp2_crypto_conn_ref){.get_conn = conn_of, .user_data = hostile};
    SSL_set_app_data(hostile->ssl, &hostile->ref);
    if (hostile->server) {
        assert_int_equal(ngtcp2_crypto_ossl_configure_server_session(hostile->ssl), 0);
        SSL_set_accept_state(hostile->ssl);
        return;
    }
    assert_int_equal(ngtcp2_crypto_ossl_configure_client_session(hostile->ssl), 0);
    SSL_set_connect_state(hostile->ssl);
    assert_int_equal(SSL_set_alpn_protos(hostile->ssl, alpn, sizeof alpn), 0);
    assert_int_equal(SSL_set_tlsext_host_name(hostile->ssl, "server.test"), 1);
}

/* --- The connection --------------------------------------------------------------------------------------------------- */

static void make_callbacks(ngtcp2_callbacks *out)
{
    *out = (ngtcp2_callbacks){.client_initial = ngtcp2_crypto_client_initial_cb,
                              .recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
                              .recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
                              .handshake_completed = on_complete,
                              .encrypt = on_encrypt,
                              .decrypt = ngtcp2_crypto_decrypt_cb,
                              .hp_mask = on_hp_mask,
                              .recv_stream_data = on_stream_data,
                              .recv_retry = ngtcp2_crypto_recv_retry_cb,
                              .rand = on_rand,
                              .get_new_connection_id = on_new_cid,
                              .update_key = ngtcp2_crypto_update_key_cb,
                              .delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
                              .delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
                              .get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
                              .version_negotiation = ngtcp2_crypto_version_negotiation_cb};
}

static ngtcp2_path path_of(struct hostile *hostile)
{
    return (ngtcp2_path){.local = {(ngtcp2_sockaddr *)&hostile->local, sizeof hostile->local},
                         .remote = {(ngtcp2_sockaddr *)&hostile->remote, sizeof hostile->remote}};
}

static void make_conn(struct hostile *hostile, const ngtcp2_pkt_hd *first)
{
    ngtcp2_path path = path_of(hostile);
    ngtcp2_transport_params params;
    ngtcp2_settings settings;
    ngtcp2_callbacks callbacks;
    ngtcp2_cid scid, dcid;
    uint8_t random[HOSTILE_SCID_BYTES];

    make_callbacks(&callbacks);
    ngtcp2_settings_default(&settings);
    settings.initial_ts = stoq_net_now(hostile->world->net);
    settings.rand_ctx.native_handle = hostile->world;
    ngtcp2_transport_params_default(&params);
    params.initial_max_stream_data_bidi_local = params.initial_max_stream_data_bidi_remote =
        params.initial_max_stream_data_uni = 1 << 20;
    params.initial_max_data = 1 << 22;
    params.initial_max_streams_bidi = params.initial_max_streams_uni = 100;
    params.max_idle_timeout = 30 * SECOND;
    for (size_t i = 0; i < sizeof random; i++) {
        random[i] = (uint8_t)stoq_net_random(hostile->world->net);
        hostile->scid[i] = (uint8_t)stoq_net_random(hostile->world->net);
    }
    ngtcp2_cid_init(&scid, hostile->scid, sizeof hostile->scid);
    ngtcp2_cid_init(&dcid, random, sizeof random);
    if (first != NULL) {
        params.original_dcid = first->dcid;
        params.original_dcid_present = 1;
        assert_int_equal(ngtcp2_conn_server_new(&hostile->conn, &first->scid, &scid, &path,
                                                first->version, &callbacks, &settings, &params,
                                                NULL, hostile),
                         0);
    } else {
        assert_int_equal(ngtcp2_conn_client_new(&hostile->conn, &dcid, &scid, &path,
                                                NGTCP2_PROTO_VER_V1, &callbacks, &settings, &params,
                                                NULL, hostile),
                         0);
    }
    ngtcp2_conn_set_tls_native_handle(hostile->conn, hostile->ossl);
}

static void put(struct hostile *hostile, const uint8_t *data, ngtcp2_ssize len)
{
    struct sockaddr_in6 to = stoq_net_address(hostile->world->net, hostile->peer, 0);

    stoq_net_inject(hostile->world->net, &hostile->local, &to, data, (size_t)len);
}

static void write_all(struct hostile *hostile)
{
    ngtcp2_path_storage storage;
    ngtcp2_pkt_info info;
    uint8_t packet[PACKET_MAX];

    ngtcp2_path_storage_zero(&storage);
    for (unsigned i = 0; i < WRITES_MAX && hostile->conn != NULL && !hostile->over; i++) {
        ngtcp2_ssize len;
        writing = hostile;
        len = ngtcp2_conn_write_pkt(hostile->conn, &storage.path, &info, packet, sizeof packet,
                                    stoq_net_now(hostile->world->net));
        writing = NULL;
        if (len <= 0)
            return;
        put(hostile, packet, len);
    }
}

static void on_arrival(void *ctx, const struct sockaddr_in6 *from, uint8_t *data, size_t len)
{
    struct hostile *hostile = ctx;
    ngtcp2_pkt_info info = {0};
    ngtcp2_path path = path_of(hostile);
    ngtcp2_pkt_hd header;
    int code;

    if (hostile->over)
        return;
    if (hostile->conn == NULL) {
        if (!hostile->server || ngtcp2_accept(&header, data, len) != 0)
            return;
        hostile->remote = *from;
        make_conn(hostile, &header);
    }
    code = ngtcp2_conn_read_pkt(hostile->conn, &path, &info, data, len,
                                stoq_net_now(hostile->world->net));
    if (code != 0) {
        const ngtcp2_ccerr *why = ngtcp2_conn_get_ccerr(hostile->conn);
        hostile->over = true;
        hostile->code = why->error_code;
        hostile->application = why->type == NGTCP2_CCERR_TYPE_APPLICATION;
        return;
    }
    write_all(hostile);
}

static void tick(void *arg)
{
    struct hostile *hostile = arg;
    uint64_t now = stoq_net_now(hostile->world->net);

    if (hostile->conn != NULL && !hostile->over && ngtcp2_conn_get_expiry(hostile->conn) <= now) {
        if (ngtcp2_conn_handle_expiry(hostile->conn, now) != 0)
            hostile->over = true;
        write_all(hostile);
    }
    stoq_net_at(hostile->world->net, now + TICK_NS, tick, hostile);
}

void hostile_init(struct hostile *hostile, struct world *world, bool server, unsigned to,
                  struct pki *pki)
{
    memset(hostile, 0, sizeof *hostile);
    hostile->world = world;
    hostile->server = server;
    hostile->node = stoq_net_add(world->net);
    hostile->peer = to;
    hostile->stream = -1;
    hostile->local = stoq_net_address(world->net, hostile->node, 0);
    hostile->remote = stoq_net_address(world->net, to, 0);
    stoq_net_sink(world->net, hostile->node, on_arrival, hostile);
    make_tls(hostile, pki);
    stoq_net_at(world->net, stoq_net_now(world->net) + TICK_NS, tick, hostile);
}

void hostile_start(struct hostile *hostile)
{
    make_conn(hostile, NULL);
    write_all(hostile);
}

void hostile_release(struct hostile *hostile)
{
    ngtcp2_conn_del(hostile->conn);
    if (hostile->ssl != NULL)
        SSL_set_app_data(hostile->ssl, NULL);
    ngtcp2_crypto_ossl_ctx_del(hostile->ossl);
    SSL_free(hostile->ssl);
    SSL_CTX_free(hostile->tls);
}

/* False: the stream is over, or the peer lets nothing through. */
static bool write_stream(struct hostile *hostile, const void *data, size_t len, bool fin)
{
    ngtcp2_path_storage storage;
    ngtcp2_pkt_info info;
    uint8_t packet[PACKET_MAX];
    ngtcp2_ssize taken, size;

    ngtcp2_path_storage_zero(&storage);
    writing = hostile;
    size = ngtcp2_conn_write_stream(
        hostile->conn, &storage.path, &info, packet, sizeof packet, &taken,
        fin ? NGTCP2_WRITE_STREAM_FLAG_FIN : NGTCP2_WRITE_STREAM_FLAG_NONE, hostile->stream, data,
        len, stoq_net_now(hostile->world->net));
    writing = NULL;
    if (size <= 0)
        return false;
    put(hostile, packet, size);
    return true;
}

void hostile_send(struct hostile *hostile, enum hostile_level level, const uint8_t *frames,
                  size_t len)
{
    static const uint8_t filler[1000];

    assert_true(len <= sizeof hostile->frames);
    memcpy(hostile->frames, frames, len);
    hostile->frames_len = len;
    hostile->level = level;
    hostile->armed = true;
    if (level != HOSTILE_SHORT)
        return; /* goes with the next packet of that level */
    assert_true(hostile->complete);
    hostile->armed = false;
    write_all(hostile); /* what waits, so that the packet below carries nothing but the filler */
    hostile->armed = true;
    for (unsigned tries = 0; tries < 2 && hostile->armed; tries++) {
        if (hostile->stream < 0 &&
            ngtcp2_conn_open_bidi_stream(hostile->conn, &hostile->stream, NULL) != 0)
            return;
        if (!write_stream(hostile, filler, sizeof filler, false))
            hostile->stream = -1; /* it was ended: another one */
    }
}

void hostile_say(struct hostile *hostile, const void *data, size_t len)
{
    assert_int_equal(ngtcp2_conn_open_bidi_stream(hostile->conn, &hostile->stream, NULL), 0);
    assert_true(write_stream(hostile, data, len, true));
}

bool hostile_complete(void *ctx)
{
    const struct hostile *hostile = ctx;

    return hostile->complete || hostile->over;
}

bool hostile_over(void *ctx)
{
    const struct hostile *hostile = ctx;

    return hostile->over;
}

bool hostile_meet(struct hostile *hostile)
{
    struct world *world = hostile->world;
    struct stoq_conn *conn;

    if (!hostile->server) {
        hostile_start(hostile);
        return true;
    }
    struct stoq_target target = {.path = stoq_net_path(world->net, CLIENT, hostile->node),
                                 .name = "server.test"};
    return stoq_endpoint_connect(stoq_net_endpoint(world->net, CLIENT), &target,
                                 stoq_net_now(world->net), &conn, NULL) == 0;
}

void hostile_part(struct hostile *hostile, unsigned victim, struct stoq_conn *const kept[2])
{
    struct world *world = hostile->world;

    world->apps[victim].lazy = false;
    world_forget(&world->apps[SERVER]);
    stoq_net_tap(world->net, NULL, NULL);
    world->apps[0].conn = kept[0];
    world->apps[1].conn = kept[1];
    world_works(world, CLIENT, SERVER);
    world_release(world);
    hostile_release(hostile);
}
