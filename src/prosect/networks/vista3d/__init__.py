"""VISTA3D (CVPR 2025)."""

from prosect.networks.vista3d.network import Architecture, Vista3D, vista3d

__all__ = ["Architecture", "Vista3D", "vista3d"]
