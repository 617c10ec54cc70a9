-- The longest lease that its agent may hold now, and which it enforces itself; 0: the agent knows no leases.
ALTER TABLE node ADD COLUMN lease_ms INTEGER NOT NULL DEFAULT 0; -- milliseconds
