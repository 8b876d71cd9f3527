"""What `torchrun` starts finds itself and the others, and one process alone needs none of it."""

from __future__ import annotations

import socket

import pytest
import torch
import torch.distributed

from prosect.errors import ResourceError
from prosect.training.torchrun import is_launched, join_launched, own_device


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let this process take itself for the only one that `torchrun` has started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = {"TORCHELASTIC_RUN_ID": "a", "LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "1"}
    for name, value in {**words, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_every_process_of_torchrun_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert own_device(torch.device("cuda")) == torch.device("cuda"), "alone"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a")
    assert own_device(torch.device("cuda")) == torch.device("cuda:2")
    assert own_device(torch.device("cuda:1")) == torch.device("cuda:1")
    assert own_device(torch.device("cpu")) == torch.device("cpu")
    assert taken == [torch.device("cuda:2")]


def test_a_process_alone_joins_nobody() -> None:
    with join_launched(torch.device("cpu")) as ranks:
        assert (ranks.rank, ranks.world) == (0, 1)
        assert not torch.distributed.is_initialized()


def test_a_launched_process_is_joined_within_the_block_only(launched: pytest.MonkeyPatch) -> None:
    assert is_launched()
    with join_launched(torch.device("cpu")) as ranks:
        assert (ranks.rank, ranks.world) == (0, 1)
        assert torch.distributed.is_initialized()
    assert not torch.distributed.is_initialized()


def test_processes_that_do_not_find_each_other_are_told_so(launched: pytest.MonkeyPatch) -> None:
    launched.setenv("WORLD_SIZE", "no number")
    with pytest.raises(ResourceError, match="do not find each other") as caught, join_launched(torch.device("cpu")):
        pass
    assert caught.value.code == "RANKS_APART"
