"""The depth configs: all there, each builds, and each says what it reproduces."""

import ast
import copy
import math
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from ttr_backbones.errors import InputError
from ttr_backbones.packaged import configs_dir
from ttr_backbones.registers import RegisterNeurons, num_test_time_registers

FOLDER = configs_dir() / "depth"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
TTR = [name for name in NAMES if "_ttr_" in name]
# Width, depth and the four blocks of lin.4 and DPT, counted from 0.
ARCHITECTURES = {
    "vitt16": (192, 12, (2, 5, 8, 11)),
    "vits14": (384, 12, (2, 5, 8, 11)),
    "vitb14": (768, 12, (2, 5, 8, 11)),
    "vitb16": (768, 12, (2, 5, 8, 11)),
    "vitl14": (1024, 24, (4, 11, 17, 23)),
    "vitg14": (1536, 40, (9, 19, 29, 39)),
}
# RMSE of lin.1, lin.4 and DPT in Table 11 of the DINOv2 paper.
TABLE_11 = {
    ("vits14", "nyu"): ("0.449", "0.417", "0.356"),
    ("vitb14", "nyu"): ("0.399", "0.362", "0.317"),
    ("vitl14", "nyu"): ("0.384", "0.333", "0.293"),
    ("vitg14", "nyu"): ("0.344", "0.298", "0.279"),
    ("vits14", "kitti"): ("3.10", "2.86", "2.34"),
    ("vitb14", "kitti"): ("2.90", "2.59", "2.23"),
    ("vitl14", "kitti"): ("2.78", "2.50", "2.14"),
    ("vitg14", "kitti"): ("2.62", "2.35", "2.11"),
}
HEADS = ("lin1", "lin4", "dpt")


def load(name):
    return Config.fromfile(FOLDER / f"{name}.py", format_python_code=False)


def architecture(name):
    return ARCHITECTURES[name.split("_")[1]]


@pytest.fixture(scope="module", autouse=True)
def registries():
    import ttr_backbones.backbones
    import ttr_backbones.heads
    import ttr_backbones.segmentors  # noqa: F401

    init_default_scope("mmseg")


def test_every_promised_combination_is_there():
    linear = ["lin1_nyu_dinov2", "lin4_nyu_dinov2", "lin1_nyu_dvt"]
    dinov2 = [*linear, "dpt_nyu_dinov2"]
    kitti = ["lin1_kitti_dinov2", "lin4_kitti_dinov2", "dpt_kitti_dinov2"]
    expected = ["augreg_vitt16_lin1_nyu_200it", "augreg_vitt16_ttr_lin1_nyu_200it"]
    for kind in ("", "_ttr"):
        expected += [f"augreg_vitt16{kind}_{rest}" for rest in linear]
        expected += [f"openclip_vitb16{kind}_{rest}" for rest in linear]
        expected += [f"dinov2_vit{s}14{kind}_{rest}" for s in "sblg" for rest in dinov2 + kitti]
    # No numbers of DINOv2 with registers are published for KITTI.
    expected += [f"dinov2_vit{size}14_reg4_{rest}" for size in "sblg" for rest in dinov2]
    assert sorted(expected) == NAMES


@pytest.mark.parametrize("name", TTR)
def test_ttr_config__is_its_parent_plus_registers(name):
    parent, child = load(name.replace("_ttr_", "_")).to_dict(), load(name).to_dict()
    assert child["model"]["backbone"].pop("registers") == {"neurons": "auto"}
    assert child == parent
    code = (FOLDER / f"{name}.py").read_text().split('"""')[2]
    assert len([line for line in code.splitlines() if line.startswith("model")]) == 1


@pytest.mark.parametrize("name", TTR)
def test_ttr_config__builds_with_its_list_or_says_how_to_make_one(name):
    from mmseg.registry import MODELS

    config = load(name).model.backbone
    config.pretrained = False
    if name.startswith("dinov2_vitg14"):
        command = f"ttrb find-neurons {re.escape(config.model)}"
        with torch.device("meta"), pytest.raises(InputError, match=command):
            MODELS.build(config)
        return
    with torch.device("meta"):
        vit = MODELS.build(config).vit
    assert num_test_time_registers(vit) == 1
    assert vit.register_neurons == RegisterNeurons.bundled(config.model)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in TTR])
def test_config__builds_without_weights_and_its_maps_fit(name):
    from mmseg.registry import MODELS

    width, depth, blocks = architecture(name)
    config = load(name)
    config.model.backbone.pretrained = False
    with torch.device("meta"):  # ViT-g takes no memory
        model = MODELS.build(copy.deepcopy(config.model))
    backbone, head = model.backbone, model.decode_head
    taken = (depth - 1,) if "_lin1_" in name else blocks
    assert (len(backbone.vit.blocks), backbone.out_indices) == (depth, taken)
    assert backbone.channels == 2 * width  # patch and CLS token side by side
    assert head.maps.channels == [2 * width] * len(taken)
    assert head.maps.index == list(range(-len(taken), 0))
    assert backbone.vit.num_reg_tokens == (4 if "reg4" in name else 0)
    assert (head.min_depth, head.max_depth) == (1e-3, 80.0 if "_kitti_" in name else 10.0)
    if "_dpt_" in name:
        assert type(head).__name__ == "DPTDepthHead"
        assert head.project.conv.weight.shape == (256, 256, 3, 3)
    else:
        assert head.conv_depth.weight.shape == (256, 2 * width * len(taken), 1, 1)
        assert head.upsample == 4
    size = (352, 1216) if "_kitti_" in name else (480, 640)
    patch = 16 if name.split("_")[1].endswith("16") else 14
    with torch.device("meta"):
        maps = head.maps.take(backbone(torch.zeros(1, 3, *size)))
    grid = [math.ceil(side / patch) for side in size]
    assert [one.shape for one in maps] == [(1, 2 * width, *grid)] * len(taken)


@pytest.mark.parametrize("key", sorted(TABLE_11), ids=" ".join)
def test_docstring__has_the_numbers_of_the_dinov2_paper(key):
    for head, number in zip(HEADS, TABLE_11[key], strict=True):
        path = FOLDER / f"dinov2_{key[0]}_{head}_{key[1]}_dinov2.py"
        text = ast.get_docstring(ast.parse(path.read_text()))
        assert f"    {number} in the DINOv2 paper, Table 11" in text.splitlines()


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("dinov2_vitl14_lin1_nyu_dvt", "0.3876"),
        ("dinov2_vitl14_reg4_lin1_nyu_dvt", "0.3823"),
        ("dinov2_vitl14_ttr_lin1_nyu_dvt", "0.3774"),
        ("openclip_vitb16_lin1_nyu_dvt", "0.6025"),
        ("openclip_vitb16_ttr_lin1_nyu_dvt", "0.5956"),
    ],
)
def test_docstring__has_the_numbers_of_the_ttr_paper(name, number):
    text = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text()))
    assert re.search(
        rf"^    {number} \+-0\.\d{{4}} in the TTR paper, Table 13$", text, re.MULTILINE
    )
