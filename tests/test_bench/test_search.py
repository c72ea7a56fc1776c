"""The bench measures what it says: its usual search is right, and the table holds together."""

import pytest
import torch

from ttr_backbones.bench.search import (
    GOALS,
    ONE_PASS,
    PLAIN,
    TWO_PASSES,
    USUAL,
    bench_search,
    usual_search,
)
from ttr_backbones.errors import InputError
from ttr_backbones.neuron_search.search import find_register_neurons


@pytest.fixture
def images():
    return torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("cls", [True, False])
def test_usual_search__gives_the_same_ranking(make_vit, images, cls):
    """An independent way to the same list: image by image, with everything recorded."""
    vit = make_vit(**({} if cls else {"class_token": False, "global_pool": "avg"}))
    threshold = 1.02 * median_norm(vit, images)
    found = find_register_neurons(vit, images, threshold=threshold)
    assert found.num_outliers > 10
    expected = [(block, unit) for block, unit, _ in found.ranking]
    assert usual_search(vit, images, threshold)[: len(expected)] == expected


def median_norm(vit, images):
    with torch.no_grad():
        tokens = vit.forward_intermediates(images, intermediates_only=True)[-1]
    return tokens.norm(dim=1).median().item()


def test_bench__times_all_contestants(make_vit, images):
    vit = make_vit()
    measured = bench_search(vit, images, batch_sizes=(2, 4), rounds=2)
    names = [PLAIN, ONE_PASS, TWO_PASSES, USUAL]
    assert [(row.batch_size, row.contestant) for row in measured.rows] == [
        (batch_size, name) for batch_size in (2, 4) for name in names
    ]
    assert measured.facts == {"same_neurons": True}
    assert len(measured.notes) == 2
    assert measured.notes[0].endswith("all find the same 10 neurons")
    for row in measured.rows:
        assert row.images_per_second > 0
        assert row.against == PLAIN
        assert row.goal == GOALS.get(row.contestant)
        assert (row.ratio.median == 1) == (row.contestant == PLAIN)
    peaks = {row.contestant: row.peak_bytes for row in measured.rows if row.batch_size == 4}
    assert peaks[PLAIN] < peaks[TWO_PASSES] <= peaks[ONE_PASS]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in vit.modules())


def test_bench__needs_a_round(make_vit, images):
    with pytest.raises(InputError, match="rounds=0: expected at least 1"):
        bench_search(make_vit(), images, rounds=0)
