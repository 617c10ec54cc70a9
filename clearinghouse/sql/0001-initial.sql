-- The clearing house's tables. Times (..._ms) are milliseconds since 1970-01-01 UTC; version counts
-- the changes of a row and is its ETag.

CREATE TABLE users (
    name TEXT NOT NULL PRIMARY KEY,      -- last part of the URN
    urn TEXT NOT NULL UNIQUE,
    email TEXT,                          -- NULL: none given
    role TEXT NOT NULL CHECK (role IN ('user', 'operator')),
    ssh_keys TEXT NOT NULL,              -- JSON array of authorized_keys lines
    disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)), -- 1: refused everywhere
    created_ms BIGINT NOT NULL,
    version BIGINT NOT NULL
);

-- Names that differ in case alone are one name, as in GENI.
CREATE UNIQUE INDEX users_name ON users (lower(name));

CREATE TABLE projects (
    name TEXT NOT NULL PRIMARY KEY,
    urn TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE UNIQUE INDEX projects_name ON projects (lower(name));

CREATE TABLE project_members (
    project TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    user_name TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('lead', 'member', 'auditor')),
    PRIMARY KEY (project, user_name)
);
CREATE INDEX project_members_user ON project_members (user_name);

CREATE TABLE slices (
    id INTEGER PRIMARY KEY,              -- order of creation; the list's cursor
    uuid TEXT NOT NULL UNIQUE,
    urn TEXT NOT NULL,
    project TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'expired', 'shutdown')),
    creator TEXT NOT NULL,               -- URN of a user, who may be gone by now
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    version BIGINT NOT NULL
);
-- A name is taken until its slice has expired.
CREATE UNIQUE INDEX slices_name ON slices (lower(urn)) WHERE state <> 'expired';
CREATE INDEX slices_project ON slices (project);
CREATE INDEX slices_expiry ON slices (expires_ms) WHERE state <> 'expired';

CREATE TABLE slice_members (
    slice_id INTEGER NOT NULL REFERENCES slices (id) ON DELETE CASCADE,
    user_name TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('lead', 'member', 'auditor')),
    PRIMARY KEY (slice_id, user_name)
);
CREATE INDEX slice_members_user ON slice_members (user_name);

CREATE TABLE enrollments (
    selector TEXT NOT NULL PRIMARY KEY,  -- first part of the secret, not secret itself
    secret_hash TEXT NOT NULL,           -- SHA-256 of the whole secret, hexadecimal
    urn TEXT NOT NULL,                   -- whom the certificate will name
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    wrong INTEGER NOT NULL,              -- wrong secrets shown with this selector
    used_ms BIGINT,                      -- NULL: not used yet
    key_id TEXT                          -- SHA-256 of the public key that used it, hexadecimal
);
CREATE INDEX enrollments_urn ON enrollments (urn);

CREATE TABLE certificates (
    serial TEXT NOT NULL PRIMARY KEY,    -- hexadecimal
    urn TEXT NOT NULL,
    hosts TEXT NOT NULL,                 -- JSON array of the names and addresses in it
    issued_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    revoked_ms BIGINT                    -- NULL: good
);
CREATE INDEX certificates_urn ON certificates (urn);

CREATE TABLE services (
    urn TEXT NOT NULL PRIMARY KEY,
    type TEXT NOT NULL CHECK (type IN ('am', 'ss')), -- aggregate or store
    name TEXT NOT NULL,
    url TEXT NOT NULL,                   -- where its /v1 is
    description TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    seen_ms BIGINT,                      -- its own last report; NULL: never
    version BIGINT NOT NULL
);
