"""Segment Anything's image encoders with the mask decoder's upscaling layers: pixel features for Alg. 2 of VISTA3D.

Everything that answers prompts is left out. Parameter names are the official checkpoint keys.
"""

from prosect.networks.sam.branch import SliceBranch, branch_of
from prosect.networks.sam.network import SAM_VARIANTS, SamFeatures, TinyVariant, VitVariant

__all__ = ["SAM_VARIANTS", "SamFeatures", "SliceBranch", "TinyVariant", "VitVariant", "branch_of"]
