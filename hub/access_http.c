#include "hub/access_http.h"

#include "hub/access_denied.h"
#include "hub/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VEHICLE_ROUTE "/v1/vehicles/{vid}"

struct access_http {
    struct access *access;
    struct access_denied *denied;
    bool local;
    struct http_auth auth;
};

static const struct viewer viewer_none = {.principal = "nobody"};

enum capability access_capability(unsigned flags)
{
    return flags & ROUTE_ADMIN     ? CAN_ADMINISTER
           : flags & ROUTE_OPERATE ? CAN_OPERATE
           : flags & ROUTE_AUDIT   ? CAN_AUDIT
                                   : CAN_READ;
}

const struct viewer *access_viewer(const struct http_request *request, enum capability capability)
{
    return request->caller ? &request->caller->viewers[capability] : &viewer_all;
}

/* ---- letting in ---- */

static bool refuse_unknown(const struct http_request *request, struct http_reply *reply,
                           const char *why)
{
    if (why)
        http_problem(request, reply, PROBLEM_UNAUTHORIZED, "The bearer token is refused: %s.", why);
    else
        http_problem(request, reply, PROBLEM_UNAUTHORIZED,
                     "Send a token: `Authorization: Bearer …`. `fleethub token create` makes one.");
    http_reply_header(reply, "WWW-Authenticate", "Bearer realm=\"fleethub\"%s",
                      why ? ", error=\"invalid_token\"" : "");
    return false;
}

/* True where *principal is known, and counted. */
static bool know(struct access_http *gate, const char *bearer, const struct http_request *request,
                 struct http_reply *reply, struct principal **principal)
{
    const char *why = NULL;
    switch (access_resolve(gate->access, bearer, principal, &why)) {
    case ACCESS_OK:
        return true;
    case ACCESS_BAD:
        return refuse_unknown(request, reply, why);
    case ACCESS_STARTING:
        http_problem(request, reply, PROBLEM_UNAVAILABLE,
                     "The tokens are still being read from NATS. Try again later.");
        return false;
    default: /* ACCESS_NO_MEMORY */
        break;
    }
    http_problem(request, reply, PROBLEM_UNAVAILABLE, "There is no memory for it.");
    return false;
}

/* One who may see a vehicle but not do this with it is told so; one who may not see it learns from
 * the handler that it is not there. */
static bool may_touch(const struct principal *principal, enum capability capability,
                      const struct http_route *route, const char *vid)
{
    if (capability == CAN_READ ||
        strncmp(route->pattern, VEHICLE_ROUTE, strlen(VEHICLE_ROUTE)) != 0)
        return true;
    return viewer_sees_vehicle(&principal->viewers[capability], vid) ||
           !viewer_sees_vehicle(&principal->viewers[CAN_READ], vid);
}

static bool may_call(struct access_http *gate, const struct principal *principal,
                     const struct http_route *route, const struct http_request *request,
                     struct http_reply *reply)
{
    enum capability capability = access_capability(route->flags);
    int wait_s = access_take_request(gate->access, principal);
    if (wait_s > 0) {
        metrics_inc(METRIC_ACCESS_LIMITED, 0);
        http_problem(request, reply, PROBLEM_TOO_MANY_REQUESTS,
                     "More requests than http.limits.requests_per_minute allows one principal. "
                     "Try again in %d s.",
                     wait_s);
        http_reply_header(reply, "Retry-After", "%d", wait_s);
        return false;
    }
    if (!principal_can(principal, capability)) {
        http_problem(request, reply, PROBLEM_FORBIDDEN,
                     "This takes a role that may %s; none of yours may.",
                     capability_text(capability));
        return false;
    }
    if (may_touch(principal, capability, route, request->path_param[0]))
        return true;
    http_problem(request, reply, PROBLEM_FORBIDDEN, "You may see %s, but not do this with it.",
                 request->path_param[0]);
    return false;
}

static bool admit(void *closure, const struct http_route *route, const char *bearer,
                  struct http_request *request, struct http_reply *reply, void **credential)
{
    struct access_http *gate = closure;
    struct principal *principal = NULL;
    request->viewer = &viewer_none;
    request->principal = "";
    if ((route->flags & ROUTE_OPEN) || ((route->flags & ROUTE_METRICS) && gate->local))
        return true;
    if (!bearer)
        return refuse_unknown(request, reply, NULL);
    if (!know(gate, bearer, request, reply, &principal))
        return false;
    *credential = principal;
    request->principal = principal->name;
    request->caller = principal;
    if (!may_call(gate, principal, route, request, reply))
        return false;
    metrics_inc(METRIC_ACCESS_ALLOWED, 0);
    request->viewer = &principal->viewers[access_capability(route->flags)];
    return true;
}

static void release(void *credential)
{
    principal_unref(credential);
}

static void denied(void *closure, const struct http_request *request, int status)
{
    struct access_http *gate = closure;
    access_denied_put(gate->denied, request, status);
}

static void *watch(void *closure, void *credential, void (*cut)(void *what), void *what)
{
    struct access_http *gate = closure;
    return access_watch(gate->access, credential, cut, what);
}

static void unwatch(void *closure, void *held)
{
    struct access_http *gate = closure;
    access_unwatch(gate->access, held);
}

/* ---- the beginning and the end ---- */

struct access_http *access_http_new(struct access *access, struct recorder *recorder, bool local)
{
    struct access_http *gate = calloc(1, sizeof *gate);
    struct access_denied *refusals = access_denied_new(recorder);
    if (!gate || !refusals) {
        free(gate);
        access_denied_free(refusals);
        return NULL;
    }
    gate->access = access;
    gate->denied = refusals;
    gate->local = local;
    gate->auth = (struct http_auth){gate, admit, release, denied, watch, unwatch};
    return gate;
}

void access_http_free(struct access_http *gate)
{
    if (gate)
        access_denied_free(gate->denied);
    free(gate);
}

void access_http_sweep(struct access_http *gate)
{
    access_denied_sweep(gate->denied);
}

const struct http_auth *access_http_auth(struct access_http *gate)
{
    return &gate->auth;
}
