"""Choosing on one half and reporting on the other, by hand and on noise."""

import numpy as np
import pytest

from ttr_backbones.errors import InputError
from ttr_backbones.evaluation.split_half import held_out_scores, random_halves


def mean(sums):
    return sums[..., 0] / sums[..., 1]


def with_ones(values):
    return np.stack([values, np.ones_like(values)], axis=2)


def test_held_out__two_settings_four_images_by_hand():
    # Halves {0, 1} and {2, 3}: setting 0 is best on the first (100) and has 50 on the second;
    # setting 1 is best on the second (100) and has 0 on the first. Mean 25, either way round.
    hits = with_ones(np.array([[100.0, 100, 0, 100], [0, 0, 100, 100]]))
    halves = np.array([[True, True, False, False], [False, False, True, True]])
    found = held_out_scores(hits, halves, mean)
    assert found.chosen.tolist() == [[0, 1], [1, 0]]
    assert found.scores.tolist() == [25.0, 25.0]
    # Lower is better: 1 is chosen on the first half and has 100; 0 on the second and has 100.
    errors = held_out_scores(hits, halves, mean, higher_is_better=False)
    assert errors.chosen.tolist() == [[1, 0], [0, 1]]
    assert errors.scores.tolist() == [100.0, 100.0]


def test_held_out__takes_away_what_choosing_among_noise_gives():
    """Of 32 settings that are all worth 40 percent, on 60 sets of 70 images."""
    noise = 100.0 * (np.random.default_rng(0).random((60, 32, 70)) < 0.4)
    best = noise.mean(axis=2).max(axis=1).mean()
    halves = random_halves(70, 10, seed=1)
    scores = [held_out_scores(with_ones(data), halves, mean).scores.mean() for data in noise]
    assert best > 50
    error = np.std(scores) / np.sqrt(len(scores))
    assert error < 1
    assert np.mean(scores) == pytest.approx(40, abs=2 * error)


def test_random_halves__are_halves_and_repeat_with_their_seed():
    halves = random_halves(7, 50, seed=3)
    assert (halves.sum(axis=1) == 3).all()
    assert len({tuple(half) for half in halves.tolist()}) > 15
    assert (halves == random_halves(7, 50, seed=3)).all()
    with pytest.raises(InputError, match="halves of 1 image"):
        random_halves(1, 5, seed=0)
