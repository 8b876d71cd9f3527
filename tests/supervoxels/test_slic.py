"""Where the air is, and what SLIC makes of features."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from prosect.supervoxels.slic import air_around, cut, grow

ISOTROPIC = (1.0, 1.0, 1.0)


def body_with_lung() -> np.ndarray:
    """Return where a scan is dark: around a body, in a lung that the scan cuts below, and in a bowel gas bubble."""
    dark = np.ones((20, 20, 12), dtype=bool)
    dark[3:17, 3:17] = False
    dark[5:9, 5:9, :8] = True
    dark[12, 12, 6] = True
    return dark


def test_air_leads_to_a_side_and_lungs_and_bowel_do_not() -> None:
    air = air_around(body_with_lung(), (3.0, 3.0, 3.0))
    assert air[0, 0, 0]
    assert air[:3].all()
    assert not air[5:9, 5:9].any()
    assert not air[12, 12, 6]


def test_a_body_that_fills_the_scan_has_no_air_around_it() -> None:
    dark = np.zeros((8, 8, 8), dtype=bool)
    dark[3:5, 3:5, :] = True
    assert not air_around(dark, ISOTROPIC).any()
    assert not air_around(np.zeros((4, 4, 4), dtype=bool), ISOTROPIC).any()
    assert air_around(np.ones((4, 4, 4), dtype=bool), ISOTROPIC).all()


def test_gaps_in_air_are_closed_up_to_three_millimetres() -> None:
    dark = np.ones((24, 24, 24), dtype=bool)
    dark[12:, :, :] = False  # the body
    dark[4, :, :] = False  # a sheet that lies on the patient
    assert air_around(dark, ISOTROPIC)[:12].all()
    assert not air_around(dark, ISOTROPIC)[12:].any()
    thick = dark.copy()
    thick[1:11] = False
    assert not air_around(thick, ISOTROPIC)[1:11].all()


def test_air_is_never_taken_away_by_closing() -> None:
    rng = np.random.default_rng(0)
    dark = rng.random((15, 14, 13)) < 0.6
    labelled, _ = ndimage.label(dark)
    sides = np.unique(
        np.concatenate([labelled[0].ravel(), labelled[-1].ravel(), labelled[:, 0].ravel(), labelled[:, -1].ravel()])
    )
    outside = np.isin(labelled, sides[sides > 0])
    assert air_around(dark, (2.0, 2.0, 2.0))[outside].all()


def two_halves() -> tuple[np.ndarray, np.ndarray]:
    """Return features of two halves with five channels, and a body that leaves out a border."""
    features = np.zeros((20, 20, 20, 5), dtype=np.float32)
    features[10:] = (1, -2, 0.5, 3, 0)
    body = np.zeros((20, 20, 20), dtype=bool)
    body[1:-1, 1:-1, 1:-1] = True
    return features, body


def test_supervoxels_fill_the_body_and_nothing_else() -> None:
    features, body = two_halves()
    labels = cut(features, body, 20, (1, 1, 1), 0.01, ISOTROPIC)
    assert ((labels > 0) == body).all()
    assert 10 <= len(np.unique(labels)) - 1 <= 40


def test_supervoxels_follow_features() -> None:
    features, body = two_halves()
    labels = cut(features, body, 20, (0.5, 0.5, 0.5), 0.01, ISOTROPIC)
    left, right = set(np.unique(labels[:9])) - {0}, set(np.unique(labels[11:])) - {0}
    assert not left & right


def test_supervoxels_are_connected() -> None:
    rng = np.random.default_rng(1)
    features = ndimage.gaussian_filter(rng.normal(size=(24, 24, 24, 4)), (2, 2, 2, 0)).astype(np.float32)
    labels = cut(features, np.ones((24, 24, 24), dtype=bool), 30, (1, 1, 1), 0.01, ISOTROPIC)
    for index in np.unique(labels):
        assert ndimage.label(labels == index)[1] == 1


def test_a_small_piece_apart_is_left_out_and_a_large_one_is_not() -> None:
    features, body = two_halves()
    body[:] = False
    body[1:13], body[15:19, 4:16, 4:16], body[14:, :2, :2] = True, True, True
    labels = cut(features, body, 20, (1, 1, 1), 0.1, ISOTROPIC)
    assert not labels[14:, :2, :2].any()
    assert labels[15:19, 4:16, 4:16].all()
    assert not set(np.unique(labels[:13])) & set(np.unique(labels[15:])) - {0}


def test_three_channels_are_no_colours() -> None:
    rng = np.random.default_rng(2)
    three = ndimage.gaussian_filter(rng.normal(size=(16, 16, 16, 3)), (2, 2, 2, 0)).astype(np.float32)
    four = np.concatenate([three, three[..., :1] * 0], axis=-1)
    body = np.ones((16, 16, 16), dtype=bool)
    body[0] = False
    args = body, 12, (1, 1, 1), 0.01, ISOTROPIC
    assert (cut(three, *args) == cut(four, *args)).mean() > 0.9


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_the_scale_of_features_does_not_matter(scale: float) -> None:
    features, body = two_halves()
    args = body, 20, (1, 1, 1), 0.01, ISOTROPIC
    assert np.array_equal(cut(features, *args), cut(features * np.float32(scale), *args))


def test_an_empty_body_has_no_supervoxels() -> None:
    features, body = two_halves()
    assert not cut(features, body & False, 20, (1, 1, 1), 0.01, ISOTROPIC).any()


def test_labels_grow_by_one_cell_and_over_nothing() -> None:
    labels = np.zeros((7, 7, 7), dtype=np.int64)
    labels[3, 3, 3], labels[3, 3, 4] = 4, 9
    bigger = grow(labels)
    assert bigger[3, 3, 3] == 4
    assert bigger[3, 3, 4] == 9
    assert bigger[2, 2, 2] == 4
    assert bigger[4, 4, 5] == 9
    assert not bigger[1].any()
