/*
 * yaml_json: a YAML file as a JSON value, for the project's own documents.
 *
 * YAML of the JSON schema (1.2), and only what all readers of YAML understand alike: a plain word
 * that another version takes for a truth value, a date or a number of another base has to be
 * quoted. Keys are strings and unique in their mapping; anchors are copied; tags and merge keys
 * are refused.
 *
 * Ownership: the caller's, json_decref. Threads: any. Limits: YAML_JSON_DEPTH_MAX.
 */
#ifndef TOOLS_YAML_JSON_H
#define TOOLS_YAML_JSON_H

#include <jansson.h>

enum { YAML_JSON_DEPTH_MAX = 64, YAML_JSON_ERROR_BYTES = 512 };

/* NULL, and FILE:LINE:COL: text in `error`, where it cannot be read. */
json_t *yaml_json_load(const char *path, char error[YAML_JSON_ERROR_BYTES]);

#endif
