"""How good a model is: the paper's protocols, and the same counted honestly."""
