"""The catalogue is data: what it lists can be loaded, and what it cannot mean is refused."""

from __future__ import annotations

import pytest

from prosect import vocabulary
from prosect.checkpoints import catalog
from prosect.checkpoints.fitting import FITTINGS
from prosect.errors import CheckpointError
from prosect.models.family import FAMILIES

TWO = """
default = "b"
[model.a]
summary = "one"
shipped = "a.safetensors"
[model.b]
summary = "another"
shipped = "b.safetensors"
window = [96, 96, 64]
"""


def test_every_entry_has_a_network_that_can_be_fitted_and_a_vocabulary_that_exists() -> None:
    for entry in catalog.CATALOG.values():
        assert entry.network in FITTINGS
        assert entry.vocabulary in (*vocabulary.NAMES, "")
        assert bool(entry.vocabulary) == (entry.network in FAMILIES)
        assert bool(entry.url) != bool(entry.shipped), "weights are fetched or come with the package"
        assert entry.licence


def test_without_a_name_all_shipped_models_answer_and_one_is_begun_with() -> None:
    shipped = catalog.members(None)
    assert all(entry.shipped for entry in shipped)
    assert catalog.JOIN.join(entry.name for entry in shipped) == catalog.default_name()
    assert catalog.entry(None) in shipped
    assert catalog.locate(None).is_file()


def test_a_joined_name_stands_for_its_models_each_once() -> None:
    names = [entry.name for entry in catalog.members("vista3d+prosect-small+vista3d")]
    assert names == ["vista3d", "prosect-small"]
    for bad in ("vista3d+", "vista3d+nobody", "prosect-small+sam-vit-h"):
        with pytest.raises(CheckpointError) as caught:
            catalog.members(bad)
        assert caught.value.code == "MODEL_UNKNOWN", bad


def test_figures_are_of_structures_that_the_vocabulary_knows() -> None:
    for entry in catalog.CATALOG.values():
        for name, dice in entry.dice.items():
            assert vocabulary.load(entry.vocabulary)[name].name == name
            assert 0 < dice < 1


def test_several_models_can_be_shipped_and_one_is_the_default() -> None:
    entries, default = catalog.read_catalog(TWO)
    assert [entry.shipped for entry in entries.values()] == ["a.safetensors", "b.safetensors"]
    assert default == "b"
    assert entries["b"].window == (96, 96, 64)


def test_a_key_that_means_nothing_and_a_default_that_is_not_there_are_refused() -> None:
    with pytest.raises(TypeError, match="colour"):
        catalog.read_catalog(TWO + 'colour = "red"\n')
    with pytest.raises(KeyError, match="c"):
        catalog.read_catalog(TWO.replace('default = "b"', 'default = "c"'))


def test_each_family_has_its_own_standard_model() -> None:
    for family in FAMILIES.values():
        assert catalog.entry(family.standard).network == family.network
