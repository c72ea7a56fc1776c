"""NaN and infinite features: an error with the place, in everything that looks at norms."""

from __future__ import annotations

import pytest
import torch

from ttr_backbones.images.finite import NonFiniteError, check_finite, naming_images
from ttr_backbones.neuron_search.onset import find_onset
from ttr_backbones.neuron_search.thresholds import RULES, NormHistogram
from ttr_backbones.neuron_search.verification import verify_neurons
from ttr_backbones.registers import (
    RegisterNeurons,
    bake_registers,
    find_register_neurons,
    outlier_mask,
    tune_register_neurons,
)
from ttr_backbones.repairs.effects import measure_effects
from ttr_backbones.report.inspection import inspect_model
from ttr_backbones.report.summary import summarize

LIST = RegisterNeurons("", {1: [7]})


def test_check_finite__names_what_how_many_and_which_image():
    good, bad = torch.ones(4, 3), torch.ones(4, 3)
    check_finite({"norms": good, "registers": torch.ones(4, 0)})
    bad[2, 1], bad[3, 0] = torch.nan, torch.inf
    with pytest.raises(NonFiniteError, match=r"2 of 12 .*: norms, first in image 2 of the batch"):
        check_finite({"others": good, "norms": bad})
    with pytest.raises(NonFiniteError, match="first in image 10"), naming_images([], 8):
        check_finite({"norms": bad})


@pytest.fixture(params=["nan_weight", "overflow", "float16"])
def broken(request, planted):
    """A model that breaks in block 2, on every image or on its ninth only."""
    truth = planted(places=[(1, 7)])
    with torch.no_grad():
        if request.param == "nan_weight":
            truth.vit.blocks[2].mlp.fc2.bias[3] = torch.nan
        if request.param == "overflow":
            truth.vit.blocks[2].mlp.fc2.bias[3] = 3e38
            truth.vit.blocks[3].mlp.fc2.bias[3] = 3e38
        if request.param == "float16":
            truth.vit.blocks[2].mlp.fc2.bias[3] = 65000
            truth.vit.blocks[3].mlp.fc2.bias[3] = 65000
            truth.vit.half()
    return truth


def test_every_look_at_norms_is_an_error(broken):
    vit, images = broken.vit, broken.images
    looks = {
        "onset": lambda: find_onset(vit, images.to(vit.pos_embed).split(4)),
        "search": lambda: find_register_neurons(vit, images, threshold=60.0),
        "two passes": lambda: find_register_neurons(vit, images, threshold=60.0, memory_budget=1),
        "a rule": lambda: find_register_neurons(vit, images, threshold="mean_std"),
        "tune": lambda: tune_register_neurons(vit, images),
        "verify": lambda: verify_neurons(vit, LIST, images),
        "given": lambda: verify_neurons(vit, LIST, images, threshold=60.0, detect_block=1),
        "bake": lambda: bake_registers(vit, LIST, images),
        "report": lambda: summarize(
            [inspect_model(vit, images[:2].to(vit.pos_embed))],
            model="mine",
            size=(96, 96),
            images=["a.jpg", "b.jpg"],
        ),
    }
    for name, look in looks.items():
        with pytest.raises(NonFiniteError, match=r"are NaN or infinite.*first in") as error:
            look()
        first = "a.jpg" if name == "report" else "image 0"
        assert f"first in {first}" in str(error.value), name


def test_the_image_is_named_by_its_place_in_all(planted):
    truth = planted(places=[(1, 7)])
    vit, images = truth.vit, truth.images
    baked = bake_registers(vit, LIST, images)
    hit, mark = [], images[8, :, 0, 0]

    def watching(module, args):
        hit[:] = [torch.isclose(args[0][:, :, 0, 0], mark).all(dim=1)]

    def breaking(module, args, out):
        return out.masked_fill(hit[0][:, None, None], torch.inf)

    vit.patch_embed.register_forward_pre_hook(watching)
    vit.blocks[3].register_forward_hook(breaking)
    for look in (
        lambda: find_onset(vit, images.split(4)),
        lambda: find_register_neurons(vit, images, threshold=60.0, batch_size=4),
        lambda: verify_neurons(vit, LIST, images, batch_size=4),
        lambda: bake_registers(vit, LIST, images, batch_size=4),
        lambda: measure_effects(vit, {"bias": baked.artifact}, images, batch_size=4),
    ):
        with pytest.raises(NonFiniteError, match=r"block 3|final features") as error:
            look()
        assert "first in image 8" in str(error.value)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_norms_that_are_not_finite_have_no_threshold(value):
    norms = torch.rand(50) + 1
    norms[7] = value
    histogram = NormHistogram()
    histogram.add(norms)
    for rule in RULES.values():
        with pytest.raises(NonFiniteError, match="of 50 values"):
            rule(histogram)
    with pytest.raises(NonFiniteError, match="1 of 50"):
        outlier_mask(norms[None])


def test_huge_finite_norms_are_outliers():
    histogram = NormHistogram()
    histogram.add(torch.tensor([1.0] * 98 + [1e30] * 2))
    assert 1 < RULES["gap"](histogram) < 1e30


def test_a_threshold_is_a_finite_norm(planted):
    truth = planted(places=[(1, 7)])
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected a finite norm"):
            find_register_neurons(truth.vit, truth.images, threshold=value)
        with pytest.raises(ValueError, match="expected a finite norm"):
            verify_neurons(truth.vit, LIST, truth.images, threshold=value, detect_block=1)
