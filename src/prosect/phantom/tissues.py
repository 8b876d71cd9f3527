"""Which structures look alike, and how they look in CT: for turning label maps into images."""

from __future__ import annotations

import functools
import re

from prosect.vocabulary import Vocabulary

__all__ = ["CT_HU", "tissue_of", "tissues"]

# Lowest and highest mean attenuation over patients, phases and scanners.
CT_HU: dict[str, tuple[float, float]] = {
    "air": (-1024, -960), "lung": (-920, -680), "fat": (-120, -80), "fluid": (-8, 25), "muscle": (25, 75),
    "liver": (25, 135), "spleen": (35, 150), "kidney": (15, 230), "pancreas": (10, 125), "gland": (5, 120),
    "thyroid": (60, 220), "artery": (30, 420), "vein": (25, 240), "heart": (30, 220), "gut": (-60, 90),
    "colon": (-420, 80), "stomach": (-80, 110), "airway": (-990, -700), "bone": (110, 520), "rib": (180, 560),
    "vertebra": (90, 420), "cartilage": (60, 240), "cord": (20, 55), "brain": (20, 50), "urine": (-5, 180),
    "tumour": (-20, 130), "uterus": (30, 130), "cyst": (-10, 25), "soft": (10, 90),
}  # fmt: skip
# First match wins.
RULES: tuple[tuple[str, str], ...] = (
    (r"cyst", "cyst"), (r"bone lesion", "bone"), (r"tumor|cancer|mass|lesion", "tumour"), (r"hepatic vessel", "vein"),
    (r"lung$|lobe$", "lung"), (r"trachea|airway|larynx|pharynx", "airway"), (r"liver", "liver"), (r"spleen", "spleen"),
    (r"portal|vein|vena|cava", "vein"), (r"kidney", "kidney"), (r"pancreas", "pancreas"), (r"gallbladder", "fluid"),
    (r"bladder", "urine"), (r"stomach", "stomach"),
    (r"small bowel|duodenum|esophagus", "gut"), (r"colon|rectum", "colon"),
    (r"aorta|artery|trunk|atrial appendage", "artery"), (r"heart|ventricle$|atrium|myocardium", "heart"),
    (r"vertebra|sacrum", "vertebra"), (r"\brib\b|costal", "rib"), (r"cartilage|disc", "cartilage"),
    (r"spinal cord", "cord"), (r"thyroid", "thyroid"),
    (r"adrenal|prostate|parotid|submandibular|gonad|pituitary", "gland"),
    (r"uter", "uterus"), (r"\bfat\b", "fat"),
    (r"muscle|glute|iliopsoas|autochthon|quadriceps|sartorius|thigh", "muscle"),
    (r"humerus|scapula|clavicula|femur|hip|sternum|skull|mandible|bone|tibia|fibula", "bone"),
    (r"brain|gyrus|cortex|hippocampus|matter|ventricle|cerebell|thalamus|caudate|putamen|pallidum", "brain"),
)  # fmt: skip


@functools.cache
def tissue_of(name: str) -> str:
    """Return what a structure is made of, one of the keys of `CT_HU`: `soft` where nothing fits."""
    low = name.lower()
    return next((tissue for pattern, tissue in RULES if re.search(pattern, low)), "soft")


def tissues(vocabulary: Vocabulary) -> dict[int, str]:
    """Return the tissue of every structure of a vocabulary, by index; containers such as `body` are left out."""
    found = {}
    for s in vocabulary:
        if s.name != "body":
            found[s.index] = tissue_of(s.name)
    return found
