-- What the audit found on the nodes, and when each was looked at.
CREATE TABLE finding (
    id            INTEGER PRIMARY KEY AUTOINCREMENT, -- the cursor of lists
    node          TEXT NOT NULL REFERENCES node(name),
    kind          TEXT NOT NULL,                -- domain, row, port, tap, flow, file, ... as in the node's inventory; sliver
    name          TEXT NOT NULL,                -- of the thing, at its node
    what          TEXT NOT NULL,                -- old, ended, missing, leftover, foreign, ...: a row of audit_compare.c
    sliver        TEXT NOT NULL DEFAULT '',     -- UUID, as far as the thing tells
    epoch         INTEGER NOT NULL DEFAULT 0,
    cause         TEXT NOT NULL,                -- for people
    repair        TEXT NOT NULL,                -- what the aggregate does about it; none: an operator has to look
    state         TEXT NOT NULL,                -- open, repaired, ignored
    since_ms      INTEGER NOT NULL,             -- first seen
    seen_ms       INTEGER NOT NULL,             -- last seen
    tries         INTEGER NOT NULL DEFAULT 0,   -- of the repair
    problem       TEXT NOT NULL DEFAULT '',     -- why the last try did not succeed
    ended_ms      INTEGER,                      -- when it was repaired
    UNIQUE (node, kind, name, what)
) STRICT;
CREATE INDEX finding_by_state ON finding(state, since_ms);

CREATE TABLE audited (
    node          TEXT PRIMARY KEY REFERENCES node(name),
    at_ms         INTEGER NOT NULL,             -- when its inventory was last compared
    took_ms       INTEGER NOT NULL,
    start         TEXT NOT NULL DEFAULT '',     -- UUID of its agent's process then
    items         INTEGER NOT NULL DEFAULT 0,   -- in that inventory
    problem       TEXT NOT NULL DEFAULT ''      -- why the last look did not succeed, or was not whole
) STRICT;

-- Whose owner was seen to have it, at its present epoch, when the owner was last looked at.
CREATE TABLE seen (
    sliver        TEXT PRIMARY KEY REFERENCES sliver(id),
    node          TEXT NOT NULL,
    epoch         INTEGER NOT NULL
) STRICT;

-- Is a migration of this sliver open? Asked for every thing that is found.
CREATE INDEX migration_open ON migration(sliver) WHERE state IN ('armed', 'running', 'undoing');
