#include "hub/api_openapi.h"

#include "hub/api_vehicles.h"

#include <pthread.h>
#include <string.h>

static pthread_once_t tagged = PTHREAD_ONCE_INIT;
static char etag[HTTP_ETAG_BYTES];

/* The document is the same as long as the program runs: its digest is taken once. */
static void make_tag(void)
{
    struct http_reply whole = {.body = BUF_INIT};
    buf_add(&whole.body, openapi_json, openapi_json_bytes);
    if (!whole.body.failed)
        api_tag_by_content(&whole);
    memcpy(etag, whole.etag, sizeof etag);
    buf_done(&whole.body);
}

void api_openapi(const struct http_request *request, struct http_reply *reply)
{
    pthread_once(&tagged, make_tag);
    memcpy(reply->etag, etag, sizeof etag);
    if (!etag[0] || !http_etag_known(request, etag))
        buf_add(&reply->body, openapi_json, openapi_json_bytes);
}
