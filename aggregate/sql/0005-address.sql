-- Public addresses of slivers, out of the pool of the site where each runs.
ALTER TABLE node ADD COLUMN site TEXT NOT NULL DEFAULT 'default'; -- as its agent says
ALTER TABLE link ADD COLUMN router TEXT NOT NULL DEFAULT '';      -- IPv4 address of the way out; '': none
ALTER TABLE vnic ADD COLUMN public INTEGER NOT NULL DEFAULT 0;    -- 1: it is to have a public address

CREATE TABLE public_address (
    address       TEXT PRIMARY KEY,             -- IPv4
    site          TEXT NOT NULL,                -- whose pool it is from
    slice         TEXT NOT NULL REFERENCES slice(id),
    sliver        TEXT NOT NULL REFERENCES sliver(id),
    vnic          TEXT NOT NULL,
    state         TEXT NOT NULL,                -- used; claimed: by a migration that is not committed; leaving: not
                                                -- given to others before all nodes were told that it is gone
    operation     TEXT                          -- that claims it, or that took it away and has not told yet
) STRICT;
CREATE UNIQUE INDEX public_address_used ON public_address(sliver) WHERE state = 'used';
CREATE INDEX public_address_by_operation ON public_address(operation) WHERE operation IS NOT NULL;
