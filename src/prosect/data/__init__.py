"""Data lists: which scans there are, how their labels are read, mapped to the vocabulary and checked."""
