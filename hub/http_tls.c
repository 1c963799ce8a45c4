#include "hub/http_tls.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEM_MAX_BYTES = 256 * 1024 };

/* NUL-terminated; NULL, and text in `error`. */
static char *read_pem(const char *path, char error[256])
{
    FILE *file = fopen(path, "re");
    char *text = file ? calloc(1, PEM_MAX_BYTES + 1) : NULL;
    if (!file) {
        snprintf(error, 256, "%s: %m", path);
        return NULL;
    }
    size_t size = text ? fread(text, 1, PEM_MAX_BYTES, file) : 0;
    bool good = text && !ferror(file) && size < PEM_MAX_BYTES && strstr(text, "-----BEGIN ");
    fclose(file);
    if (good)
        return text;
    snprintf(error, 256, "%s: there is no PEM in it", path);
    free(text);
    return NULL;
}

bool http_tls_load(struct http_tls *tls, const char *certificate_file, const char *key_file,
                   char error[256])
{
    *tls = (struct http_tls){NULL, NULL};
    if (!certificate_file && !key_file)
        return true;
    tls->certificate = read_pem(certificate_file, error);
    tls->key = tls->certificate ? read_pem(key_file, error) : NULL;
    if (tls->key)
        return true;
    http_tls_done(tls);
    return false;
}

void http_tls_done(struct http_tls *tls)
{
    free(tls->certificate);
    if (tls->key)
        OPENSSL_cleanse(tls->key, strlen(tls->key));
    free(tls->key);
    *tls = (struct http_tls){NULL, NULL};
}
