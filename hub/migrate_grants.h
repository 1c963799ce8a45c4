/*
 * migrate_grants: who may do what in the archive's database, set after each migration (contract
 * §7).
 *
 * The hub's own role (of postgres.dsn, where it is another than admin_dsn's) can append records,
 * change positions and the log's end, and nothing else: it can neither change nor remove what is on
 * record. The role fleethub_reader, for people and BI tools, can read; it cannot log in, and is
 * granted to those who may.
 *
 * Threads: as the connection.
 */
#ifndef HUB_MIGRATE_GRANTS_H
#define HUB_MIGRATE_GRANTS_H

#include "hub/pg.h"

/* As the tables' owner. `report` gets a line where there is something to say. */
enum pg_status migrate_grants(struct pg *pg, const char *admin_dsn, const char *hub_dsn,
                              struct buf *report, struct pg_error *error);

#endif
