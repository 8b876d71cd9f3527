"""How a network meets a volume larger than itself. Knows protocols, not our networks."""
