/*
 * api_audit: tamper evidence over HTTP (contract §5). All handlers block (ROUTE_BLOCKING).
 */
#ifndef HUB_API_AUDIT_H
#define HUB_API_AUDIT_H

#include "hub/http.h"

http_handler api_audit_checkpoints; /* GET /v1/audit/checkpoints */
http_handler api_audit_consistency; /* GET /v1/audit/consistency */
http_handler api_audit_verify;      /* GET /v1/audit/verify */

#endif
