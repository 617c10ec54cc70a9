-- The aggregate's own truth: what was promised to whom, and where it is. What really runs is asked of the nodes.
-- Times are milliseconds since 1970 (UTC); sizes say their unit. States are stored by name and never renamed.

CREATE TABLE node (
    name          TEXT PRIMARY KEY,             -- the last part of its URN
    urn           TEXT NOT NULL UNIQUE,
    state         TEXT NOT NULL,                -- joining, ready, draining, lost, quarantined, retired
    host          TEXT NOT NULL DEFAULT '',     -- where its agent listens
    port          INTEGER NOT NULL DEFAULT 0,
    tunnel_port   INTEGER NOT NULL DEFAULT 0,   -- of the migration tunnel
    vtep          TEXT NOT NULL DEFAULT '',     -- IPv4 address of its end of VXLAN
    boot_id       TEXT NOT NULL DEFAULT '',
    vcpus         INTEGER NOT NULL DEFAULT 0,   -- that may be given to slivers
    memory_mib    INTEGER NOT NULL DEFAULT 0,
    disk_mib      INTEGER NOT NULL DEFAULT 0,
    rate_kbps     INTEGER NOT NULL DEFAULT 0,   -- of its physical interface; 0: not known
    capabilities  TEXT NOT NULL DEFAULT '{}',   -- JSON, as the agent probed it
    added_ms      INTEGER NOT NULL
) STRICT;

CREATE TABLE slice (
    id            TEXT PRIMARY KEY,             -- our UUID for it
    urn           TEXT NOT NULL UNIQUE,
    expires_ms    INTEGER NOT NULL,             -- from the newest credential seen
    generation    INTEGER NOT NULL DEFAULT 1,   -- of its forwarding; grows with every change
    created_ms    INTEGER NOT NULL
) STRICT;

CREATE TABLE reservation (
    id            TEXT PRIMARY KEY,
    slice         TEXT NOT NULL REFERENCES slice(id),
    state         TEXT NOT NULL,                -- allocated, provisioned, released
    owner         TEXT NOT NULL,                -- URN of the user
    keys          TEXT NOT NULL DEFAULT '[]',   -- JSON array of the owner's ssh keys
    created_ms    INTEGER NOT NULL,
    expires_ms    INTEGER NOT NULL              -- the end of the short hold, then of the lease
) STRICT;
CREATE INDEX reservation_by_slice ON reservation(slice);

CREATE TABLE link (
    slice         TEXT NOT NULL REFERENCES slice(id),
    name          TEXT NOT NULL,
    vni           INTEGER NOT NULL UNIQUE,      -- network id, 24 bit
    mtu           INTEGER NOT NULL,             -- bytes
    PRIMARY KEY (slice, name)
) STRICT;

CREATE TABLE sliver (
    id            TEXT PRIMARY KEY,             -- also the libvirt domain's UUID
    urn           TEXT NOT NULL,
    slice         TEXT NOT NULL REFERENCES slice(id),
    reservation   TEXT NOT NULL REFERENCES reservation(id),
    name          TEXT NOT NULL,
    allocation    TEXT NOT NULL,                -- unallocated, allocated, provisioned (GENI)
    state         TEXT NOT NULL,                -- notready, configuring, ready, migrating, failed, stopped
    reason        TEXT NOT NULL DEFAULT '',     -- why it failed or stopped
    node          TEXT NOT NULL REFERENCES node(name),
    epoch         INTEGER NOT NULL DEFAULT 1,   -- of the incarnation that its owner runs
    last_epoch    INTEGER NOT NULL DEFAULT 1,   -- the highest ever given out; none is given out twice
    kind          TEXT NOT NULL,                -- full, para, os
    vcpus         INTEGER NOT NULL,
    memory_mib    INTEGER NOT NULL,
    disk_mib      INTEGER NOT NULL,
    rate_kbps     INTEGER NOT NULL DEFAULT 0,   -- sum of its vNICs' caps
    wanted        TEXT NOT NULL,                -- JSON: the sliver's part of the topology file
    image         TEXT NOT NULL DEFAULT '{}',   -- JSON {digest, format, virtual_size_bytes}, once known
    busy          TEXT,                         -- the operation that works on it
    created_ms    INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX sliver_name ON sliver(slice, name) WHERE allocation <> 'unallocated';
CREATE INDEX sliver_by_node ON sliver(node) WHERE allocation <> 'unallocated';
CREATE INDEX sliver_by_reservation ON sliver(reservation);

CREATE TABLE vnic (
    sliver        TEXT NOT NULL REFERENCES sliver(id),
    name          TEXT NOT NULL,
    position      INTEGER NOT NULL,             -- order in the guest
    link          TEXT NOT NULL,                -- name, within the sliver's slice
    mac           TEXT NOT NULL,
    addresses     TEXT NOT NULL,                -- JSON array of "a.b.c.d/len"
    rate_kbps     INTEGER NOT NULL,             -- 0: no cap
    PRIMARY KEY (sliver, name)
) STRICT;
CREATE UNIQUE INDEX vnic_mac ON vnic(mac);

-- Capacity on a node that is promised, but not to a sliver that is there: the target of a migration.
CREATE TABLE claim (
    operation     TEXT NOT NULL,
    sliver        TEXT NOT NULL,
    node          TEXT NOT NULL REFERENCES node(name),
    vcpus         INTEGER NOT NULL,
    memory_mib    INTEGER NOT NULL,
    disk_mib      INTEGER NOT NULL,
    rate_kbps     INTEGER NOT NULL,
    PRIMARY KEY (operation, sliver)
) STRICT;

CREATE TABLE operation (
    id            TEXT PRIMARY KEY,
    kind          TEXT NOT NULL,                -- provision, release, migrate, drain, power
    state         TEXT NOT NULL,                -- pending, running, cancelling, done, failed, cancelled
    slice         TEXT,                         -- UUID, when it concerns one
    sliver        TEXT,
    node          TEXT,
    owner         TEXT NOT NULL,                -- URN of who asked
    input         TEXT NOT NULL DEFAULT '{}',   -- JSON; no secrets
    progress      TEXT NOT NULL DEFAULT '{}',   -- JSON
    result        TEXT NOT NULL DEFAULT '{}',   -- JSON
    error         TEXT,                         -- JSON {code, message, remedy}
    request_id    TEXT NOT NULL DEFAULT '',
    created_ms    INTEGER NOT NULL,
    updated_ms    INTEGER NOT NULL
) STRICT;
CREATE INDEX operation_open ON operation(state) WHERE state IN ('pending', 'running', 'cancelling');
CREATE INDEX operation_by_slice ON operation(slice, created_ms);

-- The head of a migration's journal; its id is its operation's.
CREATE TABLE migration (
    id            TEXT PRIMARY KEY REFERENCES operation(id),
    sliver        TEXT NOT NULL,
    trigger_      TEXT NOT NULL,                -- request, drain, load, down, threshold, lost
    policy        TEXT NOT NULL,                -- static, dynamic, hybrid
    delivery      TEXT NOT NULL DEFAULT '',     -- direct, indirect
    attempt       INTEGER NOT NULL DEFAULT 1,
    wanted_target TEXT NOT NULL DEFAULT '',     -- what the caller asked for; '': choose
    source        TEXT NOT NULL DEFAULT '',
    target        TEXT NOT NULL DEFAULT '',
    source_epoch  INTEGER NOT NULL DEFAULT 0,
    epoch         INTEGER NOT NULL DEFAULT 0,   -- of the incarnation at the target
    state         TEXT NOT NULL,                -- armed, running, undoing, done, aborted, lost
    step          INTEGER NOT NULL DEFAULT 0,   -- the last one begun, 1..12
    committed     INTEGER NOT NULL DEFAULT 0,   -- 1 from the commit point on
    facts         TEXT NOT NULL DEFAULT '{}'    -- JSON: what later steps need (destination XML, times, counts)
) STRICT;

CREATE TABLE journal (
    migration     TEXT NOT NULL REFERENCES migration(id),
    attempt       INTEGER NOT NULL,
    step          INTEGER NOT NULL,             -- 1..12
    direction     TEXT NOT NULL,                -- run, undo
    intent_ms     INTEGER NOT NULL,             -- committed before the side effect
    result_ms     INTEGER,                      -- NULL: not known to have ended
    outcome       TEXT,                         -- ok, failed
    detail        TEXT NOT NULL DEFAULT '{}',   -- JSON
    took_us       INTEGER,                      -- microseconds, monotonic
    PRIMARY KEY (migration, attempt, step, direction)
) STRICT;

CREATE TABLE event (
    id            INTEGER PRIMARY KEY AUTOINCREMENT, -- the Last-Event-ID
    time_ms       INTEGER NOT NULL,
    kind          TEXT NOT NULL,                -- "sliver.state", "node.state", "migration.step", ...
    slice         TEXT,                         -- UUID; NULL: for operators
    data          TEXT NOT NULL                 -- JSON
) STRICT;

-- What a node still has to remove, because it did not answer when a migration went on without it.
CREATE TABLE debt (
    node          TEXT NOT NULL REFERENCES node(name),
    sliver        TEXT NOT NULL,
    epoch         INTEGER NOT NULL,             -- this incarnation and older ones
    migration     TEXT NOT NULL,
    since_ms      INTEGER NOT NULL,
    operation     TEXT,                         -- that is removing it now
    PRIMARY KEY (node, sliver, epoch)
) STRICT;

-- Nodes that did not take a slice's forwarding when it was told to all; told again when they answer.
CREATE TABLE behind (
    slice         TEXT NOT NULL REFERENCES slice(id),
    node          TEXT NOT NULL REFERENCES node(name),
    since_ms      INTEGER NOT NULL,
    PRIMARY KEY (slice, node)
) STRICT;
