/*
 * api_access: tokens, grants, and the question what a caller may do (contract §6).
 *
 * Nobody makes, grants or revokes what lies beyond his own scopes, and nobody is shown it.
 */
#ifndef HUB_API_ACCESS_H
#define HUB_API_ACCESS_H

#include "hub/app.h"

void api_tokens(const struct http_request *request, struct http_reply *reply);
void api_token_create(const struct http_request *request, struct http_reply *reply);
void api_token_revoke(const struct http_request *request, struct http_reply *reply);
void api_grants(const struct http_request *request, struct http_reply *reply);
void api_grant_create(const struct http_request *request, struct http_reply *reply);
void api_grant_revoke(const struct http_request *request, struct http_reply *reply);
void api_access_check(const struct http_request *request, struct http_reply *reply); /* …_check.c */

#endif
