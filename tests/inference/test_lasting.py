"""What lasts of the answer before the last click."""

from __future__ import annotations

import pytest
import torch

from prosect.inference.lasting import Lasting, lasting_logits


def test_near_the_last_click_the_newest_answer_counts_alone_and_far_from_it_a_share_of_the_one_before() -> None:
    newest, before = torch.full((40, 12, 30), -2.0), torch.full((40, 12, 30), 6.0)
    found = lasting_logits(newest, before, (2.0, 6.0, 3.0), Lasting(share=0.25, reach=2.0))
    assert float(found[2, 6, 3]) == pytest.approx(-2.0)
    assert float(found[39, 6, 29]) == pytest.approx(0.75 * -2 + 0.25 * 6)
    along = found[2:, 6, 3]
    assert bool((along.diff() >= 0).all()), "the farther from the click, the more lasts"


def test_where_both_answers_agree_nothing_changes() -> None:
    answer = torch.randn(8, 9, 10, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(lasting_logits(answer, answer.clone(), (4, 4, 4), Lasting()), answer)
