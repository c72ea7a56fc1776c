"""The repair of the README, one module and one file, goes everywhere that repairs go."""

import csv
import json
import re
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import ttr_backbones
from ttr_backbones.backbones import TimmViT, create_vit
from ttr_backbones.backbones.description import description
from ttr_backbones.bench.contestants import BARE, PLAIN, make_contestants
from ttr_backbones.cli import main, sweep
from ttr_backbones.compare.fingerprint import fingerprint
from ttr_backbones.errors import InputError
from ttr_backbones.export import load_exportable
from ttr_backbones.export.metadata import about
from ttr_backbones.export.packages import missing_packages_reason
from ttr_backbones.recipes import named_config, recipe
from ttr_backbones.registers import RegisterNeurons
from ttr_backbones.repairs import REPAIRS, apply_repair, fit_repair, load_repair, remove_repair

README = Path(ttr_backbones.__file__).parent / "README.md"
(MODULE,) = re.findall(
    r"```python\n(\"{3}Patches of one block.*?)```", README.read_text(encoding="utf-8"), re.DOTALL
)
FILE = """
repair = dict(type="clamp", artifact={artifact!r})
custom_imports = dict(imports=["clamp_repair"])
"""
SMALL = {"img_size": 64, "depth": 2, "embed_dim": 32, "num_heads": 2, "init_values": 1.0}
TWO = ["train_cfg.max_iters=2", "train_cfg.val_interval=2", "default_hooks.checkpoint.interval=2"]


@pytest.fixture
def clamp(tmp_path, monkeypatch, config):
    """The artifact's path, the repair's file, a config with weights, the ViT and its images."""
    (tmp_path / "clamp_repair.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    torch.manual_seed(0)
    vit = create_vit("vit_tiny_patch16_224", model_kwargs=SMALL)
    save_file(vit.state_dict(), tmp_path / "vit.safetensors")
    artifact = tmp_path / "clamp.safetensors"
    (tmp_path / "clamp.py").write_text(FILE.format(artifact=str(artifact)))
    own = tmp_path / "own.py"
    backbone = {"checkpoint": str(tmp_path / "vit.safetensors")}
    backbone["repair"] = {"type": "clamp", "artifact": str(artifact)}
    imports = [*named_config(config).custom_imports.imports, "clamp_repair"]
    own.write_text(
        f"_base_ = {str(config)!r}\nmodel = dict(backbone={backbone!r})\n"
        f"custom_imports = dict(imports={imports!r})\n"
    )
    yield artifact, tmp_path / "clamp.py", own, vit, torch.randn(2, 3, 64, 64)
    REPAIRS.pop("clamp", None)
    sys.modules.pop("clamp_repair", None)


def plain_config(folder, own):
    """The config without its repair's module, which the file of the repair imports."""
    plain = folder / "plain.py"
    text = own.read_text()
    plain.write_text(text.replace(", 'clamp_repair'", ""))
    assert plain.read_text() != text
    return plain


@pytest.mark.slow
def test_a_repair_of_ones_own__is_known_everywhere(clamp, data_root, tmp_path, capsys):
    path, file, own, vit, images = clamp
    expected = {"type": "clamp", "artifact": str(path)}
    with pytest.raises(InputError, match="unknown type of repair 'clamp'"):
        fit_repair("clamp", vit, images)

    # Recipes know its file, before anything of it is imported.
    made = recipe("linear_ade20k", repair=str(file))
    assert (made.model.backbone.repair, made.filename) == (
        expected,
        "augreg_vitt16_clamp_linear_ade20k.py",
    )
    assert made.custom_imports.imports[-1] == "clamp_repair"
    assert named_config(own, repair=str(file)).model.backbone.repair == expected

    # Fit, save, load, apply, remove.
    import clamp_repair  # noqa: F401 -- as custom_imports does

    artifact = fit_repair("clamp", vit, images)
    artifact.save(path)
    with torch.no_grad():
        before = vit(images)
        repaired = apply_repair(vit, load_repair(path))(images)
        with pytest.raises(InputError, match="already repaired: call remove_repair"):
            fit_repair("test_time", vit, images, neurons={1: [2]})
        assert torch.equal(remove_repair(vit)(images), before)
    assert not torch.allclose(repaired, before)

    # The command that fits it: its options, the table, and what judges it beside another repair.
    photos = str(data_root / "images" / "validation")
    fitted = ["repair", str(file), str(plain_config(tmp_path, own)), "--images", photos]
    fitted += ["--size", "64", "--out", str(tmp_path / "fitted.safetensors")]
    assert main([*fitted, "--factr", "0.4"]) == 2
    assert "unknown option '--factr'. Did you mean '--factor'" in capsys.readouterr().err
    assert main([*fitted, "--factor", "x"]) == 2
    assert "--factor x: expected a number" in capsys.readouterr().err
    assert main([*fitted, "--block", "1", "--factor", "0.25"]) == 0
    assert load_repair(tmp_path / "fitted.safetensors").facts["block"] == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "clamped norms" in told
    assert "No token is added, weights stay" in told

    # TimmViT, and what the feature cache's key is made of.
    options = {"checkpoint": tmp_path / "vit.safetensors", "model_kwargs": SMALL}
    backbone = TimmViT("vit_tiny_patch16_224", **options, repair=expected)
    key = description(backbone)
    assert key["repair"] == {"type": "clamp", **artifact.facts}
    other = TimmViT("vit_tiny_patch16_224", **options, repair=expected | {"limit": 1.0})
    assert description(other)["repair"] == {"type": "clamp", "block": 0, "limit": 1.0}
    plain = TimmViT("vit_tiny_patch16_224", **options)
    assert not torch.equal(backbone(images)[0], plain(images)[0])

    # Fingerprints: what it does counts, wherever its file lies.
    cfg = named_config(own)
    prints = {fingerprint(cfg)}
    artifact.save(tmp_path / "copy.safetensors")
    cfg.model.backbone.repair.artifact = str(tmp_path / "copy.safetensors")
    prints.add(fingerprint(cfg))
    assert len(prints) == 1
    cfg.model.backbone.repair.limit = 1.0
    assert fingerprint(cfg) not in prints

    # Train and test by compare, beside the model as it is.
    out = tmp_path / "compare"
    run = ["compare", str(own), "--out", str(out), "--seeds", "0", "--cfg-options", *TWO]
    assert main(run) == 0
    captured = capsys.readouterr()
    assert "clamped norms" in captured.out
    with (out / "cells.csv").open() as opened:
        cells = list(csv.DictReader(opened))
    assert [cell["repair"] for cell in cells] == ["none", "clamp"]
    assert not any(cell["failed"] for cell in cells)
    (checkpoint,) = (out / "runs" / "own" / "clamp").rglob("iter_2.pth")

    # Features, show and predict.
    made = ["--images", photos, "--out", str(tmp_path / "features" / "index.json")]
    assert main(["features", str(own), *made, "--size", "64"]) == 0
    settings = json.loads((tmp_path / "features" / "index.json").read_text())["settings"]
    assert settings["repair"] == key["repair"]
    shown = ["--images", photos, "--out", str(tmp_path / "show"), "--num-images", "1"]
    assert main(["show", str(own), *shown]) == 0
    assert "with clamped norms" in capsys.readouterr().out
    numbers = json.loads((tmp_path / "show" / "numbers.json").read_text())["registers"]
    assert list(numbers) == ["none", "clamp"]
    assert numbers["clamp"]["largest_norm"][0] <= artifact.facts["limit"] * 1.001
    predicted = ["predict", str(own), str(checkpoint), photos, "--out", str(tmp_path / "masks")]
    assert main([*predicted, "--data-only"]) == 0

    # Export, bench and sweep.
    exportable = load_exportable(str(own), checkpoint)
    assert json.loads(about(exportable, None, None)["repair"]) == key["repair"]
    if missing_packages_reason(".pt2") is None:  # an old torch
        assert main(["export", str(own), str(checkpoint), "--out", str(tmp_path / "own.pt2")]) == 0
    contestants = make_contestants(plain, RegisterNeurons("", {1: [2]}), images)
    assert list(contestants)[:2] == [PLAIN, BARE]
    assert "ours, clamped norms" in contestants
    swept = sweep._repairs("none,clamp", cfg.model.backbone)
    assert swept == [None, cfg.model.backbone.repair]
