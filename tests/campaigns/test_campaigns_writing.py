"""A slice of the campaigns that kill the writer, fill the disk and take memory away."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def test_no_kill_leaves_a_partial_file(tmp_path: Path) -> None:
    import kill_writer

    counts = kill_writer.campaign(tmp_path, 15, 1)
    assert (counts["killed"], counts["partial"], counts["leftovers"]) == (15, 0, 0)


def test_kills_do_hit_a_writer_without_care(tmp_path: Path) -> None:
    import kill_writer

    assert kill_writer.campaign(tmp_path, 10, 1, naive=True)["partial"] > 0


def test_a_full_disk_leaves_the_old_result(tmp_path: Path) -> None:
    import disk_full

    counts = disk_full.campaign(tmp_path, 5, 1)
    assert counts["harmed"] == 0
    assert counts["old intact"] >= 2


def test_every_storage_order_gives_one_answer(tmp_path: Path) -> None:
    import storage_orders
    from killing import tiny_weights

    scan = storage_orders.small_scan()
    figures = storage_orders.campaign(scan, tiny_weights(tmp_path), "prosect", 8, tmp_path)
    assert (figures["orders"], figures["answers"]) == (8, 1)
    assert np.unique(scan.array).size > 1


def test_too_little_memory_is_refused_or_enough(tmp_path: Path) -> None:
    import memory_limit

    counts, said = memory_limit.campaign(tmp_path, 2, 48, 1)
    assert said == []
    assert counts["done"] + counts["refused"] == 2
