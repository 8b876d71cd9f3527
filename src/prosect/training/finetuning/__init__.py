"""New structures from a few labelled scans: a recipe made for the user, where it begins, and what came of it."""
