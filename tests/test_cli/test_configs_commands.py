"""`ttrb configs` and `ttrb config`: what there is, and all that a name stands for."""

import re

from mmengine.config import Config

from ttr_backbones.cli import main
from ttr_backbones.recipes import axis_files, recipe


def test_configs__lists_the_axes_and_what_they_are(capsys):
    assert main(["configs"]) == 0
    out = capsys.readouterr().out
    for axis in ("backbones", "repairs", "protocols"):
        assert f"{axis}:\n" in out
        assert all(f"\n  {name} " in out for name in axis_files(axis))
    assert re.search(r"\n  ttr +One test-time register\n", out)


def test_configs__with_a_pattern_lists_recipes(capsys):
    assert main(["configs", "clip_vitb16*_lost_voc1*"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        f"clip_vitb16{repair}_lost_voc12"
        for repair in ("", *(f"_{name}" for name in axis_files("repairs")))
    ]
    assert next(line for line in lines if line.startswith("clip_vitb16_ttr_")).endswith(
        "  OpenAI CLIP ViT-B/16; One test-time register; Object discovery with LOST, VOC 2012 "
        "trainval, CorLoc"
    )
    assert main(["configs", "planted_ttr_linear_s"]) == 0
    assert capsys.readouterr().out.startswith("planted_ttr_linear_scenes  The small random ViT")
    assert main(["configs", "nothing"]) == 2
    assert "no recipe's name matches 'nothing'" in capsys.readouterr().err


def test_config__prints_and_writes_the_whole_config(tmp_path, capsys):
    command = ["config", "lost_voc07", "--backbone", "dino_vits16", "--repair", "ttr"]
    assert main([*command, "--data-root", "/voc", "--cfg-options", "model.method.k=7"]) == 0
    (tmp_path / "printed.py").write_text(capsys.readouterr().out)
    printed = Config.fromfile(tmp_path / "printed.py")
    assert printed.test_dataloader.dataset.data_root == "/voc"
    assert printed.model.method.k == 7
    assert main([*command, "--out", str(tmp_path / "out.py")]) == 0
    written = Config.fromfile(tmp_path / "out.py")
    assert written.to_dict() == recipe("dino_vits16_ttr_lost_voc07").to_dict()
