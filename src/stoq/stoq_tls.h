/* TLS 1.3 for QUIC over OpenSSL 3.5 and ngtcp2's helper: contexts, sessions, verification, tickets. Knows nothing of
 * streams or sockets. */
#ifndef STOQ_TLS_H
#define STOQ_TLS_H

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>

#include "stoq_internal.h"

/* One per endpoint: the client's and the server's SSL_CTX made from a configuration. */
struct stoq_tls;
int stoq_tls_new(struct stoq_tls **out, const struct stoq_config *config, struct stoq_error *error);
void stoq_tls_free(struct stoq_tls *tls);

/* What a session tells its owner. Called inside ngtcp2_conn_read_pkt and write. */
struct stoq_tls_events {
    void *ctx;
    /* A ticket came (client): opaque bytes, the `ticket` of a struct stoq_session. Valid during the call. NULL: not
     * wanted. */
    void (*ticket)(void *ctx, struct stoq_bytes ticket);
};

/* One per connection. */
struct stoq_tls_session;
/* ref: as ngtcp2_crypto_conn_ref demands, owned by the caller, outlives the session. name: server name (client), copied;
 * NULL in a server. resume: what `ticket` gave earlier, or empty; one that is damaged, too old, or whose server's
 * certificate the verify callback refuses now is ignored and resumption not tried. STOQ_ENOMEM, STOQ_EINVAL,
 * STOQ_EINTERNAL. */
int stoq_tls_session_new(struct stoq_tls_session **out, struct stoq_tls *tls, bool server,
                         const char *name, struct stoq_bytes resume, ngtcp2_crypto_conn_ref *ref,
                         const struct stoq_tls_events *events, struct stoq_error *error);
void stoq_tls_session_free(
    struct stoq_tls_session *session); /* before ngtcp2_conn_del or after: both must work */
void *stoq_tls_native(struct stoq_tls_session *session); /* for ngtcp2_conn_set_tls_native_handle */
bool stoq_tls_early_possible(
    const struct stoq_tls_session *session); /* client: the ticket allows 0-RTT */
/* Client: no 0-RTT although it is possible (its transport parameters are missing). Before the first step. */
void stoq_tls_early_withdraw(struct stoq_tls_session *session);
/* What became of 0-RTT, once the handshake is complete. A client whose early data was refused must call
 * ngtcp2_conn_tls_early_data_rejected. NONE: none was offered. */
enum stoq_tls_early { STOQ_TLS_EARLY_NONE, STOQ_TLS_EARLY_ACCEPTED, STOQ_TLS_EARLY_REFUSED };
enum stoq_tls_early stoq_tls_early_status(const struct stoq_tls_session *session);
/* For the recv_crypto_data callback, in place of ngtcp2_crypto_recv_crypto_data_cb, and with its results: drives the
 * handshake, has clients without a certificate verified, and sets the alert that the verify callback chose. */
int stoq_tls_crypto_data(struct stoq_tls_session *session, ngtcp2_conn *conn,
                         ngtcp2_encryption_level level, const uint8_t *data, size_t len);
/* For recv_tx_key, when keys of 1-RTT come and ngtcp2 has no transport parameters of the peer: ends the handshake (RFC 9001
 * section 8.2). OpenSSL leaves that to ngtcp2, and 1.22 would end the process at its next packet. */
int stoq_tls_no_parameters(struct stoq_tls_session *session, ngtcp2_conn *conn);

/* For the handshake_confirmed callback: frees what TLS needs no longer (a server's at once, a client's when its ticket
 * has come). ngtcp2_conn's native handle is NULL from then on. All that is asked of the session below still works. */
void stoq_tls_confirmed(struct stoq_tls_session *session);
bool stoq_tls_resumed(const struct stoq_tls_session *session);
const char *stoq_tls_group(
    const struct stoq_tls_session *session); /* static; "" before the handshake */
const char *stoq_tls_cipher(const struct stoq_tls_session *session);
struct stoq_bytes stoq_tls_peer_leaf(const struct stoq_tls_session *session); /* DER, borrowed */
/* The sentence of the verify callback that refused, or of TLS's own refusal; "" when there is none. */
const char *stoq_tls_refusal(const struct stoq_tls_session *session);

/* Packet protection (RFC 9001 section 5): sets encrypt, decrypt, hp_mask, update_key and delete_crypto_*_ctx of
 * *callbacks (see stoq_protect.c for what was measured). */
void stoq_protect_install(ngtcp2_callbacks *callbacks);

/* Once per process, from any thread: algorithms fetched. STOQ_EINTERNAL when one is missing. */
int stoq_tls_setup(struct stoq_error *error);

/* --- Sessions to resume with: ticket, transport parameters for 0-RTT, address token; one blob with a version --- */
struct stoq_session {
    struct stoq_bytes ticket; /* SSL_SESSION, DER */
    struct stoq_bytes parameters; /* ngtcp2_conn_encode_0rtt_transport_params; may be empty */
    struct stoq_bytes token; /* NEW_TOKEN; may be empty */
};
/* STOQ_ELIMIT past STOQ_SESSION_BYTES_MAX. *out is hm_malloc'ed. */
int stoq_session_pack(const struct stoq_session *session, uint8_t **out, size_t *out_len);
int stoq_session_parse(struct stoq_bytes packed,
                       struct stoq_session *out); /* borrows; STOQ_EPARSE. Fuzzed. */

#endif
