"""mmseg, mmcv-lite and torchvision import here; in a new process: tests/test_imports.py."""

import importlib.util
import os
import sys

import pytest
import torch

from ttr_backbones import compat
from ttr_backbones.errors import InputError


def test_prepare_mmseg__keeps_a_users_own_setting(monkeypatch):
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "0")
    compat.prepare_mmseg.__wrapped__()
    assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "0"


def test_prepare_mmseg__full_mmcv_is_left_alone(monkeypatch):
    monkeypatch.delitem(sys.modules, "mmcv.ops", raising=False)
    monkeypatch.setattr(compat.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(compat, "prepare_torchvision", lambda: None)
    monkeypatch.setattr(
        compat, "_import_mmcv_ops_without_extension", lambda: pytest.fail("touched a full mmcv")
    )
    compat.prepare_mmseg.__wrapped__()
    assert "mmcv.ops" not in sys.modules


def test_missing_extension__raises_only_when_called():
    compat.prepare_mmseg()
    if compat.importlib.util.find_spec("mmcv._ext") is not None:
        pytest.skip("a full mmcv is installed")
    import mmcv.ops

    with pytest.raises(RuntimeError, match="'nms' was called, but mmcv-lite"):
        mmcv.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)


def test_prepare_torchvision__another_failure_is_not_hidden(monkeypatch):
    def broken(name):
        raise RuntimeError("something else")

    monkeypatch.setattr(compat.importlib, "import_module", broken)
    with pytest.raises(RuntimeError, match="something else"):
        compat.prepare_torchvision.__wrapped__()


def test_prepare_torchvision__mends_and_imports_again(monkeypatch):
    calls = []

    def fails_once(name):
        calls.append(name)
        if len(calls) == 1:
            raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(compat.importlib, "import_module", fails_once)
    monkeypatch.setattr(compat, "_declare_torchvision_operators", lambda: calls.append("mend"))
    compat.prepare_torchvision.__wrapped__()
    assert calls == ["torchvision", "mend", "torchvision"]


def test_base_of_a_package__needs_no_pkg_resources(tmp_path, monkeypatch):
    from mmengine.config import config

    before = config.is_installed, config.get_installed_path
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, *more: None if name == "pkg_resources" else find_spec(name, *more),
    )
    path = tmp_path / "a.py"
    path.write_text('_base_ = ["mmseg::_base_/models/fcn_unet_s5-d16.py"]')
    assert compat.config_from_file(path).model.decode_head.type == "FCNHead"
    path.write_text('_base_ = ["mmsge::_base_/models/fcn_unet_s5-d16.py"]')
    with pytest.raises(InputError, match=r"not support to load mmsge config\. Bases.* mmseg::"):
        compat.config_from_file(path)
    path.write_text('_base_ = ["mmseg::a.py"]')
    with pytest.raises(InputError, match="please specify the package name and relative config"):
        compat.config_from_file(path)
    path.write_text('_base_ = ["mmrotate::_base_/a.py"]')
    with pytest.raises(InputError, match="no package 'mmrotate' is installed"):
        compat.config_from_file(path)
    assert before == (config.is_installed, config.get_installed_path)
