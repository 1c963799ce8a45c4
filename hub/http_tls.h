/*
 * http_tls: the server's certificate and key, as the library wants them (contract §7).
 *
 * Threads: any; used before the server starts.
 */
#ifndef HUB_HTTP_TLS_H
#define HUB_HTTP_TLS_H

#include <stdbool.h>

/* TLS 1.2 and 1.3 alone, as GnuTLS says it. */
#define HTTP_TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct http_tls {
    char *certificate, *key; /* PEM, NUL-terminated; NULL: there is no TLS */
};
/* Reads both files; both names NULL is no TLS. False, and text in `error`, where one cannot be
 * read. */
bool http_tls_load(struct http_tls *tls, const char *certificate_file, const char *key_file,
                   char error[256]);
/* Wipes the key. */
void http_tls_done(struct http_tls *tls);

#endif
