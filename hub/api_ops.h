/*
 * api_ops: is it alive, is it ready, what does it measure, what is it (contract §5).
 */
#ifndef HUB_API_OPS_H
#define HUB_API_OPS_H

#include "hub/http.h"

http_handler api_livez;   /* GET /livez: the process answers */
http_handler api_readyz;  /* GET /readyz: whether it can serve, check by check */
http_handler api_metrics; /* GET /metrics */
http_handler api_version; /* GET /version */

#endif
