"""Models for other programs: as a MONAI bundle made of MONAI's own classes, and as an exchangeable graph."""
