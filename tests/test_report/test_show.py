"""A report of the real ViT: every file, what the pictures are of, and which kinds there are."""

from __future__ import annotations

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from ttr_backbones.backbones import create_vit
from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import image_batches
from ttr_backbones.registers import RegisterNeurons, bake_registers, has_test_time_registers
from ttr_backbones.repairs.from_config import repair_options
from ttr_backbones.report.show import as_shown, inspect_columns, strongest_neurons, write_report
from ttr_backbones.report.summary import summarize
from ttr_backbones.vits.family import family_of

TINY = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
NEURONS = RegisterNeurons(TINY, {5: [485], 6: [59, 189], 7: [417]})


@pytest.fixture(scope="module")
def report(shared, tiny_weights, tmp_path_factory):
    """Two photographs, two blocks; folder, inspections, summary, the paths that were told."""
    vit = create_vit(TINY, checkpoint=tiny_weights)
    images = torch.cat(list(image_batches(shared / "data" / "photos", vit, num_images=2)))
    inspections = inspect_columns(vit, images, neurons=NEURONS, attention_blocks=(7, -1))
    assert not has_test_time_registers(vit), "left as it was"
    names = [f"{i}.jpg" for i in range(2)]
    summary = summarize(inspections, model=TINY, size=(224, 224), images=names, neurons=NEURONS)
    shown = as_shown(images, family_of(vit).facts(vit))
    out, told, steps = tmp_path_factory.mktemp("show"), [], []
    write_report(
        out / "new", inspections, shown, summary, foreground=True, on_written=told.append,
        progress=lambda *step: steps.append(step),
    )  # fmt: skip
    assert steps == [(0, None), *((written, len(told)) for written in range(1, len(told)))]
    return out / "new", inspections, summary, told


def test_every_file_is_written_and_told(report):
    out, _, _, told = report
    assert {path.name for path in told} == {
        "numbers.json",
        "overview.png",
        "attention_block7.png",
        "heads_block7.png",
        "attention_block11.png",
        "heads_block11.png",
        "norms.png",
        "blocks.png",
        "histograms.png",
        "positions.png",
        "pca.png",
        "neurons.png",
        "report.html",
    }
    assert {path.name for path in out.iterdir()} == {path.name for path in told}


def test_pictures_are_large_and_not_blank(report):
    for path in report[0].glob("*.png"):
        picture = cv2.imread(str(path))
        assert min(picture.shape[:2]) > 600, path.name
        colours = picture[::3, ::3].astype(int) @ [1, 256, 256**2]
        assert len(np.unique(colours)) > 50, path.name


def test_numbers_are_of_all_images(report):
    out, _, summary, _ = report
    numbers = json.loads((out / "numbers.json").read_text())
    assert numbers == {**summary, "pca": numbers["pca"]}
    assert len(numbers["images"]) == 2
    assert len(numbers["registers"]["none"]["outliers_per_image"]) == 2
    assert numbers["registers"]["none"]["outlier_fraction"] > 0.01
    assert numbers["registers"]["test_time"]["outlier_fraction"] == 0
    assert numbers["pca"]["foreground"] is True
    assert 0 < sum(numbers["pca"]["explained"]) < 1


def test_neurons_that_are_drawn_fire_most_at_outliers(report):
    summary = report[2]
    assert strongest_neurons(summary)[0] == (7, 417)
    assert len(strongest_neurons(summary)) == 3
    fires = summary["registers"]["none"]["activations"]["7:417"]
    assert fires["at_outliers"] > 100 > 1 > fires["elsewhere"]


def test_kinds__as_it_is_first_and_each_once(make_vit):
    images, neurons = torch.zeros(1, 3, 64, 64), RegisterNeurons("", {1: [3]})

    def kinds(vit, *asked):
        return [one.registers for one in inspect_columns(vit, images, asked, neurons=neurons)]

    assert kinds(make_vit(), "test_time", "none") == ["none", "test_time"]
    assert kinds(make_vit(), "test_time") == ["test_time"]
    trained = make_vit(reg_tokens=4)
    assert kinds(trained, "none", "trained") == ["trained"]
    assert kinds(trained, "trained", "test_time") == ["trained", "trained+test_time"]


def test_kinds__constants_in_place_of_tokens(make_vit):
    vit, images = make_vit(), torch.randn(1, 3, 64, 64)
    baked = bake_registers(vit, {1: [3]}, images)
    choice = repair_options("", {"type": "bias", "artifact": baked.artifact})
    plain, bias = inspect_columns(vit, images, ["none", "bias"], choices=[choice])
    assert (bias.registers, bias.register_norms) == ("bias", None), "no token"
    assert bias.activations.keys() == {(1, 3)}
    (token,) = inspect_columns(vit, images, ["test_time"], neurons=baked.neurons)
    torch.testing.assert_close(bias.features, token.features, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(bias.attention[3], token.attention[3], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(bias.features, plain.features, atol=1e-3)
    assert not has_test_time_registers(vit)


def test_kinds__that_cannot_be_are_explained(make_vit):
    vit, images = make_vit(), torch.zeros(1, 3, 64, 64)
    with pytest.raises(InputError, match=r"unknown kind of registers 'test-time'.*'test_time'"):
        inspect_columns(vit, images, ["test-time"])
    with pytest.raises(InputError, match="not trained with registers"):
        inspect_columns(vit, images, ["trained"])
    with pytest.raises(InputError, match=r"needs an artifact.*a list of register neurons"):
        inspect_columns(vit, images, ["test_time"])
    with pytest.raises(InputError, match="at least one kind"):
        inspect_columns(vit, images, [])


def test_images_are_shown_as_they_were():
    pixels = torch.randint(0, 256, (2, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    facts = SimpleNamespace(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (facts.mean, facts.std))
    shown = as_shown((pixels / 255 - mean) / std, facts)
    assert (shown == pixels.permute(0, 2, 3, 1).numpy()).all()
