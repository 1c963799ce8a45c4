/*
 * record_redact: what of the record a viewer may see (contract §6). A record about a hidden vehicle
 * is not there, nor is one of a denied part; what is denied within a record is left out of it.
 *
 *     kind                part
 *     event               evt.<type>
 *     ack, command        cmd.<type>
 *     presence            presence
 *     track               state.<type>, each of its members by itself
 *     shadow              desired.<key>, config.<key>, meta.<key>: the members of `before` and
 * `after` rejected            that of the refused message, which it holds access              what
 * has no name: for those whose access is not bound to some parts system              none: whoever
 * sees the vehicle
 *
 * A record without a vehicle is about the fleet: for those who see every vehicle.
 *
 * Pure functions over borrowed data, any thread.
 */
#ifndef HUB_RECORD_REDACT_H
#define HUB_RECORD_REDACT_H

#include "hub/record.h"
#include "twin/viewer.h"

enum record_sight {
    RECORD_HIDDEN,
    RECORD_WHOLE,
    RECORD_PARTLY, /* `data` says what remains of the record's */
    RECORD_NO_MEMORY,
};

/* What the viewer may see of the record. `data` is written to for RECORD_PARTLY alone. */
enum record_sight record_redact(const struct viewer *viewer, const struct record *record,
                                struct doc_parser *parser, struct buf *data);

#endif
