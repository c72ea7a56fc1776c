"""TorchScript archives give their tensors, and nothing in them runs."""

from __future__ import annotations

import pickle
import zipfile

import pytest
import torch
from torch import nn

from ttr_backbones.errors import InputError
from ttr_backbones.safe_load import load_checkpoint_file
from ttr_backbones.safe_load.inert_unpickler import Inert

MARK = "ttr_backbones_scripted_setstate_ran.bin"


class Nested(nn.Module):
    """Every kind of part that a published archive has."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.tied = self.linear
        self.blocks = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        self.register_buffer("halves", torch.arange(6).half().view(2, 3).t())
        self.register_buffer("flag", torch.tensor([True, False]))
        self.register_buffer("nothing", torch.empty(0, 3))
        self.numbers, self.name = [1, 2], "x"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


class WritesWhenLoaded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, bool]:
        return self.weight, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
        self.weight, self.training = state
        torch.save(self.weight, "ttr_backbones_scripted_setstate_ran.bin")


def test_torchscript__gives_the_state_dict(tmp_path):
    module = torch.jit.script(Nested())
    module.save(str(tmp_path / "nested.pt"))
    tensors = load_checkpoint_file(tmp_path / "nested.pt")
    expected = torch.jit.load(str(tmp_path / "nested.pt")).state_dict()
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)


def test_torchscript__code_that_runs_at_loading_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.jit.script(WritesWhenLoaded()).save("evil.pt")
    torch.jit.load("evil.pt")
    (tmp_path / MARK).unlink()  # so torch's own reader does run it
    for trusted in ("0", "1"):
        monkeypatch.setenv("TTRB_TRUST_PICKLE", trusted)
        with pytest.raises(InputError, match=r"packs its own state .*WritesWhenLoaded.*not run"):
            load_checkpoint_file("evil.pt")
    assert not (tmp_path / MARK).exists()


class Call:
    def __init__(self, function, *args) -> None:
        self.reduced = function, args

    def __reduce__(self):
        return self.reduced


def rewritten(source, target, change):
    """Copy an archive, each entry's bytes changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            new.writestr(entry.filename, change(entry.filename, old.read(entry)))


def test_torchscript__a_pickle_in_it_imports_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.jit.script(Nested()).save("nested.pt")
    evil = pickle.dumps({"w": Call(open, "written", "w")}, protocol=2)
    rewritten("nested.pt", "evil.pt", lambda name, raw: evil if "data.pkl" in name else raw)
    with pytest.raises(InputError, match="holds a dict, not a module"):
        load_checkpoint_file("evil.pt")
    assert not (tmp_path / "written").exists()


def test_torchscript__a_module_that_contains_itself_ends(tmp_path):
    torch.jit.script(Nested()).save(str(tmp_path / "nested.pt"))
    # Protocol 2: a class of TorchScript, made, memorised, filled with itself.
    loop = b"\x80\x02c__torch__\nA\n)\x81q\x00}X\x01\x00\x00\x00ah\x00sb."
    rewritten(
        tmp_path / "nested.pt",
        tmp_path / "loop.pt",
        lambda name, raw: loop if "data.pkl" in name else raw,
    )
    with pytest.raises(InputError, match="packs its own state"):
        load_checkpoint_file(tmp_path / "loop.pt")


def test_inert__has_no_way_to_the_class_it_stands_for():
    assert not hasattr(Inert(), "system")
    assert pickle.loads(pickle.dumps(Inert())).__dict__ == {}
