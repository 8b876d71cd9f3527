"""What a person may state of a scan whose file does not say it: its modality, and where its axes point.

Apart from `volume` and `geometry`, so that the command line checks these words without loading numpy.
"""

from __future__ import annotations

import re

from prosect.errors import UsageError

__all__ = ["MODALITIES", "known_modality", "known_orientation"]

# The words of DICOM for kinds of scans (PS3.3 C.7.3.1.1.1), and what people say instead.
MODALITIES = {
    "CT": "CT", "MR": "MR", "MRI": "MR", "PT": "PT", "PET": "PT", "NM": "NM", "SPECT": "NM", "US": "US", "XA": "XA",
    "RF": "RF", "CR": "CR", "DX": "DX", "MG": "MG", "OPT": "OPT", "OCT": "OCT", "OT": "OT",
}  # fmt: skip
ORIENTATION = re.compile("(?=.*[RL])(?=.*[AP])(?=.*[SI])[RLAPSI]{3}")


def known_modality(word: str | None) -> str | None:
    """Return a modality as DICOM writes it, None for None.

    Raises:
        FormatError: Another word (`USAGE`).
    """
    if word is None:
        return None
    if word.upper() not in MODALITIES:
        raise UsageError(f"The modality {word!r} is unknown; known are {', '.join(MODALITIES)}.")
    return MODALITIES[word.upper()]


def known_orientation(word: str | None) -> str | None:
    """Return where three voxel axes point, such as `RAS`, in capitals; None for None.

    Raises:
        FormatError: Not one letter of each pair R L, A P, S I (`USAGE`).
    """
    if word is None or ORIENTATION.fullmatch(word.upper()):
        if word is None:
            return None
        return word.upper()
    raise UsageError(f"{word!r} is no orientation; give one letter each of R or L, A or P, S or I, such as RAS or LPS.")
