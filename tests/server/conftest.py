"""A server that runs, with a small scan and the model of balls."""

from worlds.serving_fixtures import scans, server, settings, shelf, start

__all__ = ["scans", "server", "settings", "shelf", "start"]
