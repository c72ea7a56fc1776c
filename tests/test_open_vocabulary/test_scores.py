"""Softmax over queries, the best of a class, and the two thresholds."""

import pytest
import torch

from ttr_backbones.open_vocabulary import scores
from ttr_backbones.open_vocabulary.scores import Decision


def rows_of(values):
    return lambda first, last: values[:, :, first:last]


@pytest.fixture
def values():
    return 3 * torch.randn(2, 5, 6, 7, generator=torch.manual_seed(0))


def test_probabilities__softmax_over_queries_then_the_best_of_each_class(values):
    decide = Decision([2, 1, 2])
    soft = values.softmax(dim=1)
    expected = torch.stack([soft[:, 0:2].amax(dim=1), soft[:, 2], soft[:, 3:5].amax(dim=1)], dim=1)
    labels, kept = decide(rows_of(values), (6, 7), keep=True)
    torch.testing.assert_close(kept, expected)
    assert torch.equal(labels, expected.argmax(dim=1))
    # Without thresholds no softmax is needed for the same classes.
    assert torch.equal(decide(rows_of(values), (6, 7))[0], labels)


def test_prob_thd__makes_background_of_what_is_unsure(values):
    found = Decision([2, 1, 2]).probabilities(values)
    labels, _ = Decision([2, 1, 2], prob_thd=0.6)(rows_of(values), (6, 7))
    best, label = found.max(dim=1)
    assert torch.equal(labels, torch.where(best < 0.6, 0, label))
    assert (best < 0.6).any()


def test_area_thd__by_hand():
    """Nine pixels: five of class 1, one of class 2, three of the background."""
    values = torch.zeros(1, 3, 1, 9)
    values[0, 1, 0, :5], values[0, 2, 0, 5], values[0, 0, 0, 6:] = 4.0, 4.0, 4.0
    values[0, 1, 0, 5] = 1.0  # second best where class 2 is
    # A sixth of the foreground is class 2.
    labels, _ = Decision([1, 1, 1], area_thd=0.15)(rows_of(values), (1, 9))
    assert labels.tolist() == [[[1] * 5 + [2] + [0] * 3]]
    labels, kept = Decision([1, 1, 1], area_thd=0.2)(rows_of(values), (1, 9), keep=True)
    assert labels.tolist() == [[[1] * 6 + [0] * 3]]
    assert kept[0, 2].eq(0).all()


def test_a_few_rows_at_a_time_are_the_same(values, monkeypatch):
    decide = Decision([2, 1, 2], prob_thd=0.5, area_thd=0.3)
    whole = decide(rows_of(values), (6, 7), keep=True)
    monkeypatch.setattr(scores, "_BYTES", 4 * 2 * 5 * 7 * 2)  # two rows
    asked = []

    def rows(first, last):
        asked.append(last - first)
        return values[:, :, first:last]

    parts = decide(rows, (6, 7), keep=True)
    assert max(asked) == 2
    for found, expected in zip(parts, whole, strict=True):
        torch.testing.assert_close(found, expected)
