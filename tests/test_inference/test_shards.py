"""What the reader of features says about paths and names."""

import json

import pytest
import torch

from ttr_backbones import SavedFeatures
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.inference.shards import Shards

NAMES = ["a.jpg", "b.jpg", "c.jpg"]


@pytest.fixture
def features(tmp_path):
    shards = Shards(tmp_path, NAMES, 2, {"model": "m"})
    for number in shards.missing():
        names = shards.images(number)
        shards.write(number, {name: torch.full((1, 2, 3), ord(name[0])) for name in names}, {})
    assert shards.finish()
    return SavedFeatures(tmp_path)


def test_reader__is_a_mapping(features, tmp_path):
    assert list(features) == features.names == NAMES
    assert "c.jpg" in features
    assert [int(feature[0, 0, 0]) for feature in features.values()] == [97, 98, 99]
    assert features.settings == {"model": "m"}
    by_index = SavedFeatures(tmp_path / "index.json")
    assert by_index["b.jpg"].shape == features.shape("b.jpg") == (1, 2, 3)
    with pytest.raises(KeyError, match=r"unknown image 'd\.jpg'"):
        features["d.jpg"]


def test_processes__share_all_shards(tmp_path):
    shards = Shards(tmp_path, [f"{number}.jpg" for number in range(11)], 2, {})
    parts = [shards.missing(rank, 4) for rank in range(4)]
    assert sorted(number for part in parts for number in part) == list(range(6))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_index__that_is_none(tmp_path):
    with pytest.raises(MissingFileError, match="`ttrb features` writes it"):
        SavedFeatures(tmp_path)
    (tmp_path / "index.json").write_text(json.dumps({"weight_map": {}}))
    with pytest.raises(InputError, match="is no index of `ttrb features`"):
        SavedFeatures(tmp_path)
    with pytest.raises(InputError, match="is no index of `ttrb features`"):
        Shards(tmp_path, NAMES, 2, {})
    (tmp_path / "features").touch()
    with pytest.raises(
        InputError, match=r"is a file: expected a folder, or a file that ends in \.j"
    ):
        SavedFeatures(tmp_path / "features")
