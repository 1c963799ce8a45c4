-- For people who come with psql or a BI tool: docs/record-sql.md explains these and shows how to
-- ask. A view has every column that is the same for all of its rows' kinds, and `data` for the rest.

-- A number of a JSON document, null for anything else and for what no double holds.
CREATE FUNCTION record_number(value jsonb) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN jsonb_typeof(value) = 'number'
                 AND (value::numeric = 0 OR abs(value::numeric) BETWEEN 1e-300 AND 1e300)
                THEN value::numeric::double precision END
$$;

-- What vehicles reported.
CREATE VIEW fleet_events AS
SELECT seq, id, vid, type, severity, timestamp, received, archived, boot, vehicle_seq, data
FROM records WHERE kind = 'event';

-- What vehicles were told to do, each change of state of it, and what they answered. `command_id` is
-- the command's, `cmd_id` the one that a vehicle got. `state` is that of the vehicle in the command,
-- or of the command itself where there is no vehicle; of an answer it is the status reported.
CREATE VIEW fleet_commands AS
SELECT seq, id, kind, vid, type, severity, actor, request_id, timestamp, received, archived,
       CASE WHEN kind = 'command' THEN data ->> 'command_id'
            WHEN right(data ->> 'cmd_id', length(vid) + 1) = '.' || vid
            THEN left(data ->> 'cmd_id', -length(vid) - 1) END AS command_id,
       data ->> 'cmd_id' AS cmd_id,
       data ->> 'from' AS from_state,
       coalesce(data ->> 'to', data ->> 'status') AS state,
       coalesce(data ->> 'reason', data ->> 'error') AS reason,
       record_number(data -> 'code') AS code,
       data
FROM records WHERE kind IN ('command', 'ack');

-- Everything that is on record about a vehicle.
CREATE VIEW fleet_vehicle_timeline AS
SELECT vid, seq, id, received, timestamp, archived, kind, type, severity, actor, request_id, boot,
       vehicle_seq, data
FROM records WHERE vid IS NOT NULL;

-- Where vehicles were while they were online. `received` is the time that the row is about, in steps
-- of record.track_s; `position_received` says how old the position was by then.
CREATE VIEW fleet_tracks AS
SELECT vid, seq, id, received, timestamp, archived,
       record_number(data -> 'position' -> 'lat') AS lat,
       record_number(data -> 'position' -> 'lon') AS lon,
       record_number(data -> 'position' -> 'alt') AS alt,
       record_number(data -> 'position' -> 'rel_alt') AS rel_alt,
       record_number(data -> 'position' -> 'vx') AS vx,
       record_number(data -> 'position' -> 'vy') AS vy,
       record_number(data -> 'position' -> 'vz') AS vz,
       record_number(data -> 'position' -> 'heading') AS heading,
       data -> 'mode' ->> 'mode' AS mode,
       data -> 'mode' -> 'armed' = 'true' AS armed,
       record_number(data -> 'battery' -> 'remaining') AS battery_remaining,
       record_number(data -> 'battery' -> 'voltage') AS battery_voltage,
       record_number(data -> 'battery' -> 'current') AS battery_current,
       (data -> 'received' ->> 'position')::timestamptz AS position_received,
       data
FROM records WHERE kind = 'track';
