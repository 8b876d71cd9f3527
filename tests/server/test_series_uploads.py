"""A DICOM folder of several series is sent, one of them is chosen, and nothing of what was refused stays."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from worlds.dicom import save_series
from worlds.serving import Server

SCAN = np.random.default_rng(2).integers(-100, 300, (7, 9, 6)).astype(np.int16)


def test_one_of_several_series_is_chosen_by_sending_them_again(server: Server, tmp_path: Path) -> None:
    save_series(tmp_path / "study" / "a", SCAN)
    save_series(tmp_path / "study" / "b", SCAN[..., :4], SeriesInstanceUID="1.2.3.99", SeriesDescription="thin")
    files = sorted(each for each in (tmp_path / "study").rglob("*") if each.is_file())

    def send(**params: str) -> Any:
        parts = [("files", (f"{each.parent.name}_{each.name}.dcm", each.read_bytes())) for each in files]
        return server.http.post("/api/v1/uploads", files=parts, params=params)

    refused = send()
    assert (refused.status_code, refused.json()["code"]) == (409, "DICOM_SEVERAL_SERIES")
    assert list(server.service.library.uploads.iterdir()) == []
    # What the page offers as buttons, by the expression that it uses itself.
    script = resources.files("prosect.server").joinpath("page/opening.js").read_text(encoding="utf-8")
    (expression,) = re.findall(r"matchAll\(/(.+)/g\)", script)
    offered = dict(re.findall(expression, refused.json()["detail"]))
    assert list(offered) == ["1.2.3.4", "1.2.3.99"]
    assert offered["1.2.3.99"].startswith("'thin' CT 4 slices")
    shapes = [tuple(send(series=series).json()["shape"]) for series in offered]
    assert shapes == [(7, 9, 6), (7, 9, 4)]
