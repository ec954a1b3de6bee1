/* The peer's certificates on their way from OpenSSL to the verify callback, and its answer back. */
#include "stoq_tls_inside.h"

static void refusal_keep(struct stoq_tls_session *session, const char *text, uint8_t alert)
{
    hm_free(session->refusal);
    session->refusal = hm_strdup(text); /* NULL: the refusal stands, its sentence is lost */
    session->refusal_alert = alert;
    session->refused = true;
}

int stoq_tls_ask(struct stoq_tls_session *session, const struct stoq_chain *chain)
{
    const struct stoq_tls *tls = session->tls;
    struct stoq_error error = {.text = ""};
    uint8_t alert = chain->count == 0 ? 116 /* certificate_required */ : SSL_AD_BAD_CERTIFICATE;
    struct stoq_peer peer = {
        .chain = chain->list,
        .count = chain->count,
        .expected_name = session->name,
        .wall_seconds = stoq_tls_now(tls),
    };
    int rc = tls->verify(tls->verify_ctx, &peer, &alert, &error);
    if (rc == 0)
        return 0;
    hm_text_clean(error.text);
    refusal_keep(session, error.text[0] == '\0' ? "the peer's certificate was refused" : error.text,
                 alert);
    return rc < 0 ? rc : STOQ_EAUTH;
}

static int take_chain(struct stoq_tls_session *session, X509_STORE_CTX *store)
{
    struct stoq_chain chain = {0};
    int rc = stoq_chain_of_x509(&chain, X509_STORE_CTX_get0_cert(store),
                                X509_STORE_CTX_get0_untrusted(store));
    if (rc == STOQ_ELIMIT)
        refusal_keep(session, "the peer showed more than 8 certificates", SSL_AD_BAD_CERTIFICATE);
    else if (rc != 0)
        refusal_keep(session, "no memory for the peer's certificates", SSL_AD_INTERNAL_ERROR);
    else
        rc = stoq_tls_ask(session, &chain);
    if (rc != 0) {
        stoq_chain_release(&chain);
        return rc;
    }
    stoq_chain_release(&session->peer);
    session->peer = chain;
    session->shown = true;
    return 0;
}
_Static_assert(STOQ_CHAIN_CERTIFICATES_MAX == 8, "the sentence above says so");

int stoq_tls_on_certificates(X509_STORE_CTX *store, void *tls)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct stoq_tls_session *session = ssl == NULL ? NULL : stoq_tls_of_ssl(ssl);
    (void)tls;
    if (session == NULL || take_chain(session, store) != 0) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
        return 0;
    }
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}
