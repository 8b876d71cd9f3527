"""A server that runs, with a small scan and the model of balls."""

from worlds.serving_fixtures import run_server, scans, server, settings, shelf, start, start_with

__all__ = ["run_server", "scans", "server", "settings", "shelf", "start", "start_with"]
