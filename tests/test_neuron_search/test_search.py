"""Algorithm 1 against a plain re-statement, and on the real ViT."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.layers import SwiGLUPacked

from ttr_backbones.neuron_search.scan import Outliers, score_units
from ttr_backbones.neuron_search.search import NoOutliersError, find_register_neurons
from ttr_backbones.registers import add_test_time_registers


def read(vit, image):
    """Hidden activations {block: [N, D]} and token norms {block: [N]} of one image."""
    hidden, norms, hooks = {}, {}, []
    for index, block in enumerate(vit.blocks):
        hooks += [
            block.mlp.fc2.register_forward_pre_hook(
                lambda _, args, index=index: hidden.update({index: args[0][0]})
            ),
            block.register_forward_hook(
                lambda *args, index=index: norms.update({index: args[2][0].norm(dim=-1)})
            ),
        ]
    with torch.no_grad():
        vit(image[None])
    for hook in hooks:
        hook.remove()
    return hidden, norms


def restated(vit, images, threshold, *, include_cls=False, sparsity=True, detect=3, top=3):
    """Scores by the paper's Algorithm 1, one image and one neuron at a time: {(block, unit): s}."""
    sums, counted, outliers = {}, 0, 0
    for image in images:
        hidden, norms = read(vit, image)
        allowed = range(len(norms[detect]))
        first = vit.num_prefix_tokens
        positions = [t for t in allowed if norms[detect][t] > threshold]
        positions = [t for t in positions if t >= first or (include_cls and t == 0)]
        if not positions:
            continue
        counted += 1
        outliers += len(positions)
        for block in range(top + 1):
            for unit in range(hidden[block].shape[1]):
                column = hidden[block][:, unit]
                score = column[positions].abs().mean().item()
                if sparsity and (column < 0.5).float().mean() < 0.5:
                    score = 0.0
                sums[block, unit] = sums.get((block, unit), 0.0) + score
    return {key: total / counted for key, total in sums.items()}, outliers


@pytest.fixture
def images():
    made = torch.randn(7, 3, 64, 48, generator=torch.Generator().manual_seed(3))
    made[1:, :, 16:32, :16] *= 300  # the residual stream carries such a patch to the end
    return made


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"class_token": False, "global_pool": "avg"},
        {"reg_tokens": 2, "no_embed_class": True},
        {"mlp_layer": SwiGLUPacked, "act_layer": "silu"},
    ],
)
@pytest.mark.parametrize("options", [{}, {"include_cls": True}, {"sparsity": False}])
def test_scores_equal_algorithm_1_written_out(make_vit, images, kind, options):
    vit = make_vit(**kind)
    with torch.no_grad():
        last = vit.get_intermediate_layers(images, 1)[0].norm(dim=-1)
    threshold = last.flatten().quantile(0.95).item()
    expected, outliers = restated(vit, images, threshold, **options)
    found = find_register_neurons(vit, images, threshold=threshold, top_k=5, **options)
    assert found.num_outliers == outliers
    assert found.num_images == 7
    positive = {key: score for key, score in expected.items() if score > 0}
    assert len(found.ranking) == len(positive)
    for block, unit, score in found.ranking:
        assert score == pytest.approx(positive[block, unit], rel=1e-4)
    scores = [score for *_, score in found.ranking]
    assert scores == sorted(scores, reverse=True)
    top = {(b, u) for b, u, _ in found.ranking[:5]}
    assert {(b, u) for b, units in found.layers.items() for u in units} == top


def test_blocks_are_limited_to_the_range(make_vit, images):
    vit = make_vit()
    options = {"threshold": 1.0, "detect_block": 3}
    found = find_register_neurons(vit, images, bottom_block=1, top_block=2, **options)
    assert {block for block, *_ in found.ranking} == {1, 2}
    assert found.detect_block == 3
    late = find_register_neurons(vit, images, threshold=1.0, detect_block=1, top_block=3)
    assert {block for block, *_ in late.ranking} == {0, 1, 2, 3}


def test_one_pass_and_two_passes_give_the_same(make_vit, images):
    vit = make_vit()
    one = find_register_neurons(vit, images)
    two = find_register_neurons(vit, images, memory_budget=0)
    assert one.ranking == two.ranking
    assert one.num_outliers == two.num_outliers == 6


def test_an_iterator_works_with_a_threshold_only(make_vit, images):
    vit = make_vit()
    listed = find_register_neurons(vit, images, threshold=20.0)
    assert find_register_neurons(vit, iter(images), threshold=20.0).ranking == listed.ranking
    with pytest.raises(ValueError, match="'mean_std' needs a pass of its own"):
        find_register_neurons(vit, iter(images), threshold="mean_std")


def test_the_model_is_left_as_it_came(make_vit, images):
    vit = make_vit()
    hooks = sum(len(m._forward_pre_hooks) for m in vit.modules())

    def broken():
        yield images[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_register_neurons(vit, broken(), threshold=1.0)
    assert sum(len(m._forward_pre_hooks) for m in vit.modules()) == hooks


def test_no_outliers_is_said(make_vit, images):
    ordinary = torch.randn(7, 3, 64, 48)
    with pytest.raises(NoOutliersError, match=r"single mode.*no outliers there"):
        find_register_neurons(make_vit(), ordinary)
    with pytest.raises(NoOutliersError, match=r"none of 7 images has a token with a norm above 1e"):
        find_register_neurons(make_vit(), images, threshold=1e6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detect_block": 4}, r"detect_block=4: the model has blocks 0\.\.3"),
        ({"top_block": 9}, r"top_block=9: the model has blocks 0\.\.3"),
        ({"bottom_block": 3, "top_block": 1}, "no block from bottom_block=3 to top_block=1"),
        ({"top_k": 0}, "expected at least 1 neuron"),
        ({"threshold": "otsu"}, "unknown threshold rule 'otsu'.*gap, mean_std, median_mad"),
    ],
)
def test_bad_options_are_explained(make_vit, images, options, message):
    with pytest.raises(ValueError, match=message):
        find_register_neurons(make_vit(), images, **options)


def test_a_model_with_registers_is_refused(make_vit, images):
    vit = add_test_time_registers(make_vit(), {1: [3]})
    with pytest.raises(ValueError, match="remove them before the search"):
        find_register_neurons(vit, images)


def test_the_real_vit_names_its_register_neurons(shared, tiny_weights):
    vit = timm.create_model("vit_tiny_patch16_224", checkpoint_path=str(tiny_weights)).eval()
    photos = sorted((shared / "data" / "photos").iterdir())
    found = find_register_neurons(vit, photos[:8])
    assert [row[:2] for row in found.ranking[:4]] == [(7, 417), (6, 189), (6, 59), (5, 485)]
    assert found.ranking[0][2] > 10 * found.ranking[1][2]
    assert 60 < found.threshold < 150
    assert found.model == "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    with pytest.raises(NoOutliersError):
        find_register_neurons(vit, photos[:4], detect_block=3)


def test_sparsity__counts_more_tokens_than_a_byte_holds():
    hidden = torch.zeros(2, 600, 3)
    hidden[0, :300, 0] = hidden[0, :301, 1] = 1  # on in half of the tokens, and in one more
    mask = torch.zeros(2, 600, dtype=torch.bool)
    mask[0, 7] = True
    scores = score_units(hidden, Outliers(mask), sparsity=True)
    assert scores.tolist() == [1, 0, 0]
    assert score_units(hidden, Outliers(mask), sparsity=False).tolist() == [1, 1, 0]
