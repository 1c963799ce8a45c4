/*
 * api_commands: /v1/commands (contract §5, "Group commands"). What is asked goes to the command
 * lane, of this hub or of the one that holds the lease: hub/command_lane.h.
 */
#ifndef HUB_API_COMMANDS_H
#define HUB_API_COMMANDS_H

#include "hub/http.h"

http_handler api_command_create;   /* POST /v1/commands */
http_handler api_commands;         /* GET /v1/commands */
http_handler api_command;          /* GET /v1/commands/{id} */
http_handler api_command_vehicles; /* GET /v1/commands/{id}/vehicles */
http_handler api_command_stream;   /* GET /v1/commands/{id}/stream */
http_handler api_command_cancel;   /* POST /v1/commands/{id}:cancel */
http_handler api_command_pause;    /* POST /v1/commands/{id}:pause */
http_handler api_command_resume;   /* POST /v1/commands/{id}:resume */
http_handler api_command_retry;    /* POST /v1/commands/{id}:retry */

/* What keeps the streams going: one thread that looks for each of them what has changed. */
struct app;
struct command_watch;
struct command_watch *command_watch_new(struct app *app);
/* Ends all streams, and refuses new ones. Before http_stop. NULL is nothing. */
void command_watch_drain(struct command_watch *watch);
/* After http_stop. */
void command_watch_free(struct command_watch *watch);

#endif
