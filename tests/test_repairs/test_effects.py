"""What repairs do, side by side: by hand on a planted model, and its parts on made-up numbers."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch.nn import functional as F

from ttr_backbones.backbones import create_vit
from ttr_backbones.errors import InputError
from ttr_backbones.images.finite import NonFiniteError
from ttr_backbones.neuron_search.references import shifted
from ttr_backbones.registers import RegisterNeurons
from ttr_backbones.repairs import REPAIRS, apply_repair, fit_repair
from ttr_backbones.repairs.effects import measure_effects
from ttr_backbones.repairs.fit_facts import FitFacts, fit_facts
from ttr_backbones.repairs.judgement import judge
from ttr_backbones.repairs.nearest_images import neighbour_agreement
from ttr_backbones.repairs.outlier_direction import direction_of_sums, outlier_direction

LAYERS = {1: [7, 30]}


@pytest.fixture
def truth(planted):
    """Two units of block 1 fire on the bright patches."""
    return planted(places=[(1, 7), (1, 30)])


@pytest.fixture
def artifacts(truth):
    listed = RegisterNeurons("", LAYERS)
    fitted = {
        kind: fit_repair(kind, truth.vit, truth.images, neurons=listed)
        for kind in ("test_time", "bias")
    }
    random = RegisterNeurons("", {1: [8, 31]})
    return {**fitted, "random": fit_repair("test_time", truth.vit, truth.images, neurons=random)}


@torch.no_grad()
def test_numbers_by_hand(truth, artifacts):
    vit, images = truth.vit, truth.images
    seen = measure_effects(vit, artifacts, images, batch_size=4)
    assert type(vit) is VisionTransformer
    assert (seen.num_images, seen.size, seen.no_outliers) == (10, (96, 96), "")
    assert list(seen.columns) == ["none", "test_time", "bias", "random", "shifted"]
    models = {"none": vit, "shifted": vit}
    models |= {name: apply_repair(copy.deepcopy(vit), each) for name, each in artifacts.items()}
    final = vit.forward_features(images)[:, 1:]
    centre = final[~truth.bright].mean(dim=0)
    direction = final[truth.bright].mean(dim=0) - centre
    for name, effect in seen.columns.items():
        given = shifted(images) if name == "shifted" else images
        tokens = models[name].forward_intermediates(
            given, [seen.detect_block], output_fmt="NLC", intermediates_only=True
        )[0]
        norms = tokens.norm(dim=2)
        assert effect.outliers == pytest.approx((norms > seen.threshold).float().mean().item())
        assert effect.largest == pytest.approx(norms.max().item())
        features = models[name].forward_features(given)[:, 1:]
        along = F.cosine_similarity(features - centre, direction, dim=2) > 0.7
        assert effect.along == pytest.approx(along.float().mean().item())
        cosines = F.cosine_similarity(features, final, dim=2)
        assert effect.cosine == pytest.approx(cosines[~truth.bright].mean().item(), rel=1e-5)
        changed = models[name](given).argmax(dim=1) != vit(images).argmax(dim=1)
        assert effect.top1_agreement == pytest.approx(1 - changed.float().mean().item())
        assert torch.equal(effect.image_costs[:, 1], changed.double())
        assert effect.image_costs[3, 0] == pytest.approx(
            1 - cosines[3][~truth.bright[3]].mean().item(), abs=1e-5
        )
        assert (effect.run_time is None) == (name == "shifted")
    share = truth.bright.float().mean().item()
    before, token, bias = (seen.columns[name] for name in ("none", "test_time", "bias"))
    assert before.outliers == pytest.approx(share)
    assert (token.outliers, bias.outliers) == (0, 0)
    assert (token.tokens_added, bias.tokens_added) == (1, 0)
    assert (before.cosine, before.top1_agreement, before.neighbours, before.run_time) == (
        pytest.approx(1),
        1,
        1,
        1,
    )


def test_judgement__random_neurons_leave_the_outliers(truth, artifacts):
    seen = measure_effects(truth.vit, artifacts, truth.images, rounds=1)
    verdict = judge(seen, "random", "test_time")
    assert verdict.removes is False
    assert not verdict.passed
    assert verdict.words.startswith("Outliers are left: by their norm (above ")
    good = judge(seen, "bias", "bias")
    assert good.removes
    share = f"{100 * truth.bright.float().mean().item():.3g} %"
    for words in (f"from {share} to 0 % of the patches", "top-1 class (", "No token is added"):
        assert words in good.words
    assert "weights change" in good.words
    # The mean excess over the shift and its standard error, by hand.
    over = seen.columns["bias"].image_costs[:, 0] - seen.columns["shifted"].image_costs[:, 0]
    assert good.excess["cosine"].mean == pytest.approx(over.mean().item())
    assert good.excess["cosine"].error == pytest.approx(over.std().item() / 10**0.5)


def test_a_model_without_outliers_or_classes_is_measured_too(make_vit):
    vit, images = make_vit(num_classes=0), torch.randn(8, 3, 64, 64)
    artifact = fit_repair("test_time", vit, images, neurons=RegisterNeurons("", {1: [7]}))
    seen = measure_effects(vit, {"test_time": artifact}, images)
    effect = seen.columns["test_time"]
    assert (seen.threshold, effect.outliers, effect.along, effect.top1_agreement) == (None,) * 4
    assert "has no outliers" in seen.no_outliers
    assert 0 < effect.neighbours <= 1
    verdict = judge(seen, "test_time", "test_time")
    assert verdict.removes is None
    assert "has no outliers, so there is nothing to remove" in verdict.words
    assert measure_effects(vit, {}, images[:2]).columns["none"].neighbours is None, "too few"
    with pytest.raises(InputError, match="has to go over the images again"):
        measure_effects(vit, {}, iter(images))


def test_what_cannot_be_measured__is_told_and_left_out(truth, artifacts):
    """One repair cannot be applied, another one overflows: the rest is what it is without them."""
    good, listed = {"bias": artifacts["bias"]}, artifacts["test_time"]
    other = dataclasses.replace(listed, provenance={"weights_sha256": "0" * 64})
    huge = dataclasses.replace(listed, facts={**listed.facts, "scale": 1e38})
    given = {"other": other, **good, "huge": huge}
    with pytest.raises(InputError, match="made from other weights"):
        measure_effects(truth.vit, given, truth.images, rounds=0)
    failures = {}
    seen = measure_effects(truth.vit, given, truth.images, rounds=0, failures=failures)
    assert list(failures) == ["other", "huge"]
    assert "made from other weights" in str(failures["other"])
    assert isinstance(failures["huge"], NonFiniteError)
    alone = measure_effects(truth.vit, good, truth.images, rounds=0)
    assert list(seen.columns) == list(alone.columns)
    assert seen.columns["bias"].image_costs.equal(alone.columns["bias"].image_costs)


def test_direction__by_hand():
    features = torch.tensor([[[1.0, 1.0], [3.0, 1.0], [2.0, 9.0], [2.0, 0.0]]])
    outliers = torch.tensor([[False, False, True, False]])
    sums = outlier_direction([(features, outliers), (features + 0.0, outliers)])
    assert sums.tolist() == [[12.0, 4.0, 6.0], [4.0, 18.0, 2.0]]
    found = direction_of_sums(sums)
    assert found.centre.tolist() == pytest.approx([2.0, 2 / 3])
    assert found.direction.tolist() == pytest.approx([0.0, 1.0])
    # 0.7 is the cosine of 45.6 degrees: up by 1 and aside by 1 is at 45, by 1.1 at 47.7 degrees.
    nearby = found.centre + torch.tensor([[1.0, 1.0], [1.1, 1.0], [0.0, -1.0], [0.0, 0.1]])
    assert found.is_outlier_direction(nearby).tolist() == [True, False, False, True]
    assert direction_of_sums(outlier_direction([(features, outliers & False)])) is None


def test_neighbour_agreement__by_hand():
    angles = torch.tensor([0.0, 10.0, 25.0, 45.0]) * torch.pi / 180
    circle = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert neighbour_agreement(circle, 3 * circle, k=1) == 1
    moved = circle[[0, 1, 3, 2]]
    # Nearest before: 1, 0, 1, 2. After, images 2 and 3 change places: 1, 0, 3, 1; half of them.
    assert neighbour_agreement(circle, moved, k=1) == pytest.approx(0.5)
    assert neighbour_agreement(circle, moved, k=3) is None


def test_fit_facts__of_a_fit_and_of_a_list(make_vit):
    images = torch.randn(3, 3, 64, 64)
    artifact = fit_repair("bias", make_vit(), images, neurons=RegisterNeurons("", {1: [7]}))
    facts = fit_facts(artifact)
    assert (facts.parameters, facts.images, facts.steps, facts.loss) == (0, 3, 0, ())
    assert facts.minutes == pytest.approx(artifact.provenance["fit"]["seconds"] / 60)
    listed = REPAIRS["test_time"].shipped("vit_tiny_patch16_224.augreg_in21k_ft_in1k")
    assert fit_facts(listed) == FitFacts(0, listed.provenance["neurons"]["num_images"], 0, None)


def test_constants_that_ship_for_the_real_vit__stay_near_the_tokens(shared, tiny_weights):
    """At a size and on images that they were not measured on (the tokens: cosine 0.96)."""
    name = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    vit = create_vit(name, checkpoint=tiny_weights, model_kwargs={"num_classes": 1000})
    files = sorted((shared / "data" / "coco" / "val2017").iterdir())[:4]
    kinds = {kind: REPAIRS[kind].shipped(name) for kind in ("test_time", "bias")}
    columns = measure_effects(vit, kinds, files, rounds=0).columns
    assert columns["none"].outliers > 0.01
    assert columns["none"].along == pytest.approx(columns["none"].outliers, rel=0.1)
    for kind in kinds:
        assert (columns[kind].outliers, columns[kind].along) == (0, 0)
        assert columns[kind].largest < 50 < 500 < columns["none"].largest
    assert columns["bias"].cosine == pytest.approx(columns["test_time"].cosine, abs=0.005)
