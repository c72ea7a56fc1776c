"""Features of the real ViT on real photographs, on disk and as the model gives them."""

import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from ttr_backbones import SavedFeatures
from ttr_backbones.backbones import TimmViT
from ttr_backbones.errors import InputError
from ttr_backbones.inference import write_features
from ttr_backbones.inference.write_features import description
from ttr_backbones.registers import token_norms
from ttr_backbones.repairs import REPAIRS as KINDS

TAG = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
REPAIRS = {"token": {"type": "test_time", "neurons": "auto"}, "bias": {"type": "bias"}}
SMALL = {"size": 64, "batch_size": 2, "shard_size": 2}


@pytest.fixture(scope="module")
def backbone(tiny_weights):
    return TimmViT(TAG, checkpoint=tiny_weights)


@pytest.fixture(scope="module")
def folder(shared, tmp_path_factory):
    """Five photographs of several sizes, one of them in a folder of its own."""
    root = tmp_path_factory.mktemp("photos")
    (root / "more").mkdir()
    names = ["astronaut.png", "bird_1.jpg", "cat_1.jpg", "dog_0.jpg", "more/trail_0.jpg"]
    for name in names:
        shutil.copy(shared / "data/photos" / name.rpartition("/")[2], root / name)
    return root


def contents(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


def by_hand(backbone, file, side):
    """The short side becomes `side`, the long one the nearest multiple of the patch."""
    image = Image.open(file).convert("RGB")
    scale = side / min(image.size)
    size = [round(length * scale / 16) * 16 for length in image.size]
    pixels = np.array(image.resize(size, Image.Resampling.BICUBIC))
    return backbone(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1)[0][0]


@torch.no_grad()
def test_features__equal_the_backbone_s(backbone, folder, tmp_path):
    assert write_features(backbone, folder, tmp_path, **SMALL, dtype="fp32")
    features = SavedFeatures(tmp_path)
    assert features.names == [p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*.*"))]
    for name, feature in features.items():
        own = by_hand(backbone, folder / name, 64)
        assert feature.shape == own.shape == features.shape(name)
        torch.testing.assert_close(feature, own, rtol=1e-4, atol=1e-4)
    assert {features.shape(name)[1:] for name in features} > {(4, 4)}  # and longer ones
    assert len(list(tmp_path.glob("*.safetensors"))) == 3
    assert features.settings["blocks"] == [11]
    assert features.settings["model"] == TAG


@pytest.mark.parametrize("form", ["token", "bias"])
def test_description__tells_either_form_of_registers(tiny_weights, form):
    backbone = TimmViT(TAG, checkpoint=tiny_weights, repair=REPAIRS[form])
    told = json.loads(json.dumps(description(backbone)))["repair"]
    assert told.pop("layers") == {"6": [189], "7": [417]}
    assert told.pop("num") == 1
    if form == "token":
        assert told == {
            "type": "test_time",
            "gain": [1.0],
            "peak": "neuron",
            "keep_cls": False,
            "fill": "zero",
        }
    else:
        assert told == {"type": "bias", "sha256": KINDS["bias"].shipped(TAG).sha256}


@torch.no_grad()
def test_features__of_blocks_with_registers_in_fp16(tiny_weights, folder, tmp_path):
    """Raw outputs of the blocks 6 and 11: outliers without the register, none with it."""
    largest = {}
    for repair in (None, REPAIRS["token"]):
        raw = {"final_norm": False, "out_indices": (6, 11), "repair": repair}
        vit = TimmViT(TAG, checkpoint=tiny_weights, **raw)
        out = tmp_path / str(repair is None)
        assert write_features(vit, folder, out / "own.json", size=224, fit="square")
        features = SavedFeatures(out / "own.json")
        assert {path.name for path in out.iterdir()} == {
            "own.json",
            "own-00000-of-00001.safetensors",
        }
        maps = torch.stack([features[name] for name in features])
        assert maps.dtype == torch.float16
        assert maps.shape == (5, 2, 192, 14, 14)
        largest[repair is None] = token_norms(maps[:, 1].movedim(1, -1)).max()
        assert (features.settings["repair"] is None) == (repair is None)
    assert largest[True] > 300
    assert largest[False] < 40


def test_resumed__gives_the_same_files(backbone, folder, tmp_path):
    assert write_features(backbone, folder, tmp_path / "whole", **SMALL)
    part = tmp_path / "part"
    assert not write_features(backbone, folder, part, **SMALL, rank=1, world_size=2)
    (part / ".features-00000-of-00003.safetensors.partial").write_bytes(b"half")  # of a killed run
    with pytest.raises(InputError, match="is not complete: run the same"):
        SavedFeatures(part)
    written = next(part.glob("*.safetensors")).stat().st_mtime_ns
    assert write_features(backbone, folder, part, **SMALL)
    assert contents(part) == contents(tmp_path / "whole")
    assert min(path.stat().st_mtime_ns for path in part.glob("*.safetensors")) == written


def test_changed_setting__is_refused(backbone, folder, tmp_path):
    write_features(backbone, folder, tmp_path, **SMALL)
    changed = (
        r"other settings(.|\n)*dtype: there \"fp16\", now \"fp32\"(.|\n)*size: there 64, now 48"
    )
    with pytest.raises(InputError, match=changed):
        write_features(backbone, folder, tmp_path, **{**SMALL, "size": 48}, dtype="fp32")


def test_bad_images__are_named_or_left_out(backbone, folder, tmp_path):
    images, out = tmp_path / "images", tmp_path / "out"
    shutil.copytree(folder, images)
    content = (images / "cat_1.jpg").read_bytes()
    (images / "cut.jpg").write_bytes(content[: len(content) // 2])  # its header is fine
    with pytest.raises(
        InputError, match=r"1 image cannot be read. The other shards are kept(.|\n)*cut"
    ):
        write_features(backbone, images, out, **SMALL)
    assert len(list(out.glob("*.safetensors"))) == 2
    (images / "text.jpg").write_bytes(b"no image")  # then all are decoded before the first pass
    with pytest.raises(InputError, match=r"2 images.*\n.*cut\.jpg: cannot .*\n.*text\.jpg: not an"):
        write_features(backbone, images, out, **SMALL)
    (images / "text.jpg").rename(images / "cut.jpg")
    assert write_features(backbone, images, out, **SMALL, skip_bad=True)
    features = SavedFeatures(out)
    assert (len(features), features.bad) == (5, {"cut.jpg": "not an image"})
    (images / "cut.jpg").write_bytes(content)
    assert write_features(backbone, images, tmp_path / "all", **SMALL)
    assert len(SavedFeatures(tmp_path / "all")) == 6


def test_values_beyond_fp16__are_an_error(backbone, folder, tmp_path):
    tiny = [1e-9] * 3  # as std: the images become enormous
    raw = TimmViT(TAG, model_kwargs={"depth": 1}, final_norm=False)
    with pytest.raises(InputError, match=r"do not fit into float16: use another --dtype"):
        write_features(raw, folder, tmp_path, **SMALL, std=tiny)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 65}, "size 65: expected a multiple of the patch of 16 px, as 64"),
        ({"dtype": "fp8"}, "unknown dtype 'fp8'"),
        ({"shard_size": 0}, "shard_size=0"),
    ],
)
def test_wrong_options(backbone, folder, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        write_features(backbone, folder, tmp_path, **options)


def test_wide_image__keeps_its_proportions(backbone, tmp_path):
    pixels = np.zeros((32, 100, 3), np.uint8)
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images/wide.png"), pixels)
    write_features(backbone, tmp_path / "images", tmp_path / "out", size=32)
    assert SavedFeatures(tmp_path / "out").shape("wide.png") == (192, 2, 6)  # 100 px: nearest to 96
