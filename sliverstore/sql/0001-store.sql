-- The sliver store's tables. Times (..._ms) are milliseconds since 1970-01-01 UTC.

-- A row is made after the chunk's file is on disk, and deleted before the file is; so a file
-- without a row is rubbish, and a row without a file is damage.
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,         -- SHA-256 of the content, 32 bytes
    size_bytes BIGINT NOT NULL,          -- of the content
    stored_bytes BIGINT NOT NULL,        -- of the file; fewer than size_bytes: zstd, else raw
    damaged INTEGER NOT NULL CHECK (damaged IN (0, 1)), -- 1: the file was found bad; upload again
    touched_ms BIGINT NOT NULL           -- when last uploaded, or let go of by an image
);

CREATE TABLE images (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL UNIQUE,         -- SHA-256 of the canonical manifest, hexadecimal
    owner TEXT NOT NULL,                 -- URN
    public INTEGER NOT NULL CHECK (public IN (0, 1)), -- 1: every user reads it
    kind TEXT NOT NULL CHECK (kind IN ('image', 'snapshot', 'checkpoint')),
    format TEXT NOT NULL CHECK (format IN ('qcow2', 'raw')),
    virtual_size_bytes BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    stored_bytes BIGINT NOT NULL,        -- of its chunks' files, each counted once
    created_ms BIGINT NOT NULL,          -- as the manifest says
    uploaded_ms BIGINT NOT NULL,
    manifest TEXT NOT NULL               -- canonical
);
CREATE INDEX images_owner ON images (owner);

-- Which images need which chunks.
CREATE TABLE image_chunks (
    image_id BIGINT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    chunk_id BIGINT NOT NULL REFERENCES chunks (id),
    PRIMARY KEY (image_id, chunk_id)
);
CREATE INDEX image_chunks_chunk ON image_chunks (chunk_id);

-- Who has shown to possess a chunk by uploading it and has not yet put it into an image. Knowing a
-- digest is not enough to make an image of somebody else's chunk.
CREATE TABLE claims (
    owner TEXT NOT NULL,                 -- URN
    chunk_id BIGINT NOT NULL REFERENCES chunks (id) ON DELETE CASCADE,
    touched_ms BIGINT NOT NULL,
    PRIMARY KEY (owner, chunk_id)
);
CREATE INDEX claims_chunk ON claims (chunk_id);

-- Sums that are asked for at each upload.
CREATE TABLE owners (
    owner TEXT NOT NULL PRIMARY KEY,     -- URN
    claimed_bytes BIGINT NOT NULL        -- stored_bytes of the chunks claimed
);
