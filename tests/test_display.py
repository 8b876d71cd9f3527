"""What scans, labels, sessions and models show of themselves."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import prosect
from prosect import cards, vocabulary
from prosect.display import in_words, millilitres, spacings
from prosect.errors import GeometryError
from prosect.geometry import Grid
from prosect.labelmap import LabelLayers, LabelMap
from prosect.volume import Source, Volume

WORDS = vocabulary.load("prosect")
LIVER, SPLEEN = WORDS["liver"].index, WORDS["spleen"].index
GRID = Grid((10, 8, 6), np.diag([1.0, 1.0, 5.0, 1.0]))
PNG = b"\x89PNG\r\n"


@pytest.fixture(scope="module")
def volume() -> Volume:
    array = np.full(GRID.shape, -1000.0)
    array[2:8, 2:6, 1:5] = 50.0
    return Volume(array, GRID, "CT", Source("a <b>.nii.gz", "array"))


@pytest.fixture(scope="module")
def labels() -> LabelMap:
    array = np.zeros(GRID.shape, np.uint8)
    array[2:8, 2:6, 1:5] = LIVER
    array[2:4, 2:4, 1:3] = SPLEEN
    return LabelMap(array, GRID, WORDS)


@pytest.fixture(scope="module")
def layers(labels: LabelMap) -> LabelLayers:
    return LabelLayers(np.stack([labels.array > 0, labels.array == SPLEEN]), (LIVER, SPLEEN), GRID, WORDS)


def test_a_scan_says_shape_spacing_modality_and_name(volume: Volume) -> None:
    assert repr(volume) == "Volume(10x8x6, 1x1x5 mm, CT, 'a <b>.nii.gz')"
    assert "modality unknown" in repr(Volume(volume.array, GRID))


def test_labels_say_their_largest_structures(labels: LabelMap, layers: LabelLayers) -> None:
    assert repr(labels) == "LabelMap(10x8x6, 1x1x5 mm, 2 structures: liver 0.44 mL, spleen 0.04 mL)"
    assert "2 structures: liver 0.48 mL, spleen 0.04 mL" in repr(layers)
    assert "nothing found" in repr(LabelMap(np.zeros(GRID.shape, np.uint8), GRID, WORDS))


def test_volumes_agree_with_statistics(labels: LabelMap, layers: LabelLayers) -> None:
    for found in (labels, layers):
        measured = {m.name: m.volume_ml for m in found.statistics()}
        assert found.volumes() == pytest.approx(measured)
        assert list(found.volumes()) == ["liver", "spleen"]


def test_statistics_have_intensities_where_the_scan_is_given(labels: LabelMap, volume: Volume) -> None:
    assert [m.mean_hu for m in labels.statistics(volume)] == [50.0, 50.0]
    assert labels.statistics()[0].mean_hu is None


def test_a_preview_is_a_picture_and_can_be_kept(labels: LabelMap, volume: Volume, tmp_path: Path) -> None:
    picture = labels.preview(volume)
    assert picture._repr_png_().startswith(PNG)
    assert picture.save(tmp_path / "a.png").read_bytes() == picture.png
    assert "bytes of PNG" in repr(picture)
    assert len(repr(picture)) < 100
    assert labels.preview().png != picture.png, "without the scan the ground is black"


def test_a_preview_on_another_grid_is_refused(labels: LabelMap) -> None:
    with pytest.raises(GeometryError):
        labels.preview(Volume(np.zeros((4, 4, 4)), Grid((4, 4, 4), np.eye(4))))


def test_a_card_has_facts_a_picture_and_structures_and_needs_nothing_from_elsewhere(
    volume: Volume, labels: LabelMap
) -> None:
    scan, found = volume._repr_html_(), labels._repr_html_()
    assert "10x8x6" in scan
    assert "a &lt;b&gt;.nii.gz" in scan, "a name is text, not markup"
    assert "-1000 to 50 HU" in scan
    assert "<th>liver</th><td>0.44 mL</td>" in found
    for html in (scan, found):
        assert "data:image/png;base64," in html
        assert not re.search(r"https?:|<script", html)


def test_a_card_without_its_picture_still_says_the_facts(labels: LabelMap, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise RuntimeError("no font")

    monkeypatch.setattr(cards.preview, "thumbnail", fail)
    html = labels._repr_html_()
    assert "img" not in html
    assert "<th>liver</th>" in html


def test_many_structures_are_counted_on_a_card() -> None:
    indices = [s.index for s in WORDS if s.supported][:20]
    array = np.zeros(GRID.shape, np.uint16)
    array.ravel()[: len(indices)] = indices
    html = LabelMap(array, GRID, WORDS)._repr_html_()
    assert html.count("<tr>") == 13
    assert "and 8 smaller" in html


def test_models_and_sessions_are_short(volume: Volume) -> None:
    model = prosect.load("prosect-small", device="cpu")
    assert repr(model) == "Vista3DModel('prosect-small', 9 structures, 4 mm, cpu)"
    assert "<th>licence</th>" in model._repr_html_()
    assert "left parotid" in model._repr_html_()
    session = model.session(volume)
    assert repr(session) == "Session(10x8x6, 1x1x5 mm, 0 structures, 0 actions, prosect-small)"
    assert "data:image/png" in session._repr_html_()


def test_numbers_have_the_digits_that_mean_something() -> None:
    assert [millilitres(x) for x in (7741.2, 9.13, 0.58)] == ["7741 mL", "9.1 mL", "0.58 mL"]
    assert [millilitres(x) for x in (0.004, 0.0)] == ["< 0.01 mL", "0 mL"]
    assert spacings((3.0, 3.0, 3.0)) == "3 mm"
    assert in_words({"liver": 1.0}) == "1 structure: liver 1.0 mL"
    assert in_words({"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}).endswith("c 2.0 mL, ...")
