"""What is missing is said once, with the command that mends it."""

import pytest

from ttr_backbones.errors import InputError
from ttr_backbones.export import check_target, packages
from ttr_backbones.export.packages import missing_packages_reason, require_packages


@pytest.fixture
def without(monkeypatch):
    def hide(*names):
        found = packages.util.find_spec
        monkeypatch.setattr(
            packages.util, "find_spec", lambda name: None if name in names else found(name)
        )

    return hide


@pytest.mark.exports
def test_missing_packages__are_all_named(without, tmp_path):
    without("onnx", "onnxruntime")
    message = (
        "writing .onnx needs packages that are not installed (onnx, onnxruntime): pip install "
        '"ttr_backbones[export]". A .pt2 file needs torch only'
    )
    with pytest.raises(InputError) as caught:
        check_target(tmp_path / "model.onnx")
    assert str(caught.value) == message
    assert not list(tmp_path.iterdir())


@pytest.mark.exports
def test_pt2__needs_none_of_them(without):
    without("onnx", "onnxruntime", "onnxscript")
    require_packages(".pt2")


@pytest.mark.parametrize(
    ("version", "old"),
    [("2.4.1", True), ("2.12.0+cpu", True), ("2.13.0+cpu", False), ("3.0.0", False)],
)
def test_old_torch(monkeypatch, version, old):
    monkeypatch.setattr(packages.metadata, "version", lambda name: version)
    reason = missing_packages_reason(".pt2")
    assert (reason is not None) == old
    assert not old or f"this is {version}: pip install" in reason
