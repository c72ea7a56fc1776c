"""`ttrb predict` with a constant head on drawn images, and object discovery with the real ViT."""

import json

import cv2
import numpy as np
import pytest
import torch

from ttr_backbones.cli import main
from ttr_backbones.cli.predict import _Outputs
from ttr_backbones.errors import InputError
from ttr_backbones.inference import DepthMap


@pytest.fixture
def head(tmp_path):
    """A head that predicts class 2, whatever the image."""
    state = {f"decode_head.bn.{name}": torch.ones(32) for name in ("weight", "bias")}
    state |= {f"decode_head.bn.running_{name}": torch.ones(32) for name in ("mean", "var")}
    state["decode_head.conv_seg.weight"] = torch.zeros(150, 32, 1, 1)
    state["decode_head.conv_seg.bias"] = torch.eye(150)[2]
    torch.save({"state_dict": state}, tmp_path / "head.pth")
    return tmp_path / "head.pth"


@pytest.fixture
def images(tmp_path):
    """Three images of two sizes, two of them of one stem, in a folder and one below it."""
    rng = np.random.default_rng(0)
    for name, shape in (("a.jpg", (64, 80, 3)), ("a.png", (64, 80, 3)), ("sub/b.png", (48, 64, 3))):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 256, shape, dtype=np.uint8))
    return tmp_path / "images"


def test_masks__pictures_and_names(config, head, images, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["predict", str(config), str(head), str(images), "--out", str(out)]
    assert main([*arguments, "--batch-size", "3", "--device", "cpu"]) == 0
    assert "3 of 3 images: masks, pictures in" in capsys.readouterr().out
    saved = {path.relative_to(out).as_posix() for path in out.rglob("*.png")}
    names = ("a.jpg.png", "a.png.png", "sub/b.png.png")
    assert saved == {f"{kind}/{name}" for kind in ("masks", "pictures") for name in names}
    mask = cv2.imread(str(out / "masks/sub/b.png.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (48, 64)
    told = json.loads((out / "predictions.json").read_text())
    assert {told["classes"][str(number)] for number in np.unique(mask)} == {"sky"}
    assert told["images"]["sub/b.png"]["masks"] == "masks/sub/b.png.png"


def test_stems_of_their_own__lose_the_suffix(config, head, images, tmp_path):
    out = tmp_path / "out"
    arguments = [str(config), str(head), str(images / "a.jpg"), str(images / "sub"), "--data-only"]
    assert main(["predict", *arguments, "--out", str(out)]) == 0
    assert {path.name for path in out.rglob("*.png")} == {"a.png", "b.png"}
    assert not (out / "pictures").exists()


def test_broken_images__are_named(config, head, images, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["predict", str(config), str(head), str(images), "--out", str(out)]
    content = (images / "a.png").read_bytes()
    (images / "cut.png").write_bytes(content[: len(content) // 2])
    assert main(arguments) == 2  # found while reading: the others are done
    error = capsys.readouterr().err
    assert "1 image cannot be read. The others are done." in error
    assert "cut.png" in error
    assert len(list((out / "masks").rglob("*.png"))) == 3
    for name in ("x.jpg", "y.jpg"):
        (images / name).write_text("no image")
    assert main(arguments) == 2  # seen in the headers: before the model is made
    error = capsys.readouterr().err
    assert all(name in error for name in ("2 images cannot be read", "x.jpg", "y.jpg"))
    (images / "a.jpg").unlink()
    assert main([*arguments, "--skip-bad"]) == 0
    shown = capsys.readouterr()
    assert "2 of 5 images: masks, pictures in" in shown.out
    assert "ttrb: warning: 3 images left out: x.jpg (not an image)" in shown.err
    assert "cut.png (" in shown.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["head.pth"], "no images given: ttrb predict CONFIG head.pth IMAGES"),
        (["nowhere"], "nowhere: no such file or folder"),
        (["--batch-size", "0", "x.jpg"], "--batch-size 0: expected a number above 0"),
    ],
)
def test_wrong_arguments(config, tmp_path, capsys, arguments, message):
    assert main(["predict", str(config), *arguments, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_missing_checkpoint(config, images, tmp_path, capsys):
    assert main(["predict", str(config), str(images), "--out", str(tmp_path / "out")]) == 2
    assert "has a head to load, and no checkpoint was given" in capsys.readouterr().err


def test_depth__is_saved_in_units_that_fit(tmp_path):
    metres = np.array([[0.5, 9.9994, np.nan, -1.0, 70.0]], np.float32)
    image = np.zeros((1, 5, 3), np.uint8)
    prediction = DepthMap(tmp_path / "a.jpg", image, metres)
    outputs = _Outputs(tmp_path, [tmp_path / "a.jpg"], 256.0, draw=False)
    outputs.add(prediction)
    saved = cv2.imread(str(tmp_path / "depth/a.png"), cv2.IMREAD_UNCHANGED)
    assert saved.tolist() == [[128, 2560, 0, 0, 17920]]
    with pytest.raises(InputError, match="70 m do not fit into a 16-bit PNG of 1000 units"):
        _Outputs(tmp_path, [tmp_path / "a.jpg"], 1000.0, draw=False).add(prediction)


def test_boxes__of_the_real_vit(shared, tiny_weights, tmp_path):
    photos = [str(shared / "data/photos" / name) for name in ("bird_1.jpg", "cat_1.jpg")]
    options = ["model.backbone.pretrained=False", f"model.backbone.checkpoint={tiny_weights}"]
    arguments = ["augreg_vitt16_ttr_lost_voc07", *photos, "--out", str(tmp_path)]
    assert main(["predict", *arguments, "--cfg-options", *options]) == 0
    boxes = json.loads((tmp_path / "boxes.json").read_text())
    assert list(boxes) == ["bird_1.jpg", "cat_1.jpg"]
    for name, (x1, y1, x2, y2) in boxes.items():
        height, width = cv2.imread(str(shared / "data/photos" / name)).shape[:2]
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
    assert cv2.imread(str(tmp_path / "pictures/cat_1.png")).std() > 20
