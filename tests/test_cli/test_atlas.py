"""`ttrb atlas`: a model with planted neurons, one without, and one that cannot be read."""

from __future__ import annotations

import csv
import json
import re

import pytest
import torch
from PIL import Image
from planted_vits import plant_unit
from safetensors.torch import save_file

from ttr_backbones.atlas.entry import examine
from ttr_backbones.atlas.folder import AtlasFolder
from ttr_backbones.cli import main
from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import image_batches
from ttr_backbones.registers import RegisterNeurons
from ttr_backbones.vits.create import create_vit

MODEL, SIDE = "vit_tiny_patch16_224", 96
SMALL = {"img_size": SIDE, "embed_dim": 32, "depth": 4, "num_heads": 2, "init_values": 1.0}


def folder(path, vit):
    """A folder as `local-dir:` takes it."""
    path.mkdir()
    save_file(vit.state_dict(), path / "model.safetensors")
    cfg = {"input_size": [3, SIDE, SIDE], "mean": [0.5] * 3, "std": [0.5] * 3}
    told = {"architecture": MODEL, "model_args": SMALL, "num_classes": 0, "pretrained_cfg": cfg}
    (path / "config.json").write_text(json.dumps(told))
    return f"local-dir:{path}"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """{name: source}, and a folder of photographs with one bright patch each."""
    base = tmp_path_factory.mktemp("atlas")
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(110, 140, (16, SIDE, SIDE, 3), generator=generator, dtype=torch.uint8)
    bright = torch.zeros(16, 36, dtype=torch.bool)
    (base / "photos").mkdir()
    for index, image in enumerate(pixels):
        row, column = divmod(7 * index % 36, 6)
        image[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = 255
        bright[index, 7 * index % 36] = True
        Image.fromarray(image.numpy()).save(base / "photos" / f"{index:02}.png")
    torch.manual_seed(0)
    vit = create_vit(MODEL, model_kwargs=SMALL)
    sources = {"plain": folder(base / "plain", vit)}
    plant_unit(vit, 1, 9, pixels.permute(0, 3, 1, 2) / 127.5 - 1, bright)
    sources["planted"] = folder(base / "planted", vit)
    vit.norm.bias.data[0] = float("nan")
    sources["broken"] = folder(base / "broken", vit)
    return sources, base / "photos"


def atlas(models, out, *names):
    sources, photos = models
    return main(["atlas", *(sources[n] for n in names), "--images", str(photos), "--out", str(out)])


def test_atlas__one_table_of_what_came_out(models, tmp_path, capsys, monkeypatch):
    assert atlas(models, tmp_path, "planted", "broken", "plain") == 1
    shown = capsys.readouterr()
    assert "[2/3]" in shown.err
    assert "inf or NaN" in shown.err
    planted, broken, plain = AtlasFolder(tmp_path).entries.values()
    assert (planted.status, broken.status, plain.status) == ("passed", "error", "no set")
    assert planted.neurons == {"1": [9]}
    assert planted.outliers_before > 0 == planted.outliers_after
    assert (planted.source, planted.licence, planted.input_size) == ("planted", "unknown", SIDE)
    neurons = RegisterNeurons.load(tmp_path / planted.neuron_list)
    neurons.check(create_vit(models[0]["planted"], pretrained=True))
    assert neurons.layers == {1: [9]}
    assert neurons.provenance["verification"]["num_images"] == 4
    assert neurons.provenance["num_images"] == 12
    with (tmp_path / "atlas.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["neurons"] for row in rows] == ["1:9", "", ""]
    assert (tmp_path / "atlas.md").read_text().count("\n| ") == 4
    page = (tmp_path / "atlas.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert page.count("<tr class=") == 3
    # Another run does what is not done, and nothing else.
    monkeypatch.setattr("ttr_backbones.atlas.entry.examine", None)
    assert atlas(models, tmp_path, "planted", "plain") == 0
    assert capsys.readouterr().err.count("is done already") == 2
    assert atlas(models, tmp_path, "broken") == 1
    assert AtlasFolder(tmp_path).entries[models[0]["planted"]] == planted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vit_tiny_patch99*"], "no pretrained ViT of timm and no backbone matches"),
        (["vit_tinny_patch16_224"], "unknown model .* Did you mean 'vit_tiny_patch16_224"),
        ([], "expected the name of a model"),
        (["vit_tiny_patch16_224", "--num-images", "0"], "--num-images 0: expected a number above"),
        (["--checkpoint", "vit_tiny_patch16_224"], "expected NAME=FILE"),
        (["--checkpoint", "vit_tiny_patch16_224=none.pth"], "no such file none.pth"),
    ],
)
def test_atlas__wrong_input(models, tmp_path, arguments, message, capsys):
    assert main(["atlas", *arguments, "--images", str(models[1]), "--out", str(tmp_path)]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_atlas__no_outliers_are_a_finding(make_vit):
    vit = make_vit(depth=2)
    images = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    findings = examine(vit, image_batches(images, vit))
    assert (findings.status, findings.neurons, findings.seen) == ("no outliers", None, None)
    assert findings.verdict.startswith("No neurons to move: ")
    assert findings.picture.startswith(b"\x89PNG")


def test_atlas__a_table_of_something_else_is_refused(tmp_path):
    (tmp_path / "atlas.json").write_text('{"a": {"b": 1}}')
    with pytest.raises(InputError, match=r"atlas.json is no table of `ttrb atlas`"):
        AtlasFolder(tmp_path)
