"""Many scans, one command: find them, keep a ledger, run them in a pipeline, and go on after any interruption."""
