"""Files that declare more than they hold, lead elsewhere, or are no weights: named, never read."""

from __future__ import annotations

import gzip
import io
import pickle
import re
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file

from ttr_backbones.errors import InputError
from ttr_backbones.safe_load import load_checkpoint_file

WEIGHTS = {"w": torch.arange(12.0).view(3, 4)}


def packed_anew(source, target, compression=zipfile.ZIP_STORED, **renamed):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for entry in old.infolist():
            last = entry.filename.rpartition("/")[2]
            new.writestr(renamed.get(last, entry.filename), old.read(entry))


@pytest.mark.parametrize("scripted", [True, False])
def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, scripted, monkeypatch):
    plain, bomb = tmp_path / "plain.pt", tmp_path / "bomb.pt"
    zeros = torch.nn.Linear(2000, 2000)
    torch.nn.init.zeros_(zeros.weight)
    torch.jit.script(zeros).save(str(plain)) if scripted else torch.save(zeros.state_dict(), plain)
    packed_anew(plain, bomb, zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 100_000
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(InputError, match=r"declares 16\d{6} bytes of data in a file of .*zip bomb"):
        load_checkpoint_file(bomb)


def test_an_archive_that_lies_about_its_sizes_is_refused(tmp_path):
    path = tmp_path / "lies.pt"
    torch.save(WEIGHTS, path)
    raw = bytearray(path.read_bytes())
    at = raw.index(b"PK\x01\x02")  # the first entry of the directory; sizes at 20 and 24
    raw[at + 20 : at + 28] = (1 << 30).to_bytes(4, "little") * 2
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"declares 107374\d{4} bytes"):
        load_checkpoint_file(path)


@pytest.mark.parametrize("name", ["../../w", "/etc/w", "C:/w", "a/../../w", "..\\w"])
def test_a_path_out_of_the_archive_is_refused(tmp_path, name):
    torch.save(WEIGHTS, tmp_path / "plain.pt")
    packed_anew(tmp_path / "plain.pt", tmp_path / "odd.pt", **{"0": name})
    with pytest.raises(InputError, match="leads out of the archive"):
        load_checkpoint_file(tmp_path / "odd.pt")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_occurs_twice_is_refused(tmp_path):
    torch.save(WEIGHTS, tmp_path / "twice.pt")
    with zipfile.ZipFile(tmp_path / "twice.pt", "a") as archive:
        archive.writestr("twice/data.pkl", b"")
    with pytest.raises(InputError, match=r"'twice/data\.pkl' occurs twice"):
        load_checkpoint_file(tmp_path / "twice.pt")


def test_a_legacy_file_that_declares_more_than_it_holds_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "old.pth"
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False)
    assert torch.equal(load_checkpoint_file(path)["w"], WEIGHTS["w"])
    raw = path.read_bytes()
    # The string "cpu", memorised, and the storage's 12 elements.
    raw, found = re.subn(rb"(cpuq.)K\x0c", lambda m: m[1] + b"J\0\0\0\x40", raw)
    assert found == 1
    path.write_bytes(raw)
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(InputError, match=rf"declares {4 << 30} bytes of tensors in a file of"):
        load_checkpoint_file(path)


def test_the_bytes_tell_the_format_not_the_suffix(tmp_path):
    torch.save(WEIGHTS, tmp_path / "torch.safetensors")
    # 640 bytes of header start as a pickle does.
    sizes = {int.from_bytes(save(WEIGHTS, {"note": "x" * n})[:8], "little"): n for n in range(600)}
    save_file(WEIGHTS, tmp_path / "flat.pth", {"note": "x" * sizes[640]})
    assert (tmp_path / "flat.pth").read_bytes()[:2] == b"\x80\x02"
    for name in ("torch.safetensors", "flat.pth"):
        assert torch.equal(load_checkpoint_file(tmp_path / name)["w"], WEIGHTS["w"])


def as_tar(_):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../storages"))
    return raw.getvalue()


def as_npz(_):
    raw = io.BytesIO()
    np.savez(raw, w=np.ones(3))
    return raw.getvalue()


def as_zip(_):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("weights.pth", b"x")
    return raw.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (as_tar, "tar archive, as torch wrote before 2018; reading it runs code.*TTRB_TRUST"),
        (as_npz, "NumPy archive"),
        (as_zip, "zip archive without tensors of torch: unpack it"),
        (lambda _: gzip.compress(b"weights"), "compressed: unpack it"),
        (lambda _: b"\x89HDF\r\n\x1a\n rest", "HDF5"),
        (pickle.dumps, "a pickle that torch.save did not write; reading one runs code"),
    ],
)
def test_other_formats_are_named(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    path.write_bytes(content({"w": 1}))
    with pytest.raises(InputError, match=message):
        load_checkpoint_file(path)
