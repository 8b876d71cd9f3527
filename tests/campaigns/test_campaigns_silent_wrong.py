"""The seventeen inputs for which usual tools are silently wrong: prosect refuses them or is right."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MONAI warns on import
    pytest.importorskip("monai", reason="the table compares with MONAI")
    import silent_wrong


@pytest.mark.official
@pytest.mark.parametrize("case", silent_wrong.CASES, ids=lambda case: case.__name__)
def test_prosect_refuses_or_is_right(
    tmp_path: Path, case: Callable[[Path], silent_wrong.Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silent_wrong, "TRIALS", 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        row = case(tmp_path)
    assert row.good, row
