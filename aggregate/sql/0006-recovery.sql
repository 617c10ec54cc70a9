-- What a sliver can be resumed from when its node is gone, and what is still to be done about a node that is.

-- States of running slivers in the sliver store.
CREATE TABLE checkpoint (
    id            TEXT PRIMARY KEY,             -- its operation's
    sliver        TEXT NOT NULL REFERENCES sliver(id),
    node          TEXT NOT NULL,                -- that took it
    epoch         INTEGER NOT NULL,             -- of the incarnation that it is of
    state         TEXT NOT NULL,                -- capturing, uploading, complete, failed
    manifest      TEXT NOT NULL DEFAULT '',     -- its digest in the store, once complete
    begun_ms      INTEGER NOT NULL,
    taken_ms      INTEGER NOT NULL DEFAULT 0,   -- the instant that the state is of
    pause_ms      INTEGER NOT NULL DEFAULT 0,   -- for so long the guest stood still
    bytes_total   INTEGER NOT NULL DEFAULT 0,
    bytes_new     INTEGER NOT NULL DEFAULT 0,   -- of them, what the store did not have yet
    error         TEXT NOT NULL DEFAULT ''      -- JSON {code, message, remedy} of a failed one
) STRICT;
CREATE INDEX checkpoint_by_sliver ON checkpoint(sliver, begun_ms);

-- Slivers whose states in the store have to be gone through: what nothing refers to any more is deleted there.
CREATE TABLE state_sweep (
    sliver        TEXT PRIMARY KEY,
    since_ms      INTEGER NOT NULL
) STRICT;

ALTER TABLE sliver ADD COLUMN checkpoint_s INTEGER NOT NULL DEFAULT 0; -- seconds between checkpoints; 0: none
ALTER TABLE sliver ADD COLUMN lost_ms INTEGER;       -- since when it is failed because its node is lost
ALTER TABLE sliver ADD COLUMN retry_ms INTEGER NOT NULL DEFAULT 0; -- not before this time is it recovered
ALTER TABLE sliver ADD COLUMN on_down INTEGER NOT NULL DEFAULT 0; -- 1: its policy has it brought back when it goes down
ALTER TABLE sliver ADD COLUMN armed INTEGER NOT NULL DEFAULT 0; -- 1: its policy wants a target held for it (static, hybrid)
CREATE INDEX sliver_by_checkpoint ON sliver(checkpoint_s) WHERE checkpoint_s > 0;
CREATE INDEX sliver_by_arms ON sliver(armed) WHERE armed > 0;
CREATE INDEX sliver_by_down ON sliver(on_down) WHERE on_down > 0;

-- remove: the incarnation goes; undo: what a migration that was given up changed there is taken back.
ALTER TABLE debt ADD COLUMN kind TEXT NOT NULL DEFAULT 'remove';
