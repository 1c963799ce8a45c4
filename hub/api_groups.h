/*
 * api_groups: /v1/groups (contract §5). Read from memory; written on a worker (hub/groups.h).
 */
#ifndef HUB_API_GROUPS_H
#define HUB_API_GROUPS_H

#include "hub/http.h"

http_handler api_groups;       /* GET /v1/groups */
http_handler api_group;        /* GET /v1/groups/{name} */
http_handler api_group_put;    /* PUT /v1/groups/{name} */
http_handler api_group_delete; /* DELETE /v1/groups/{name} */

#endif
