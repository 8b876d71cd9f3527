"""One file per command: arguments in, a job done, its events in words."""
