/*
 * query_key: values as bytes that are equal where the values are, and sort as the values do: what
 * groups are told apart by. Numbers go by value (1 and 1.0 are one), objects by their members in
 * any order. Numbers come before strings, then booleans, objects and arrays, and null, which is
 * also what is missing.
 *
 * Pure functions, any thread.
 */
#ifndef HUB_QUERY_KEY_H
#define HUB_QUERY_KEY_H

#include "twin/path.h"

void query_key_write(struct buf *out, const struct value *value);

#endif
