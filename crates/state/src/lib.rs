//! What must survive a restart: used one-time codes, counters, penalties.
