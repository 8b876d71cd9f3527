"""Algorithm 2 from scan to labels: laws that hold for every encoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sv_scans import ORDERS, SHAPE, WavyNetwork, torso
from tests.reference.trilinear import resample

from prosect import supervoxels
from prosect.errors import PromptError, ResourceError
from prosect.geometry import Grid
from prosect.models.sam import SamModel
from prosect.networks.sam import SamFeatures, VitVariant
from prosect.networks.vista3d import Architecture, vista3d
from prosect.supervoxels.encoders import COMPACTNESS, Encoder, IntensityEncoder, ModelEncoder, SamEncoder
from prosect.supervoxels.slic import air_around
from prosect.supervoxels.working import Working
from prosect.volume import Volume
from worlds.orders import stored

SMALL = VitVariant(dim=16, heads=2, windows=(3, 8), hidden=32, side=8, patch=16, out_channels=16)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Encoder]:
    """Return one encoder of each kind, with small networks of random weights."""
    torch.manual_seed(0)
    sam = SamModel(SamFeatures(SMALL).eval(), "small", "0" * 64, torch.device("cpu"))
    weights = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(vista3d(Architecture(width=4, blocks=(1, 1, 1), interactive=False)).state_dict(), weights)
    features = supervoxels.load_encoder("features", weights, "cpu")
    return {"sam": SamEncoder(sam), "features": features, "intensity": IntensityEncoder()}


KINDS = ("sam", "features", "intensity")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cells", [2**22, 2500])
def test_the_body_is_cut_up_and_air_is_never_labelled(encoders, kind, cells) -> None:
    volume = torso()
    labels = supervoxels.generate(volume, encoders[kind], 30, cells=cells)
    air = air_around(volume.array < -800, volume.grid.spacing_mm)
    assert not labels.array[air].any()
    assert (labels.array[~air] > 0).mean() > 0.999
    assert labels.grid == volume.grid


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_have_no_gaps_and_names(encoders, kind) -> None:
    labels = supervoxels.generate(torso(), encoders[kind], 30)
    assert labels.present == tuple(range(1, len(labels.vocabulary) + 1))
    assert labels.name_of(1) == "supervoxel 1"
    assert 6 <= len(labels.present) <= 75


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_scan_gives_the_same_supervoxels(encoders, kind) -> None:
    first, second = (supervoxels.generate(torso(), encoders[kind], 30) for _ in range(2))
    assert np.array_equal(first.array, second.array)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ORDERS[1::2])
def test_supervoxels_do_not_depend_on_how_the_scan_is_stored(encoders, kind, order) -> None:
    expected = supervoxels.generate(torso(), encoders[kind], 30, cells=6000)
    found = supervoxels.generate(stored(torso(), order), encoders[kind], 30, cells=6000)
    assert np.array_equal(found.array, order.apply(expected.array))


def test_lungs_are_cut_up_too(encoders) -> None:
    volume = torso()
    labels = supervoxels.generate(volume, encoders["intensity"], 30)
    lung = (volume.array < -800) & ~air_around(volume.array < -800, volume.grid.spacing_mm)
    assert lung.sum() > 100
    assert labels.array[lung].all()


def test_organs_of_different_intensity_are_told_apart(encoders) -> None:
    volume = torso((40, 36, 24), (1.5, 1.5, 2.0))
    labels = supervoxels.generate(volume, encoders["intensity"], 60)
    organ = volume.array > 150
    inside = np.bincount(labels.array[organ], minlength=len(labels.vocabulary) + 1)
    total = np.bincount(labels.array.ravel(), minlength=len(labels.vocabulary) + 1)
    mostly = [n for n in range(1, len(total)) if inside[n] > total[n] / 2]
    assert 2 * inside[mostly].sum() / (total[mostly].sum() + organ.sum()) > 0.8


def test_the_model_sees_what_it_knows_of_any_scan(encoders) -> None:
    shown = []

    class Watched(ModelEncoder):
        def _model_input(self, working: Working) -> Volume:
            shown.append(super()._model_input(working))
            return shown[-1]

    encoder = Watched(encoders["features"].model)
    ct = torso()
    mr = Volume(ct.array * 0.3 + 400, ct.grid, "MR")
    for volume in (ct, mr):
        working = Working.of(volume)
        encoder.add_to(torch.zeros(*working.shape, encoder.channels), working)
    assert shown[0] is ct
    wanted = encoder.model.spec.intensity
    assert float(shown[1].array.min()) == pytest.approx(wanted.low, abs=1)
    assert float(shown[1].array.max()) == pytest.approx(wanted.high, abs=1)


@pytest.mark.parametrize("cells", [2**22, 1500])
def test_features_of_the_model_lie_where_the_model_put_them(encoders, cells) -> None:
    encoder = encoders["features"]
    working = Working.of(torso(), cells)
    found = torch.ones(*working.shape, encoder.channels)
    encoder.add_to(found, working)
    grid, axis, slabs = encoder.model.features(working.volume)
    with torch.inference_mode():
        whole = torch.cat([slab.features.clone() for slab in slabs]).movedim(0, axis).numpy()
    for channel in range(encoder.width):
        expected = resample(whole[..., channel], grid, working.grid)
        assert np.allclose(found[..., channel] - 1, expected, atol=1e-4)
    assert np.allclose(found[..., -2] - 1, working.case.image[0, 0], atol=1e-6)


def test_features_and_intensities_weigh_the_same_whatever_one_cell_holds(encoders) -> None:
    encoder = encoders["features"]
    features = torch.randn(9, 8, 7, encoder.channels, generator=torch.Generator().manual_seed(0)) * 50
    features[..., encoder.width :] *= 1e-4
    body = torch.ones(9, 8, 7, dtype=torch.bool)
    body[0] = False
    features[0] = 1e6
    compactness = encoder.balance(features, body)
    inside = features[body]
    for group in (inside[:, : encoder.width], inside[:, encoder.width :]):
        assert float(group.var(dim=0, correction=0).sum()) == pytest.approx(1, rel=1e-4)
    assert compactness * float(inside.max() - inside.min()) == pytest.approx(COMPACTNESS)


def test_the_sum_over_orientations_is_cut_as_it_is(encoders) -> None:
    features = torch.randn(4, 4, 4, 2)
    before = features.clone()
    assert encoders["sam"].balance(features, torch.ones(4, 4, 4, dtype=torch.bool)) == 0.01
    assert torch.equal(features, before)


def test_a_scan_of_air_has_no_supervoxels(encoders) -> None:
    volume = Volume(np.full(SHAPE, -1000, np.float32), Grid(SHAPE, np.diag([3.0, 3.0, 4.0, 1.0])), "CT")
    labels = supervoxels.generate(volume, encoders["intensity"], 30)
    assert not labels.array.any()
    assert len(labels.vocabulary) == 0


def test_the_result_says_how_it_was_made(encoders) -> None:
    how = supervoxels.generate(torso(), encoders["sam"], 30, cells=2500).provenance
    assert how["supervoxels"] == {"encoder": "small", "weights_sha256": "0" * 64}
    assert how["segments"] == 30
    assert min(how["working_spacing_mm"]) > 2


def test_a_run_that_does_not_fit_is_refused_before_it_starts(encoders, monkeypatch) -> None:
    monkeypatch.setattr("prosect.supervoxels.alg2.available_bytes", lambda: 1 << 20)
    with pytest.raises(ResourceError) as caught:
        supervoxels.generate(torso(), encoders["intensity"])
    assert caught.value.code == "MEMORY_INSUFFICIENT"


@pytest.mark.parametrize("words", [{"encoder": "sam"}, {"encoder": ""}])
def test_an_unknown_encoder_is_refused(words) -> None:
    with pytest.raises(PromptError) as caught:
        supervoxels.generate(torso(), **words)
    assert caught.value.code == "ENCODER_UNKNOWN"


@pytest.mark.parametrize("words", [{"segments": 0}, {"cells": 0}])
def test_numbers_below_one_are_refused(encoders, words) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        supervoxels.generate(torso(), encoders["intensity"], **words)


def test_the_network_is_shown_every_slice_once(encoders) -> None:
    network = WavyNetwork()

    class Fake(SamEncoder):
        channels = 3

        def bytes_beside(self, grid: object, shape: object) -> int:
            return 0

        @property
        def identity(self) -> dict[str, str]:
            return {"encoder": "wavy"}

    supervoxels.generate(torso(), Fake(network), 20)
    assert sum(network.batches) == sum(SHAPE)
