"""Artifacts of SINDER and PH-Reg go where repairs go: train, resume, test, show, export."""

import json

import pytest
import torch
from mmengine.config import Config
from safetensors.torch import save_file

from ttr_backbones.backbones import create_vit
from ttr_backbones.cli import main
from ttr_backbones.export import load_exportable
from ttr_backbones.export.metadata import about
from ttr_backbones.repairs import REPAIRS, fit_repair

SMALL = {"img_size": 64, "depth": 2, "embed_dim": 32, "num_heads": 2, "init_values": 1.0}
FITS = {
    "sinder": {"direction": "block", "rule": "cosine", "threshold": 0.3, "minimum": 1, "lr": 5.0}
    | {"border": True, "steps": 1},
    "ph_reg": {"epochs": 1, "views": 2, "registers": 3, "lr": 1e-2, "final_lr": 1e-2},
}


@pytest.fixture(scope="module")
def configs(config, tmp_path_factory):
    """{"" or the type of a repair: config of a head on the same tiny ViT}, and its artifacts."""
    folder = tmp_path_factory.mktemp("repairs")
    torch.manual_seed(0)
    vit = create_vit("vit_tiny_patch16_224", model_kwargs=SMALL)
    save_file(vit.state_dict(), folder / "vit.safetensors")
    images, found = torch.randn(2, 3, 64, 64), {}
    for kind in ("", *FITS):
        backbone = {"checkpoint": str(folder / "vit.safetensors"), "pretrained": False}
        backbone |= {"model_kwargs": SMALL, "repair": None}
        if kind:
            artifact = folder / f"{kind}.safetensors"
            fit_repair(kind, vit, images, **FITS[kind]).save(artifact)
            backbone["repair"] = {"type": kind, "artifact": str(artifact)}
        found[kind] = folder / f"{kind or 'plain'}.py"
        text = f"_base_ = {str(config)!r}\nmodel = dict(backbone={backbone!r})\n"
        found[kind].write_text(text)
    return found


@pytest.fixture(scope="module")
def trained(configs, tmp_path_factory):
    """A head that was trained on SINDER's features for two iterations, resumed for a third."""
    work_dir = tmp_path_factory.mktemp("trained")
    run = ["train", str(configs["sinder"]), "--work-dir", str(work_dir)]
    for iterations, resume in ((2, []), (3, ["--resume"])):
        steps = [f"train_cfg.max_iters={iterations}", f"train_cfg.val_interval={iterations}"]
        steps.append("default_hooks.checkpoint.interval=1")
        assert main([*run, *resume, "--cfg-options", *steps]) == 0
    return work_dir


def test_train_and_resume__keep_the_repair_and_train_the_head_alone(configs, trained):
    checkpoint = torch.load(trained / "iter_3.pth", weights_only=True)
    assert all(name.startswith("decode_head.") for name in checkpoint["state_dict"])
    repair = Config.fromfile(configs["sinder"]).model.backbone.repair
    assert dict(Config.fromfile(trained / "sinder.py").model.backbone.repair) == dict(repair)
    log = "".join(file.read_text() for file in trained.rglob("*.log"))
    assert "resumed epoch: 0, iter: 2" in log


def test_test__scores_the_repaired_model(configs, trained, tmp_path, capsys):
    images, outputs = torch.rand(1, 3, 48, 64) * 255, {}
    for kind, file in configs.items():
        run = ["test", str(file), str(trained / "iter_3.pth"), "--work-dir", str(tmp_path / kind)]
        assert main(run) == 0
        assert "mIoU" in capsys.readouterr().out
        exportable = load_exportable(str(file), trained / "iter_3.pth")
        outputs[kind] = exportable.eager(images)["logits"]
        described = json.loads(about(exportable, None, None)["repair"])
        assert (described or {}).get("type", "") == kind, "a file that is exported says so"
    for kind in FITS:
        assert not torch.allclose(outputs[kind], outputs[""], atol=1e-4), kind


@pytest.mark.nightly
def test_show__both_beside_the_model_as_it_is(configs, data_root, tmp_path, capsys):
    files = [configs[kind].with_suffix(".safetensors") for kind in FITS]
    shown = ["--images", str(data_root / "images" / "validation"), "--out", str(tmp_path)]
    repairs = ["--repairs", ",".join(["none", *map(str, files)]), "--num-images", "1"]
    assert main(["show", str(configs[""]), *shown, *repairs]) == 0
    told = capsys.readouterr().out
    for kind, num in (("sinder", 0), ("ph_reg", 3)):
        assert f"with {REPAIRS[kind].caption(num)}" in told
    assert list(json.loads((tmp_path / "numbers.json").read_text())["registers"]) == [
        "none",
        *FITS,
    ]


@pytest.mark.exports
@pytest.mark.nightly
def test_export__registers_and_parameters_are_in_the_graph(configs, trained, tmp_path, capsys):
    """Compared with the model before the file gets its name; SINDER's weights are plain ones."""
    out = tmp_path / "ph_reg.pt2"
    run = ["export", str(configs["ph_reg"]), str(trained / "iter_3.pth"), "--out", str(out)]
    assert main(run) == 0
    assert out.is_file()
