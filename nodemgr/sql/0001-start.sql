-- What a node must remember over a restart of its agent. What runs is asked of libvirt, never of this file.
-- Times are milliseconds since 1970 (UTC).

CREATE TABLE fence (
    sliver        TEXT PRIMARY KEY,             -- UUID
    epoch         INTEGER NOT NULL,             -- the highest one seen here
    ended         INTEGER NOT NULL DEFAULT 0    -- incarnations up to this epoch were removed here for good
) STRICT;

CREATE TABLE sliver (
    sliver        TEXT NOT NULL,                -- UUID
    epoch         INTEGER NOT NULL,
    slice         TEXT NOT NULL,                -- UUID
    role          TEXT NOT NULL,                -- own; incoming: made by a migration that has not been activated
    document      TEXT NOT NULL,                -- its SliverSpec, JSON
    outcome       TEXT NOT NULL DEFAULT '',     -- stopped or failed, once the domain ended by itself or by a user
    since_ms      INTEGER NOT NULL,             -- of role or outcome
    PRIMARY KEY (sliver, epoch)
) STRICT;

CREATE TABLE forwarding (
    slice         TEXT PRIMARY KEY,             -- UUID
    generation    INTEGER NOT NULL,             -- an older one is refused
    document      TEXT NOT NULL                 -- Forwarding, JSON; '' once deleted
) STRICT;

CREATE TABLE migration (
    migration     TEXT PRIMARY KEY,             -- UUID
    role          TEXT NOT NULL,                -- source, target
    phase         TEXT NOT NULL,                -- the last one that was reached
    document      TEXT NOT NULL,                -- MigrationSpec, JSON
    at_ms         INTEGER NOT NULL              -- when that phase was reached
) STRICT;
