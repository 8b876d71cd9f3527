"""Weights on disk: reading them safely, recognising official layouts, fitting them to a network."""
