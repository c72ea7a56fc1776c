"""Threshold rules: exact where they can be, and never a gap where there is none."""

from __future__ import annotations

import pytest
import torch

from ttr_backbones.neuron_search.thresholds import (
    NormHistogram,
    gap_threshold,
    mean_std_threshold,
    median_mad_threshold,
)


def histogram(norms) -> NormHistogram:
    made = NormHistogram()
    made.add(torch.as_tensor(norms))
    return made


def log_normal(count, centre, spread, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator=generator).mul(spread).exp() * centre


def test_mean_std_is_the_papers_formula():
    norms = log_normal(5000, 20, 0.5)
    expected = norms.double().mean() + 3 * norms.double().std(correction=0)
    assert mean_std_threshold(histogram(norms)) == pytest.approx(expected.item(), rel=1e-9)


def test_median_mad_is_right_to_the_width_of_a_bin():
    norms = log_normal(5001, 20, 0.3)
    deviation = (norms - norms.median()).abs().median()
    expected = norms.median() + 4 * 1.4826 * deviation
    assert median_mad_threshold(histogram(norms), k=4) == pytest.approx(expected.item(), rel=0.01)
    assert histogram(norms).median() == pytest.approx(norms.median().item(), rel=0.005)


@pytest.mark.parametrize("share", [0.001, 0.02, 0.1])
@pytest.mark.parametrize("centre", [5.0, 20.0, 300.0])
def test_the_gap_of_two_groups_is_found(share, centre):
    few = max(1, int(10_000 * share))
    low, high = log_normal(10_000 - few, centre, 0.2), log_normal(few, 25 * centre, 0.15, seed=1)
    threshold = gap_threshold(histogram(torch.cat([low, high])))
    assert low.max() < threshold < high.min()


@pytest.mark.parametrize("spread", [0.01, 0.1, 0.5, 1.0])
def test_a_single_mode_has_no_gap_however_broad(spread):
    for seed in range(5):
        assert gap_threshold(histogram(log_normal(20_000, 20, spread, seed))) is None


def test_equal_norms_and_none_at_all_have_no_gap():
    assert gap_threshold(histogram(torch.full((100,), 7.0))) is None
    assert gap_threshold(NormHistogram()) is None
    assert gap_threshold(histogram(torch.zeros(10))) is None


def test_batches_add_up():
    norms = log_normal(3000, 20, 0.4)
    whole, parts = histogram(norms), NormHistogram()
    for part in norms.split(700):
        parts.add(part.reshape(1, -1))
    assert torch.equal(whole.counts, parts.counts)
    torch.testing.assert_close(whole.moments, parts.moments)
