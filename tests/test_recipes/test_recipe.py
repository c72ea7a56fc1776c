"""Recipes whose backbone no file describes, files beside recipes, and what a run dumps."""

import subprocess
import sys

import pytest
from mmengine.config import Config

from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.recipes import axis_files, named_config, recipe

NAME = "dinov2_vits14_ttr_lin4_nyu_dinov2"
TTR = {"type": "test_time", "neurons": "auto"}


def test_protocols_are_runnable_files_of_plain_mmengine():
    for name, path in axis_files("protocols").items():
        alone = Config.fromfile(path, format_python_code=False)
        assert alone.to_dict() == recipe(name).to_dict(), name
        assert not {"backbone", "facts", "protocol"} & alone.keys()
        text = path.read_text().splitlines()[:7]
        verb = "train" if "train_cfg" in alone else "test"
        # Texts have a place in the space of a CLIP only.
        model = "clip_vitb16" if "text" in alone.model else "dinov2_vitl14"
        assert f"    ttrb {verb} {name} --backbone {model} --repair ttr" in text, name


def test_dump__loads_in_a_process_that_knows_mmengine_only(tmp_path):
    config = recipe(NAME)
    config.dump(tmp_path / "dumped.py")
    code = (
        "import sys, json; from mmengine.config import Config\n"
        "config = Config.fromfile(sys.argv[1], import_custom_modules=False)\n"
        "assert 'ttr_backbones' not in sys.modules; print(json.dumps(config.to_dict()))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "dumped.py")]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    again = Config.fromfile(tmp_path / "dumped.py", format_python_code=False)
    assert again.to_dict() == config.to_dict()


def test_recipe__is_fresh_every_time_and_shares_nothing_inside():
    first = recipe("linear_ade20k")
    first.val_dataloader.dataset.data_root = "elsewhere"
    first.model.backbone.out_indices = (1,)
    assert first.test_dataloader.dataset.data_root != "elsewhere"
    assert recipe("linear_ade20k").model.backbone.out_indices == (-4, -3, -2, -1)


@pytest.mark.parametrize(
    ("model", "protocol", "blocks", "channels", "facet", "std"),
    [
        ("vit_small_patch16_224.dino", "lin4_nyu_dinov2", (2, 5, 8, 11), 768, "key", 0.229),
        ("vit_large_patch16_siglip_256", "dpt_nyu_dinov2", (4, 11, 17, 23), 2048, "key", 0.5),
        (
            "vit_huge_patch14_clip_224",
            "lin4_nyu_dinov2",
            (7, 15, 23, 31),
            2560,
            "value",
            0.26862954,
        ),
        ("vit_base_patch16_224.augreg_in21k", "ms_voc2012", (-4, -3, -2, -1), 768, "value", 0.5),
    ],
)
def test_recipe__of_a_timm_model_without_a_file(model, protocol, blocks, channels, facet, std):
    config = recipe(protocol, backbone=model)
    backbone, preprocessor = config.model.backbone, config.model.data_preprocessor
    assert (backbone.model, backbone.pretrained, backbone.frozen) == (model, True, True)
    assert "repair" not in backbone
    assert backbone.out_indices == blocks
    assert config.model.decode_head.in_channels == [channels] * 4
    assert preprocessor.std[0] == pytest.approx(255 * std)
    assert recipe("lost_voc07", backbone=model).model.backbone.facet == facet
    assert config.filename == f"{model}_{protocol}.py"
    ttr = recipe(protocol, backbone=model, repair="ttr")
    assert ttr.model.backbone.pop("repair") == TTR
    assert ttr.to_dict() == config.to_dict()
    assert recipe(f"{model}_ttr_{protocol}").filename == ttr.filename


@pytest.mark.parametrize("model", ["convnext_tiny", "resnet18.a1_in1k"])
def test_recipe__of_a_model_that_is_no_vit(model):
    with pytest.raises(
        InputError, match=f"backbone {model}: expected a timm VisionTransformer or Eva"
    ):
        recipe("lost_voc07", backbone=model)


BACKBONE = """
backbone = dict(type="TimmViT", model="vit_tiny_patch16_224", checkpoint="mine.pth", frozen=True)
facts = dict(
    title="mine", channels=192, four_blocks=(2, 5, 8, 11), facet="key",
    mean=[1.0] * 3, std=[2.0] * 3,
)
"""


def test_recipe__of_a_backbone_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(BACKBONE)
    config = recipe("lin1_kitti_dinov2", backbone=str(path), repair="ttr")
    assert config.model.backbone.checkpoint == "mine.pth"
    assert (config.model.data_preprocessor.mean, config.filename) == (
        [1.0] * 3,
        "mine_ttr_lin1_kitti_dinov2.py",
    )
    path.write_text(BACKBONE.replace("facet", "fact"))
    with pytest.raises(InputError, match=r"unknown fact 'fact'\. Did you mean 'facet'"):
        recipe("lost_voc07", backbone=str(path))
    path.write_text(BACKBONE.replace('facet="key",', ""))
    with pytest.raises(InputError, match=r"mine.py: the facts lack facet; expected title"):
        recipe("lost_voc07", backbone=str(path))
    path.write_text("backbone = 1")
    with pytest.raises(InputError, match="expected a dict called `backbone`"):
        recipe("lost_voc07", backbone=str(path))


def test_named_config__a_file_goes_first_and_a_folder_is_not_in_the_way(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lost_voc07").mkdir()  # as a work dir is called
    assert named_config("lost_voc07").model.type == "ObjectDiscoverer"
    (tmp_path / "lost_voc07.py").write_text("model = dict(type='Mine')")
    assert named_config("lost_voc07.py").model.type == "Mine"
    with pytest.raises(InputError, match="is a folder, expected a config file"):
        named_config(tmp_path)
    with pytest.raises(MissingFileError, match="Recipes are called"):
        named_config("nowhere.py")


def test_named_config__the_path_of_a_protocol_takes_another_backbone():
    path = axis_files("protocols")["lost_voc07"]
    config = named_config(path, backbone="dino_vits16", repair="ttr")
    assert config.to_dict() == recipe("dino_vits16_ttr_lost_voc07").to_dict()


def test_named_config__options_of_recipes_on_a_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("model = dict(backbone=dict(type='TimmViT', repair=dict(neurons='a.json')))")
    assert named_config(path, repair="ttr").model.backbone.repair == TTR
    assert named_config(path, repair="none").model.backbone.repair is None
    assert named_config(path).model.backbone.repair == {"neurons": "a.json"}
    with pytest.raises(InputError, match="--backbone goes with the name of a protocol"):
        named_config(path, backbone="dino_vits16")
    with pytest.raises(MissingFileError, match=r"unknown repair 'tr'\. Did you mean 'ttr'"):
        named_config(path, repair="tr")
    path.write_text("model = dict(backbone=dict(type='ResNet'))")
    with pytest.raises(InputError, match=r"has no model\.backbone of type='TimmViT'"):
        named_config(path, repair="ttr")
