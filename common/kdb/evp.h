/*
 * evp - libcrypto's message digests, by the names that OpenSSL has had since 1.1.0, also
 * with 1.0.2.
 */
#ifndef KPC_EVP_H
#define KPC_EVP_H

#include <openssl/evp.h>
#include <openssl/opensslv.h>

#if OPENSSL_VERSION_NUMBER < 0x10100000L
#define EVP_MD_CTX_new EVP_MD_CTX_create
#define EVP_MD_CTX_free EVP_MD_CTX_destroy
#endif

#endif
