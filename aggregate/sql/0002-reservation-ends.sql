-- Holds and leases that have ended are asked for every second; released ones stay as history.
CREATE INDEX reservation_by_end ON reservation(state, expires_ms);
