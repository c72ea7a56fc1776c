"""Every config dumps, reloads and says what number it stands for; those of segmentation build."""

import ast
import copy
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from ttr_backbones import packaged, registers
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.packaged import configs_dir

SEGMENTATION = configs_dir() / "segmentation"
NAMES = sorted(path.stem for path in SEGMENTATION.glob("*.py"))
FILES = sorted(path for path in configs_dir().glob("*/*.py") if path.parent.name != "_base_")
BUNDLED = {path.stem for path in (Path(registers.__file__).parent / "lists").glob("*.json")}
TTR = [name for name in NAMES if "_ttr_" in name]
SCORES = {"IoUMetric": "mIoU", "NYUDepthMetric": "RMSE", "CorLocMetric": "CorLoc"}


def load(name):
    # Formatting by yapf costs most of the time and changes nothing.
    return Config.fromfile(SEGMENTATION / f"{name}.py", format_python_code=False)


def plain(config):
    """Config without the names it imported, as it is dumped."""
    return config.to_dict()


def test_configs_dir__of_a_wheel_and_of_nothing(tmp_path, monkeypatch):
    package = tmp_path / "ttr_backbones"
    monkeypatch.setattr(packaged, "__file__", str(package / "packaged.py"))
    with pytest.raises(MissingFileError, match="Install the package again"):
        packaged.configs_dir()
    (package / "configs" / "_base_").mkdir(parents=True)
    assert packaged.configs_dir() == package / "configs"


def test_every_promised_combination_is_there():
    dinov2 = [f"dinov2_vit{size}14{kind}" for size in "sblg" for kind in ("", "_ttr")]
    dinov2 += [f"dinov2_vit{size}14_reg4" for size in "sblg"]
    clip = [
        f"{family}_{arch}{kind}"
        for family in ("clip", "openclip")
        for arch in ("vitb16", "vitl14")
        for kind in ("", "_ttr")
    ]
    models = [*dinov2, *clip, "deit3_vitb16", "augreg_vitt16", "augreg_vitt16_ttr"]
    expected = [
        f"{model}_{head}_{data}"
        for model in models
        for head in ("linear", "ms")
        for data in ("ade20k", "voc2012")
    ]
    trials = [f"augreg_vitt16{kind}_linear_ade20k_200it" for kind in ("", "_ttr")]
    assert sorted(expected + trials) == NAMES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_config__dumps_and_reloads_equal(path, tmp_path):
    config = Config.fromfile(path, format_python_code=False)
    config.dump(tmp_path / "dumped.py")
    again = Config.fromfile(tmp_path / "dumped.py", format_python_code=False)
    assert plain(again) == plain(config)
    assert "backbone" not in plain(config)  # a stray key would invite useless --cfg-options


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_config__docstring_has_protocol_commands_and_number(path):
    text = ast.get_docstring(ast.parse(path.read_text()))
    config = Config.fromfile(path, format_python_code=False)
    trains = "train_dataloader" in config
    assert "Protocol: " in text
    test = f"Test: ttrb test {path.stem}{' CHECKPOINT' if trains else ''}"
    assert re.search(rf"^{test}\b", text, re.MULTILINE)
    assert (f"Train: ttrb train {path.stem}" in text) == ("Train: " in text) == trains
    score = SCORES[config.test_evaluator.type]
    numbers = r"[^\n]*:\n    \d+\.\d+[^\n]* in the "
    assert re.search(rf"^Published {score}(: none published|{numbers})", text, re.MULTILINE)
    assert ("CHECKPOINT --tta\n" in text) == ("_ms_" in path.stem)


@pytest.mark.parametrize("name", TTR)
def test_ttr_config__is_its_parent_plus_registers(name):
    parent = plain(load(name.replace("_ttr_", "_")))
    child = plain(load(name))
    assert child["model"]["backbone"].pop("registers") == {"neurons": "auto"}
    assert child == parent
    code = (SEGMENTATION / f"{name}.py").read_text().split('"""')[2]
    assert len([line for line in code.splitlines() if line.startswith("model")]) == 1


@pytest.fixture(scope="module")
def registries():
    from mmengine.registry import init_default_scope
    from mmseg.utils import register_all_modules

    import ttr_backbones.backbones
    import ttr_backbones.datasets
    import ttr_backbones.engine
    import ttr_backbones.heads  # noqa: F401

    register_all_modules()
    init_default_scope("mmseg")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in TTR])
def test_config__builds_without_weights(name, registries):
    from mmseg.registry import MODELS

    config = load(name)
    config.model.backbone.pretrained = False
    with torch.device("meta"):  # ViT-g takes no memory
        model = MODELS.build(copy.deepcopy(config.model))
    backbone, head = model.backbone, model.decode_head
    assert set(head.maps.channels) == {backbone.channels}
    depth = len(backbone.vit.blocks)
    assert list(backbone.out_indices) == list(range(depth - 4, depth))
    blocks = 4 if "_ms_" in name else 1
    assert head.conv_seg.weight.shape[:2] == (head.num_classes, blocks * backbone.channels)
    assert head.num_classes == (150 if "ade20k" in name else 21)
    assert backbone.vit.num_reg_tokens == (4 if "reg4" in name else 0)


@pytest.mark.parametrize("name", TTR)
def test_ttr_config__builds_with_its_list_or_says_how_to_make_one(name, registries):
    from mmseg.registry import MODELS

    config = load(name)
    config.model.backbone.pretrained = False
    tag = config.model.backbone.model
    if tag not in BUNDLED:
        command = f"ttrb find-neurons {re.escape(tag)}"
        with torch.device("meta"), pytest.raises(InputError, match=command):
            MODELS.build(config.model)
        return
    with torch.device("meta"):
        vit = MODELS.build(config.model).backbone.vit
    assert registers.num_test_time_registers(vit) == 1
    assert vit.register_neurons == registers.RegisterNeurons.bundled(tag)


def test_pipelines_and_evaluators__build(registries):
    from mmengine.dataset import Compose
    from mmseg.registry import METRICS

    for data in ("ade20k", "voc2012"):
        for head in ("linear", "ms"):
            config = load(f"dinov2_vits14_{head}_{data}")
            for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
                Compose(loader.dataset.pipeline)
            Compose(config.tta_pipeline)
            METRICS.build(config.test_evaluator)


def test_protocol__numbers_of_dinov2s_linear_evaluation():
    linear = load("dinov2_vitl14_linear_ade20k")
    assert linear.optim_wrapper.optimizer == {
        "type": "AdamW",
        "lr": 1e-3,
        "weight_decay": 1e-4,
        "betas": (0.9, 0.999),
    }
    assert linear.optim_wrapper.clip_grad is None
    assert (linear.train_cfg.max_iters, linear.train_cfg.val_interval) == (40000, 10000)
    assert linear.train_dataloader.batch_size == 2
    assert linear.model.test_cfg == {"mode": "slide", "crop_size": (512, 512), "stride": (341, 341)}
    assert linear.model.data_preprocessor.mean == [123.675, 116.28, 103.53]
    assert linear.model.data_preprocessor.std == [58.395, 57.12, 57.375]
    resize, crop = linear.train_dataloader.dataset.pipeline[3:5]
    assert (resize.scale, resize.ratio_range) == ((99999999, 512), (0.5, 2.0))
    assert (crop.crop_size, crop.cat_max_ratio) == ((512, 512), 0.75)

    ms = load("dinov2_vitl14_ms_ade20k")
    assert ms.model.test_cfg == {"mode": "slide", "crop_size": (640, 640), "stride": (320, 320)}
    resize, crop = ms.train_dataloader.dataset.pipeline[3:5]
    assert (resize.scale, resize.ratio_range) == ((99999999, 640), (1.0, 3.0))
    assert crop.crop_size == ms.model.data_preprocessor.size == (640, 640)
    scales = [step.scale[1] for step in ms.tta_pipeline[1].transforms[0]]
    assert scales == [int(640 * ratio) for ratio in (1.0, 1.32, 1.73, 2.28, 3.0)]
    assert [flip.prob for flip in ms.tta_pipeline[1].transforms[1]] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("name", "final_norm", "pos_embed"),
    [
        ("dinov2_vits14_linear_ade20k", True, "dinov2"),
        ("dinov2_vits14_reg4_linear_ade20k", True, "timm"),
        ("openclip_vitb16_linear_ade20k", False, "timm"),
        ("deit3_vitb16_linear_ade20k", False, "timm"),
    ],
)
def test_protocol__features_of_each_family(name, final_norm, pos_embed):
    backbone = load(name).model.backbone
    assert (backbone.final_norm, backbone.pos_embed) == (final_norm, pos_embed)


def test_schedule__warm_up_times_decay():
    from mmengine.optim import LinearLR, PolyLR

    schedulers = load("dinov2_vits14_linear_ade20k").param_scheduler
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    kinds = {"LinearLR": LinearLR, "PolyLR": PolyLR}
    built = [kinds[s.pop("type")](optimizer, **s) for s in copy.deepcopy(schedulers)]
    seen = []
    for _ in range(40000):
        seen.append(optimizer.param_groups[0]["lr"])
        for scheduler in built:
            scheduler.step()
    assert seen[0] == pytest.approx(1e-9)
    assert seen[750] == pytest.approx(1e-3 * 0.5 * (1 - 750 / 40000), rel=1e-2)
    assert seen[20000] == pytest.approx(0.5e-3, rel=1e-3)
    assert seen[-1] == pytest.approx(0, abs=1e-7)


def test_options__reach_the_visualizer_and_the_registers():
    config = load("dinov2_vitl14_ttr_linear_ade20k")
    config.merge_from_dict(
        {
            "visualizer.vis_backends.0.type": "TensorboardVisBackend",
            "model.backbone.registers.num": 2,
        }
    )
    assert config.visualizer.vis_backends == [{"type": "TensorboardVisBackend"}]
    assert config.model.backbone.registers == {"neurons": "auto", "num": 2}
    assert "num" not in load("dinov2_vitl14_ttr_linear_ade20k").model.backbone.registers


def test_backbone__drops_into_an_unmodified_text_config_of_mmseg(tmp_path):
    import mmseg

    base = Path(mmseg.__file__).parent / ".mim/configs/fcn/fcn_r50-d8_4xb4-20k_voc12aug-512x512.py"
    if not base.is_file():
        pytest.skip(f"this mmseg ships no configs: {base}")
    text = f"""
_base_ = {str(base)!r}
custom_imports = dict(imports=['ttr_backbones.backbones'], allow_failed_imports=False)
model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True, type='TimmViT', model='vit_tiny_patch16_224.augreg_in21k_ft_in1k',
        out_indices=(8, 9, 10, 11), registers=dict(neurons={{6: [189], 7: [417]}})),
    decode_head=dict(in_channels=192, channels=64),
    auxiliary_head=dict(in_channels=192, channels=64))
"""
    (tmp_path / "fcn_vit.py").write_text(text)
    code = (
        "import sys, torch\n"
        "from mmengine.config import Config\n"
        "from mmengine.registry import init_default_scope\n"
        "config = Config.fromfile(sys.argv[1])\n"
        "init_default_scope('mmseg')\n"
        "from mmseg.utils import register_all_modules\n"
        "register_all_modules()\n"
        "from mmseg.registry import MODELS\n"
        "model = MODELS.build(config.model).eval()\n"
        "print(tuple(model(torch.zeros(2, 3, 64, 96)).shape))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "fcn_vit.py")]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "(2, 21, 4, 6)"
