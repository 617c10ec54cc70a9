-- Checkpoints that were asked for. Times are milliseconds since 1970 (UTC).

CREATE TABLE checkpoint (
    checkpoint    TEXT PRIMARY KEY,             -- UUID
    sliver        TEXT NOT NULL,                -- UUID
    epoch         INTEGER NOT NULL,
    state         TEXT NOT NULL,                -- capturing: its guest may stand still for it; uploading, complete, failed
    document      TEXT NOT NULL,                -- CheckpointState, JSON
    at_ms         INTEGER NOT NULL              -- when it was asked for
) STRICT;
