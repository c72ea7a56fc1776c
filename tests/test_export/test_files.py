"""What is in the files: names, free sides, the description; what cannot be written."""

import json

import onnx
import onnxruntime
import pytest
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.export import MismatchError
from ttr_backbones.export.files import (
    ABOUT,
    check_opset,
    open_onnx,
    open_pt2,
    write_onnx,
    write_pt2,
)
from ttr_backbones.export.trace import trace


@pytest.fixture(scope="module")
def exportable(make_exportable):
    return make_exportable("linear")


@pytest.fixture(scope="module")
def program(exportable):
    return trace(exportable, size=(32, 48))


@pytest.mark.exports
def test_onnx__names_sides_and_description(exportable, program, tmp_path, random_images):
    path = tmp_path / "model.onnx"
    write_onnx(program, path, {"model": "ViT", "classes": '["é"]'}, outputs=["logits"], opset=18)
    session = onnxruntime.InferenceSession(path)
    [image], [logits] = session.get_inputs(), session.get_outputs()
    assert (image.name, image.shape, image.type) == ("image", ["batch", 3, 32, 48], "tensor(float)")
    assert (logits.name, logits.shape) == ("logits", ["batch", 7, 32, 48])
    assert session.get_modelmeta().custom_metadata_map == {"model": "ViT", "classes": '["é"]'}
    assert onnx.load(path).opset_import[0].version == 18
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert b".py" not in path.read_bytes(), "no names of this machine's files"
    images = random_images(3, 32, 48)
    expected = exportable.eager(images)["logits"]
    tolerance = 1e-4 * expected.abs().max().item()
    torch.testing.assert_close(open_onnx(path)(images)["logits"], expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("opset", [11, 17, 99])
def test_onnx__opset_that_is_not_written(opset):
    with pytest.raises(InputError, match=f"--opset {opset}: torch .* write 18 to "):
        check_opset(opset)


@pytest.mark.exports
@pytest.mark.nightly
def test_onnx__opset_that_torch_replaces(program, tmp_path):
    """As it does with a mere line in the log, if a conversion fails."""
    with pytest.raises(InputError, match=r"--opset 17: torch .* wrote 18 instead"):
        write_onnx(program, tmp_path / "model.onnx", {}, outputs=["logits"], opset=17)
    assert not list(tmp_path.iterdir())


@pytest.mark.exports
def test_onnx__opset_that_is_replaced(tmp_path, monkeypatch):
    """As torch replaces it where it cannot convert, which only a larger model shows."""
    export = torch.onnx.export

    def replacing(*args, opset_version, **kwargs):
        return export(*args, opset_version=18, **kwargs)

    class Brighter(torch.nn.Module):
        def forward(self, image):
            return image + 1

    monkeypatch.setattr(torch.onnx, "export", replacing)
    small = torch.export.export(Brighter(), (torch.zeros(2, 3, 4, 4),))
    with pytest.raises(InputError, match=r"--opset 17: torch .* wrote 18 instead"):
        write_onnx(small, tmp_path / "model.onnx", {}, outputs=["logits"], opset=17)
    assert not list(tmp_path.iterdir())


@pytest.mark.exports
def test_onnx__onnxscript_that_does_not_fit(program, tmp_path, monkeypatch):
    def export(*args, **kwargs):
        raise ModuleNotFoundError("No module named 'onnxscript._framework_apis.torch_9_9'")

    monkeypatch.setattr(torch.onnx, "export", export)
    with pytest.raises(InputError, match=r"torch_9_9.*: pip install --upgrade onnxscript"):
        write_onnx(program, tmp_path / "model.onnx", {}, outputs=["logits"])


def test_onnx__that_is_none(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"none")
    with pytest.raises(MismatchError, match="onnxruntime cannot load it"):
        open_onnx(tmp_path / "model.onnx")


@pytest.mark.exports
def test_pt2__description_and_sides(program, tmp_path, random_images):
    path = tmp_path / "model.pt2"
    write_pt2(program, path, {"model": "ViT"})
    extra = {ABOUT: ""}
    torch.export.load(path, extra_files=extra)
    assert json.loads(extra[ABOUT]) == {"model": "ViT"}
    assert b'.py"' not in path.read_bytes()
    run = open_pt2(path)
    assert run(random_images(3, 32, 48))["logits"].shape == (3, 7, 32, 48)
    with pytest.raises(Exception, match=r"image.size\(\)\[2\] == 32"):
        run(random_images(3, 48, 48))
