"""A cache by itself: what is a hit, what is computed, and what happens to damaged files."""

from __future__ import annotations

import errno
import json
import logging
import sys
from pathlib import Path

import pytest
import torch

from ttr_backbones.backbones.feature_cache import FeatureCache
from ttr_backbones.errors import InputError


class Backbone:
    """Two maps per image, laid out as a ViT's: tokens by channels. It counts the images."""

    def __init__(self):
        self.seen = []

    def __call__(self, images):
        self.seen.append(len(images))
        tokens = images.flatten(2).transpose(1, 2).contiguous()  # [B, hw, C]
        first = (tokens * 3).transpose(1, 2).unflatten(2, images.shape[2:])
        return [first, (images - 0.1).bfloat16()]


@pytest.fixture
def backbone():
    return Backbone()


@pytest.fixture
def told(caplog, monkeypatch):
    """What is told through mmengine's logger."""
    monkeypatch.setattr(
        "ttr_backbones.backbones.feature_cache.print_log",
        lambda message, logger, level: logging.getLogger().log(level, message),
    )
    return lambda: [record.getMessage() for record in caplog.records]


def images(count, seed=0, size=(3, 5)):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def cache(folder, **described):
    return FeatureCache(folder, lambda: {"weights": "w", **described})


def files(folder):
    return sorted(folder.rglob("*.safetensors"))


def same(given, expected):
    for one, other in zip(given, expected, strict=True):
        assert one.dtype == other.dtype
        assert one.stride() == other.stride(), "the layout decides how sums are rounded"
        assert torch.equal(one, other)


def test_a_hit_is_the_miss_before_it_bit_for_bit(tmp_path, backbone):
    batch = images(4)
    miss = cache(tmp_path)(batch, backbone)
    same(miss, Backbone()(batch))
    again = cache(tmp_path)
    same(again(batch, backbone), miss)
    assert backbone.seen == [4]
    assert again.counts == (4, 0, 4 * 3 * 15 * (4 + 2), 0)
    assert str(again.counts).startswith("4 of 4 inputs were there")


def test_only_the_images_that_are_missing_are_computed_and_the_order_is_kept(tmp_path, backbone):
    batch = images(5)
    cache(tmp_path)(batch[[3, 1]], backbone)
    given = cache(tmp_path)(batch, backbone)
    assert backbone.seen == [2, 3]
    same(given, Backbone()(batch))
    same(cache(tmp_path)(batch.flip(0), backbone), Backbone()(batch.flip(0)))
    assert backbone.seen == [2, 3]


def test_an_image_is_its_values_its_shape_and_its_dtype(tmp_path, backbone):
    batch = images(1)
    other = batch.clone()
    other[0, 0, 0, 0] += 1e-6
    for given in (batch, other, batch.reshape(1, 3, 5, 3), batch.double()):
        cache(tmp_path)(given, backbone)
    assert backbone.seen == [1, 1, 1, 1]


def test_whatever_determines_the_maps_is_part_of_the_key(tmp_path, backbone):
    batch = images(1)
    cache(tmp_path)(batch, backbone)
    cache(tmp_path, registers={"6": [189]})(batch, backbone)
    cache(tmp_path)(batch, backbone, request=[[11, "token"]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cache(tmp_path)(batch, backbone)
    assert backbone.seen == [1, 1, 1, 1]
    kinds = list(tmp_path.iterdir())
    assert len(kinds) == 4
    told = [json.loads((kind / "description.json").read_text()) for kind in kinds]
    assert {one["weights"] for one in told} == {"w"}
    assert sorted(one.get("registers", {}) != {} for one in told) == [False, False, False, True]


def test_what_is_described_is_asked_at_every_call(tmp_path, backbone):
    state = {"weights": "first"}
    changing = FeatureCache(tmp_path, lambda: state)
    changing(images(1), backbone)
    state["weights"] = "second"
    changing(images(1), backbone)
    state["weights"] = "first"
    changing(images(1), backbone)
    assert backbone.seen == [1, 1]


@pytest.mark.parametrize("damage", ["cut", "emptied", "no safetensors", "a byte of data"])
def test_a_damaged_file_is_computed_anew_and_told_once(tmp_path, backbone, told, damage):
    batch = images(3)
    miss = cache(tmp_path)(batch, backbone)
    for file in files(tmp_path)[:2]:
        content = file.read_bytes()
        changed = content[:-1] + bytes([content[-1] ^ 1])
        file.write_bytes(
            {
                "cut": content[:-20],
                "emptied": b"",
                "no safetensors": b"\0" * len(content),
                "a byte of data": changed,
            }[damage]
        )
    second = cache(tmp_path)
    same(second(batch, backbone), miss)
    assert backbone.seen == [3, 2]
    assert len(told()) == 1
    assert "is damaged" in told()[0]
    assert cache(tmp_path)(batch, backbone)
    assert backbone.seen == [3, 2], "it was mended"


def test_any_changed_byte_is_noticed(tmp_path, backbone, told):
    batch = images(1, size=(1, 2))
    miss = cache(tmp_path)(batch, backbone)
    (file,) = files(tmp_path)
    content = file.read_bytes()
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        same(cache(tmp_path)(batch, backbone), miss)
        file.write_bytes(content)


def test_a_full_disk_is_told_once_and_the_run_goes_on(tmp_path, backbone, told, monkeypatch):
    batch = images(4)
    cache(tmp_path)(batch[:1], backbone)

    def full(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(Path, "open", full)
    cached = cache(tmp_path)
    same(cached(batch, backbone), Backbone()(batch))
    same(cached(batch, backbone), Backbone()(batch))
    assert backbone.seen == [1, 3, 3]
    assert len(told()) == 1
    assert "no space is left" in told()[0]
    assert "goes on without keeping more maps" in told()[0]
    assert len(files(tmp_path)) == 1
    assert not list(tmp_path.rglob("*.partial"))


def test_a_file_in_place_of_the_folder_is_refused_at_once(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file, expected a folder"):
        cache(tmp_path / "file")


def fill(folder):
    """Ask for the same maps again and again, with a cache that is opened anew each time."""
    for step in range(30):
        batch = torch.arange(6 * 3 * 64.0).view(6, 3, 8, 8) + (step % 7)
        (maps,) = cache(folder)(batch, lambda images: [images * 3])
        assert torch.equal(maps, batch * 3), step


def test_several_processes_share_a_folder(tmp_path, two_processes, monkeypatch):
    monkeypatch.setattr(
        "ttr_backbones.backbones.feature_cache.print_log",
        lambda message, logger, level: sys.stdout.write(message),
    )
    outcomes = two_processes(fill, tmp_path, join=False)
    assert not any("damaged" in outcome.out for outcome in outcomes)
    assert len(files(tmp_path)) == 7 * 6
