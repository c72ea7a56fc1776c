"""The search finds what was planted: all of it, nothing else, however the images come."""

import pytest
import torch

from ttr_backbones.neuron_search.outliers import token_norms
from ttr_backbones.neuron_search.search import NoOutliersError, find_register_neurons

KINDS = [
    pytest.param({"swiglu": swiglu, "cls": cls}, id=f"{mlp}-{token}")
    for swiglu, mlp in ((False, "gelu"), (True, "swiglu"))
    for cls, token in ((True, "cls"), (False, "no_cls"))
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_find__precision_and_recall_are_one(planted, seed, kind):
    truth = planted(seed, **kind)
    found = find_register_neurons(truth.vit, truth.images, top_k=len(truth.neurons))
    assert sorted((b, u) for b, units in found.layers.items() for u in units) == truth.neurons
    assert {(b, u) for b, u, _ in found.ranking[: len(truth.neurons)]} == set(truth.neurons)
    assert found.num_outliers == truth.bright.sum()
    assert found.num_images == len(truth.images)


@pytest.mark.parametrize("kind", KINDS)
def test_planted__the_outliers_are_the_bright_patches(planted, kind):
    truth = planted(**kind)
    with torch.no_grad():
        tokens = truth.vit.forward_intermediates(truth.images, intermediates_only=True)[-1]
    norms = token_norms(tokens.flatten(2).transpose(1, 2))
    assert norms[truth.bright].min() > 5 * norms[~truth.bright].max()


def test_find__scores_are_the_mean_activation_at_outliers(planted):
    """Worked out by hand for every planted unit; images without outliers do not count."""
    truth = planted()
    found = find_register_neurons(truth.vit, truth.images)
    scores = {(b, u): score for b, u, score in found.ranking}
    first_patch = truth.vit.num_prefix_tokens
    for block, unit in truth.neurons:
        seen = []
        mlp = truth.vit.blocks[block].mlp
        handle = mlp.fc2.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
        with torch.no_grad():
            truth.vit.forward_features(truth.images)
        handle.remove()
        values = seen[0][:, first_patch:, unit].abs()
        means = [v[on].mean() for v, on in zip(values, truth.bright, strict=True) if on.any()]
        assert scores[block, unit] == pytest.approx(torch.stack(means).mean().item(), rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_find__does_not_depend_on_the_batch_size(planted, batch_size):
    truth = planted()
    assert_same(
        find_register_neurons(truth.vit, truth.images, batch_size=8),
        find_register_neurons(truth.vit, truth.images, batch_size=batch_size),
    )


def test_find__does_not_depend_on_how_the_images_come(planted):
    truth = planted()
    expected = find_register_neurons(truth.vit, truth.images)
    shuffled = truth.images[torch.randperm(len(truth.images), generator=torch.Generator())]
    assert_same(expected, find_register_neurons(truth.vit, shuffled))
    assert_same(expected, find_register_neurons(truth.vit, list(truth.images.split(4))))
    assert_same(
        expected,
        find_register_neurons(
            truth.vit, (image for image in truth.images), threshold=expected.threshold
        ),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_find__one_pass_equals_two(planted, kind):
    truth = planted(**kind)
    assert_same(
        find_register_neurons(truth.vit, truth.images),
        find_register_neurons(truth.vit, truth.images, memory_budget=0),
    )


def test_find__is_deterministic(planted):
    truth = planted()
    one, two = (find_register_neurons(truth.vit, truth.images) for _ in range(2))
    assert one.ranking == two.ranking


def test_find__keeps_to_the_block_range(planted):
    truth = planted(places=[(0, 3), (1, 5), (2, 7), (3, 9)])
    found = find_register_neurons(truth.vit, truth.images, bottom_block=1, top_block=2, top_k=2)
    assert found.layers == {1: [5], 2: [7]}
    assert {block for block, *_ in found.ranking} == {1, 2}


@pytest.mark.parametrize("kwargs", [{}, {"reg_tokens": 4}])
def test_find__says_that_a_model_has_no_outliers(make_vit, kwargs):
    images = torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with pytest.raises(NoOutliersError, match="this model has no outliers"):
        find_register_neurons(make_vit(**kwargs), images)


def assert_same(one, two):
    """The same order, and scores to the rounding of float32 sums."""
    names = [[(b, u) for b, u, _ in found.ranking[:3]] for found in (one, two)]
    assert names[0] == names[1]
    scores = [{(b, u): score for b, u, score in found.ranking} for found in (one, two)]
    assert scores[0].keys() == scores[1].keys()
    for key, score in scores[0].items():
        assert scores[1][key] == pytest.approx(score, rel=1e-4, abs=1e-6)
    assert one.threshold == pytest.approx(two.threshold, rel=1e-6)
    assert (one.num_images, one.num_outliers) == (two.num_images, two.num_outliers)
