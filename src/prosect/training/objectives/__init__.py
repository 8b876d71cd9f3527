"""What networks are trained for: the loss of one freshly drawn patch, by branch and by network."""
