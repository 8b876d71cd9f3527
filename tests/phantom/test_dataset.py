"""Cases as a hospital would scan them, and folders of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import prosect
from prosect.cli.main import main
from prosect.geometry import Grid
from prosect.io import read_labels
from prosect.measure import measure
from prosect.phantom import case, letter
from prosect.phantom.anatomy import Anatomy, Part
from prosect.phantom.dataset import case_generator, write_dataset
from prosect.phantom.people import structures
from prosect.phantom.protocol import Protocol, acquire, beyond_circle, draw_protocol, noise
from prosect.phantom.shapes import Ellipsoid

COARSE = (7.0, 7.0, 8.0)
BODY = Ellipsoid((0, 0, 0), (70, 60, 80))
ORGANS = {"liver": Ellipsoid((30, 10, 5), (26, 32, 30)), "spleen": Ellipsoid((-40, -15, -20), (14, 18, 25))}
ANATOMY = Anatomy((
    Part("body", -90.0, (BODY,)), *(Part(name, 120.0, (solid,)) for name, solid in ORGANS.items()),
))  # fmt: skip
PLAIN = Protocol((-90, -90, -90), (90, 90, 90), (3.0, 3.0, 3.0))


@pytest.mark.parametrize("tilt", [0.0, 12.0, -17.0])
def test_a_tilted_gantry_keeps_places_and_volumes_true(tilt: float) -> None:
    protocol = replace(PLAIN, tilt_deg=tilt)
    assert (protocol.grid().shear > 0.1) == (tilt != 0)
    volume, labels = acquire(ANATOMY, protocol, np.random.default_rng(0), "tilted")
    for m in measure(labels, volume):
        if m.name in ORGANS:
            assert m.volume_ml == pytest.approx(ORGANS[m.name].volume_ml, rel=0.02)
            np.testing.assert_allclose(m.centroid_ras, ORGANS[m.name].center, atol=0.4)


def test_sharp_kernels_make_finer_and_stronger_noise_than_soft_ones() -> None:
    flat = np.zeros((64, 64, 12), dtype=np.float32)
    found = {}
    for kernel in (-1.0, 1.0):
        grain = noise(np.random.default_rng(1), flat, replace(PLAIN, spacing_mm=(1.5, 1.5, 3.0), kernel=kernel))
        found[kernel] = np.corrcoef(grain[1:].ravel(), grain[:-1].ravel())[0, 1]
    assert found[-1.0] > found[1.0] + 0.15


def test_what_lies_outside_the_round_field_has_no_label() -> None:
    small = replace(PLAIN, low_ras=(-50, -50, -60), high_ras=(50, 50, 60), padding_hu=-2000.0)
    volume, labels = acquire(ANATOMY, small, np.random.default_rng(0), "round")
    outside = beyond_circle(volume.grid)
    assert outside.any()
    assert (volume.array[outside] == -2000).all()
    assert not labels.array[outside].any()
    assert labels.array[~outside].all() or (labels.array[~outside] > 0).mean() > 0.9


def test_table_and_wires_belong_to_nobody() -> None:
    with_table = replace(PLAIN, table=5.0)
    volume, labels = acquire(ANATOMY, with_table, np.random.default_rng(3), "table", back_mm=-60.0)
    _, plain = acquire(ANATOMY, PLAIN, np.random.default_rng(3), "plain")
    np.testing.assert_array_equal(labels.array, plain.array)
    assert (volume.array[labels.array == 0] > -800).any()


def test_the_tube_voltage_changes_contrast_but_not_fat() -> None:
    calm = replace(PLAIN, noise_hu=0.0)
    hu = {}
    for iodine in (1.0, 1.5):
        volume, labels = acquire(ANATOMY, replace(calm, iodine=iodine), np.random.default_rng(0), "kv")
        hu[iodine] = {m.name: m.mean_hu for m in measure(labels, volume)}
    assert hu[1.5]["liver"] - hu[1.0]["liver"] > 20
    assert abs(hu[1.5]["body"] - hu[1.0]["body"]) < 3


def test_drawn_protocols_are_deterministic_and_differ() -> None:
    corners = ((-150.0, -120.0, 0.0), (150.0, 120.0, 200.0))
    drawn = [draw_protocol(np.random.default_rng(seed), *corners) for seed in (0, 0, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len({p.spacing_mm for p in drawn[1:]}) == 4


@pytest.mark.parametrize("kind", ["torso", "head-neck"])
def test_one_generator_gives_one_case(kind: str) -> None:
    region = "pelvis" if kind == "torso" else None
    first, again = (case(np.random.default_rng(6), kind, spacing_mm=COARSE, region=region) for _ in "ab")
    np.testing.assert_array_equal(first[0].array, again[0].array)
    np.testing.assert_array_equal(first[1].array, again[1].array)
    assert first[0].grid == again[0].grid
    assert set(first[1].present) <= set(structures(kind).values())
    assert first[0].array.min() >= -3024
    assert first[0].array.max() <= 3071


def test_a_set_is_a_folder_with_a_list_that_training_reads(tmp_path: Path) -> None:
    place = write_dataset(tmp_path / "set", 2, kind="head-neck", seed=3, spacing_mm=COARSE)
    listed = json.loads(place.read_text())
    assert [row["fold"] for row in listed["training"]] == [0, 1]
    assert listed["labels"]["121"] == "spinal cord"
    row = listed["training"][1]
    volume, stored = prosect.read(place.parent / row["image"]), read_labels(place.parent / row["label"])
    expected, labels = case(case_generator(3, "head-neck", 1), "head-neck", spacing_mm=COARSE)
    np.testing.assert_array_equal(volume.array, expected.array)
    np.testing.assert_array_equal(np.asarray(stored.array), labels.array)
    np.testing.assert_allclose(volume.grid.affine, expected.grid.affine, atol=1e-4)


def test_a_larger_set_goes_on_from_a_smaller_one_and_others_are_refused(tmp_path: Path) -> None:
    kept: list[bool] = []
    settings = {"kind": "head-neck", "seed": 1, "spacing_mm": (9.0, 9.0, 9.0)}
    write_dataset(tmp_path, 1, **settings)
    before = {p.name: p.read_bytes() for p in (tmp_path / "images").iterdir()}
    write_dataset(tmp_path, 2, **settings, on_case=lambda made: kept.append(made.kept))
    assert kept == [True, False]
    assert all((tmp_path / "images" / name).read_bytes() == data for name, data in before.items())
    with pytest.raises(prosect.errors.FormatError) as caught:
        write_dataset(tmp_path, 2, **{**settings, "seed": 2})
    assert caught.value.code == "OUTPUT_EXISTS"


def test_the_command_makes_a_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["phantom", "-o", str(tmp_path / "p"), "--kind", "head-neck", "--spacing", "9", "9", "9", "--seed", "2"]
    assert main(words) == 0
    assert "head_neck_2_0000" in capsys.readouterr().out
    assert (tmp_path / "p" / "dataset.json").is_file()
    assert main([*words, "--count", "0"]) == 2
    assert main([*words[:-2], "--lesions", "2"]) == 2
    assert main([*words[:-2], "--overwrite", "--spacing", "0", "1", "1"]) == 2


def test_the_letter_stays_as_it_is() -> None:
    """Geometry tests of the whole project rest on it."""
    grid = Grid((32, 32, 32), np.array([[4.0, 0, 0, -62], [0, 4.0, 0, -62], [0, 0, 4.0, -62], [0, 0, 0, 1]]))
    volume, labels = letter.asymmetric_letter(grid)
    assert volume.array.sum() == pytest.approx(-19_900_000, rel=0.3)
    assert len(labels.present) == 4
