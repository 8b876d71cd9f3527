"""SAM-Med3D (ECCV BIC 2024; TNNLS 2025)."""

from prosect.networks.sam_med3d.network import BUILDS, Architecture, SamMed3D, sam_med3d

__all__ = ["BUILDS", "Architecture", "SamMed3D", "sam_med3d"]
