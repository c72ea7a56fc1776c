"""What a file says of itself."""

import hashlib
import json

import torch

from ttr_backbones.export.metadata import about


def test_about__is_flat_text_and_json(make_exportable):
    exportable = make_exportable("lin4", pos_embed="dinov2")
    told = about(exportable, (48, 64), 2)
    assert all(isinstance(value, str) for value in told.values())
    assert told["input"].startswith(
        "image: float32 [2, 3, H, W], RGB on the scale 0..255, H, W = 48, 64"
    )
    assert told["output"].startswith("depth: float32 [B, 1, H, W]: metres")
    assert told["not_inside"].endswith("the average with the mirrored image")
    assert json.loads(told["mean"]) == [120.0, 110.0, 100.0]
    assert json.loads(told["repair"])["layers"] == {"0": [3, 70], "1": [7]}
    assert json.loads(told["blocks"]) == [0, 1, 2, 3]
    assert json.loads(told["versions"])["torch"] == torch.__version__
    assert told["checkpoint"] == "head.pth"
    content = exportable.checkpoint.read_bytes()
    assert told["checkpoint_sha256"] == hashlib.sha256(content).hexdigest()
    assert told["pos_embed"] == "dinov2"


def test_about__any_size_without_a_checkpoint(make_exportable):
    told = about(make_exportable(None, pad="corner"), None, None)
    assert "image: float32 [B, 3, H, W]" in told["input"]
    assert "any H and W" in told["input"]
    assert told["output"].startswith("map_0, map_1, ...: ")
    assert not {"checkpoint", "checkpoint_sha256", "classes", "not_inside"} & told.keys()
