"""No checkpoint that mmengine is given is unpickled unasked."""

import pathlib

import pytest
import torch
from mmengine.runner import CheckpointLoader

from ttr_backbones.engine.safe_loading import load_from_http, load_from_local, safe_loaders
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.safe_load import TRUST_PICKLE, load_checkpoint_file


def read_by_mmengine(path):
    with safe_loaders():
        return CheckpointLoader.load_checkpoint(str(path), map_location="cpu")


def test_loader__tensors_in_every_plain_format(tmp_path):
    from safetensors.torch import save_file

    weights = {"w": torch.arange(3.0)}
    torch.save(weights, tmp_path / "new.pth")
    torch.save(weights, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(weights, tmp_path / "flat.safetensors")
    for name in ("new.pth", "old.pth", "flat.safetensors"):
        assert torch.equal(read_by_mmengine(tmp_path / name)["w"], weights["w"])


def test_loader__missing_file(tmp_path):
    with pytest.raises(MissingFileError, match=r"none\.pth does not exist"):
        read_by_mmengine(tmp_path / "none.pth")
    with pytest.raises(MissingFileError, match="is a folder"):
        load_checkpoint_file(tmp_path)


@pytest.mark.parametrize("zipped", [True, False])
def test_loader__pickle_is_refused_by_name_and_read_on_request(tmp_path, monkeypatch, zipped):
    path = tmp_path / "foreign.pth"
    content = {"where": pathlib.PurePosixPath("a")}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"refused: pathlib\.PurePosixPath\..*TTRB_TRUST_PICKLE=1"):
        read_by_mmengine(path)
    monkeypatch.setenv(TRUST_PICKLE, "1")
    assert read_by_mmengine(path) == content


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("page.pth", b"<html>404</html>"),
        ("empty.pth", b""),
        ("pointer.safetensors", b"version https://git-lfs.github.com/spec/v1"),
    ],
)
def test_loader__not_a_checkpoint(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"no readable checkpoint.*fetch it again"):
        load_checkpoint_file(path)


def test_loader__truncated_download(tmp_path):
    path = tmp_path / "cut.pth"
    torch.save({"w": torch.ones(1000)}, path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match="no readable checkpoint"):
        load_checkpoint_file(path)


def test_loader__url_is_downloaded_once_and_read_safely(tmp_path, monkeypatch):
    fetched = []

    def download(url, target):
        fetched.append(url)
        torch.save({"w": torch.ones(1)}, target)

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):
        assert read_by_mmengine("https://example.org/a/head.pth?x=1")["w"].item() == 1
    read_by_mmengine("https://example.org/b/head.pth")  # of the same name, and another file
    assert fetched == ["https://example.org/a/head.pth?x=1", "https://example.org/b/head.pth"]


def test_safe_loaders__mmengines_readers_are_back_after_an_error():
    before = dict(CheckpointLoader._schemes)
    with safe_loaders():
        assert CheckpointLoader._schemes[""] is load_from_local
        with pytest.raises(MissingFileError), safe_loaders():
            CheckpointLoader.load_checkpoint("none.pth")
    assert CheckpointLoader._schemes == before
    assert before[""] is not load_from_local


def test_loader__no_network_says_where_to_put_the_file(tmp_path, monkeypatch):
    def download(url, target):
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(InputError, match=r"no route.*put it at .*head-\w+\.pth"):
        load_from_http("https://example.org/head.pth")
