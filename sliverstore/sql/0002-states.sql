-- States of running slivers (memory, disk, devices), put by nodes. Times (..._ms) are milliseconds since
-- 1970-01-01 UTC.

CREATE TABLE states (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,         -- SHA-256 of the canonical manifest, hexadecimal
    sliver TEXT NOT NULL,                -- UUID
    epoch BIGINT NOT NULL,               -- of the incarnation that it was taken of
    owner TEXT NOT NULL,                 -- URN; whose quota it counts to
    node TEXT NOT NULL,                  -- URN of who put it
    size_bytes BIGINT NOT NULL,
    stored_bytes BIGINT NOT NULL,        -- of its chunks' files, each counted once
    created_ms BIGINT NOT NULL,          -- when it was taken, as the manifest says
    uploaded_ms BIGINT NOT NULL,
    manifest TEXT NOT NULL               -- canonical
);
CREATE INDEX states_sliver ON states (sliver);
CREATE INDEX states_owner ON states (owner);

-- Which states need which chunks.
CREATE TABLE state_chunks (
    state_id BIGINT NOT NULL REFERENCES states (id) ON DELETE CASCADE,
    chunk_id BIGINT NOT NULL REFERENCES chunks (id),
    PRIMARY KEY (state_id, chunk_id)
);
CREATE INDEX state_chunks_chunk ON state_chunks (chunk_id);
