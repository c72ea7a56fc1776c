"""From a name to what is exported, and what is refused on the way."""

import pytest
import torch

from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.export import load_exportable
from ttr_backbones.repairs import REPAIRS, describe_repair, load_repair

TAG = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
CONFIG = "augreg_vitt16_ttr_linear_ade20k_200it"


def test_outputs_by_task(make_exportable):
    outputs = {head: make_exportable(head).outputs for head in ("linear", "lin1", "dpt")}
    assert outputs == {"linear": ["logits"], "lin1": ["depth"], "dpt": ["depth"]}
    assert make_exportable(None, pad="corner").outputs == ["map_0"]


def test_timm_model__with_the_options_of_features(tiny_weights, random_images):
    exportable = load_exportable(TAG, tiny_weights, repair="auto", blocks=[5, -1])
    assert exportable.outputs == ["map_0", "map_1"]
    assert exportable.size == (224, 224)
    assert exportable.backbone.vit.num_test_time_registers == 1
    images = random_images(1, 48, 64)
    maps = exportable.backbone((images - 127.5) / 127.5)
    for name, expected in zip(exportable.outputs, maps, strict=True):
        assert torch.equal(exportable.eager(images)[name], expected)


def test_timm_model__with_baked_registers(tiny_weights):
    file = REPAIRS["bias"].shipped_files()[TAG]
    exportable = load_exportable(TAG, tiny_weights, repair=str(file))
    assert describe_repair(exportable.backbone.vit)["sha256"] == load_repair(file).sha256


def test_eager__is_what_the_test_does(make_exportable, random_images):
    """In float32 and without the mirrored image, whatever the config says."""
    exportable = make_exportable("lin1", precision="bf16")
    images = random_images(2, 50, 70)
    data = exportable.model.data_preprocessor(
        {"inputs": list(images.flip(1)), "data_samples": None}
    )
    assert exportable.backbone.precision == "fp32"
    samples = exportable.model.test_step({"inputs": list(images.flip(1))})
    depth = torch.stack([sample.pred_depth_map.data for sample in samples])
    mirrored = exportable.eager(images.flip(3))["depth"].flip(3)
    expected = (exportable.eager(images)["depth"] + mirrored) / 2
    torch.testing.assert_close(depth, expected, rtol=1e-5, atol=1e-5)
    assert data["inputs"].shape == (2, 3, 50, 70)


def test_besides__names_windows_and_flips(make_exportable):
    slide = {"mode": "slide", "crop_size": (48, 32), "stride": (9, 8)}
    windows = "windows of 48 x 32 pixels every (9, 8), averaged where they overlap"
    assert make_exportable("linear", test_cfg=slide).besides == windows
    assert (
        make_exportable("lin1", test_cfg={"mode": "whole"}).besides
        == "the average with the mirrored image"
    )
    assert make_exportable("lin1", test_cfg={"flip": False}).besides is None
    assert make_exportable("linear").besides is None


@pytest.mark.parametrize(
    ("test_cfg", "size"),
    [
        ({"mode": "slide", "crop_size": (48, 32), "stride": (9, 9)}, (48, 32)),
        ({"mode": "whole"}, (80, 64)),
    ],
)
def test_size__of_the_test_s_window_or_the_training_s_crop(make_exportable, test_cfg, size):
    assert make_exportable("linear", test_cfg=test_cfg).size == size


def test_classes__are_those_of_the_data_set(tiny_weights, tmp_path):
    options = [f"model.backbone.checkpoint={tiny_weights}", "model.backbone.pretrained=False"]
    head = {"bn.weight": 192, "bn.bias": 192, "bn.running_mean": 192, "bn.running_var": 192}
    state = {f"decode_head.{name}": torch.ones(size) for name, size in head.items()}
    state["decode_head.conv_seg.weight"] = torch.ones(150, 192, 1, 1)
    state["decode_head.conv_seg.bias"] = torch.ones(150)
    torch.save(state, tmp_path / "head.pth")
    exportable = load_exportable(CONFIG, tmp_path / "head.pth", cfg_options=options)
    assert exportable.classes[:3] == ("wall", "building", "sky")
    assert len(exportable.classes) == 150


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "message"),
    [
        (["no_such_config"], {}, MissingFileError, "unknown timm model or config"),
        ([CONFIG], {}, InputError, "has a head to load, and no checkpoint was given"),
        ([CONFIG, "no.pth"], {}, MissingFileError, "the checkpoint no.pth does not exist"),
        ([TAG, "no.pth"], {}, MissingFileError, "no.pth: no such file"),
        ([CONFIG], {"repair": "auto"}, InputError, "--repair is for a timm model"),
        ([CONFIG], {"blocks": [1]}, InputError, "--blocks is for a timm model"),
        ([TAG], {"cfg_options": ["a=1"]}, InputError, "--cfg-options change a config"),
    ],
)
def test_wrong_arguments(arguments, options, kind, message):
    with pytest.raises(kind, match=message):
        load_exportable(*arguments, **options)
