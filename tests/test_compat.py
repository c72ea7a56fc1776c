"""mmseg, mmcv-lite and torchvision import here, and no checkpoint is unpickled unasked."""

import os
import pathlib
import subprocess
import sys

import pytest
import torch

from ttr_backbones import compat
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.safe_load import TRUST_PICKLE, load_checkpoint_file


def run_python(code, **env):
    result = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **env},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_prepare_mmseg__fresh_process_imports_mmseg_and_stays_truthful():
    out = run_python(
        "import sys, os\n"
        "os.environ.pop('NO_ALBUMENTATIONS_UPDATE', None)\n"
        "from ttr_backbones.compat import prepare_mmseg\n"
        "prepare_mmseg(); prepare_mmseg()\n"
        "assert 'mmseg' not in sys.modules\n"
        "import mmseg.models, mmseg.apis, mmseg.datasets\n"
        "from importlib.util import find_spec\n"
        "from mmengine.utils.dl_utils import mmcv_full_available\n"
        "assert mmcv_full_available() == (find_spec('mmcv._ext') is not None)\n"
        "assert 'mmcv._ext' not in sys.modules or mmcv_full_available()\n"
        "print(os.environ['NO_ALBUMENTATIONS_UPDATE'])\n"
    )
    assert out.split()[-1] == "1"


def test_prepare_mmseg__keeps_a_users_own_setting():
    code = (
        "import os; from ttr_backbones.compat import prepare_mmseg; prepare_mmseg()\n"
        "print(os.environ['NO_ALBUMENTATIONS_UPDATE'])\n"
    )
    assert run_python(code, NO_ALBUMENTATIONS_UPDATE="0").split()[-1] == "0"


def test_prepare_mmseg__full_mmcv_is_left_alone(monkeypatch):
    monkeypatch.delitem(sys.modules, "mmcv.ops", raising=False)
    monkeypatch.setattr(compat.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(compat, "prepare_torchvision", lambda: None)
    monkeypatch.setattr(compat, "_register_safe_loaders", lambda: None)
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


def read_by_mmengine(path):
    from mmengine.runner import CheckpointLoader

    compat.prepare_mmseg()
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
    compat.prepare_mmseg()
    fetched = []

    def download(url, target):
        fetched.append(url)
        torch.save({"w": torch.ones(1)}, target)

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):
        assert read_by_mmengine("https://example.org/a/head.pth?x=1")["w"].item() == 1
    assert fetched == ["https://example.org/a/head.pth?x=1"]


def test_loader__no_network_says_where_to_put_the_file(tmp_path, monkeypatch):
    def download(url, target):
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(InputError, match=r"no route.*put it at .*head\.pth"):
        compat.load_from_http("https://example.org/head.pth")
