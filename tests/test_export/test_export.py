"""Exported files equal their models, at sizes and numbers of images that nobody traced."""

import json

import onnxruntime
import pytest
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.export import check, check_target, export_model, load_exportable
from ttr_backbones.export.files import open_onnx, open_pt2
from ttr_backbones.export.metadata import about
from ttr_backbones.repairs import apply_repair, fit_repair

pytestmark = pytest.mark.exports

TTR = {
    "logits": "augreg_vitt16_ttr_linear_ade20k_200it",
    "depth": "augreg_vitt16_ttr_lin1_nyu_200it",
}
BIAS = ["model.backbone.repair.type=bias", "model.backbone.repair.neurons=None"]
HEADS = {
    "logits": {
        **{f"bn.{name}": (192,) for name in ("weight", "bias", "running_mean", "running_var")},
        "conv_seg.weight": (150, 192, 1, 1),
        "conv_seg.bias": (150,),
    },
    "depth": {"conv_depth.weight": (256, 384, 1, 1), "conv_depth.bias": (256,)},
}


def opened(path):
    return open_onnx(path) if path.suffix == ".onnx" else open_pt2(path)


def assert_equal(run, exportable, images):
    outputs, expected = run(images), exportable.eager(images)
    assert outputs.keys() == expected.keys()
    for name, output in outputs.items():
        largest = expected[name].abs().max().item()
        torch.testing.assert_close(output, expected[name], rtol=0, atol=1e-4 * largest)


CASES = {
    "ms.onnx": ("ms", {"pos_embed": "dinov2", "pad": "center", "crop": True}),
    "dpt.onnx": ("dpt", {"pos_embed": "timm", "pad": "corner"}),
    "key.pt2": (None, {"pos_embed": "dinov2", "pad": "corner", "facet": "key"}),
}


@pytest.fixture(scope="module")
def any_size(make_exportable, tmp_path_factory):
    """Export a case; give the file for every size, its exportable and what was compared."""
    folder, exported = tmp_path_factory.mktemp("any_size"), {}

    def export(name):
        if name not in exported:
            head, options = CASES[name]
            exportable = make_exportable(head, **options)
            differences = export_model(exportable, folder / name, any_size=True)
            exported[name] = (folder / name, exportable, differences)
        return exported[name]

    return export


# The graphs of all heads are tested at any size, and their tracing: this is torch's writing.
@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        "key.pt2",
        *(pytest.param(name, marks=pytest.mark.nightly) for name in ("ms.onnx", "dpt.onnx")),
    ],
)
def test_any_size__equals_the_model(any_size, random_images, case):
    path, exportable, _ = any_size(case)
    run = opened(path)
    for shape in ((1, 64, 96), (3, 80, 48), (2, 61, 177), (4, 48, 48)):
        assert_equal(run, exportable, random_images(*shape))
    if case == "ms.onnx":  # even single patches
        for shape in ((1, 16, 16), (2, 3, 40)):
            assert_equal(run, exportable, random_images(*shape))


def test_any_size__maps_have_no_classes(any_size):
    assert any_size("key.pt2")[2][0].equal_classes is None


@pytest.mark.nightly
def test_any_size__compared_where_it_could_go_wrong(any_size):
    differences = any_size("ms.onnx")[2]
    assert [one.shape for one in differences] == [(2, 3, 80, 64), (1, 3, 88, 97), (3, 3, 64, 96)]
    assert all(0 < one.relative < check.TOLERANCE for one in differences)
    assert differences[0].equal_classes > 0.999


@pytest.mark.nightly
def test_any_size__says_what_it_is(any_size):
    path, exportable, _ = any_size("ms.onnx")
    said = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert said == about(exportable, None, None)


@pytest.mark.nightly
def test_one_size__number_of_images_and_weights_beside(
    make_exportable, tmp_path, monkeypatch, random_images
):
    """The crop of a padded map too, which is resampled by a grid here, and constant registers."""
    from torch.onnx._internal.exporter import _onnx_program

    monkeypatch.setattr(_onnx_program, "_LARGE_MODEL_THRESHOLD", 1000)
    options = {"pos_embed": "dinov2", "pad": "center", "crop": True, "repair": None}
    exportable = make_exportable("lin4", **options)
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    neurons = {"neurons": {0: [3, 70], 1: [7]}}
    plain = exportable.eager(random_images(2, 50, 131))["depth"]
    apply_repair(
        exportable.backbone.vit, fit_repair("bias", exportable.backbone.vit, images, **neurons)
    )
    assert not torch.allclose(
        exportable.eager(random_images(2, 50, 131))["depth"], plain, rtol=1e-3
    )
    out = tmp_path / "new" / "model.onnx"
    differences = export_model(exportable, out, size=(50, 131), batch=2)
    assert [difference.shape for difference in differences] == [(2, 3, 50, 131)]
    assert sorted(file.name for file in out.parent.iterdir()) == ["model.onnx", "model.onnx.data"]
    assert_equal(open_onnx(out), exportable, random_images(2, 50, 131))
    [image] = onnxruntime.InferenceSession(out).get_inputs()
    assert image.shape == [2, 3, 50, 131]


@pytest.fixture(scope="module")
def real(tiny_weights, tmp_path_factory):
    """{output: its exportable}, of the real ViT and random heads."""
    folder = tmp_path_factory.mktemp("real")
    exportables = {}
    for output, form in (("logits", []), ("depth", BIAS)):
        torch.manual_seed(0)
        state = {f"decode_head.{n}": torch.randn(size).abs() for n, size in HEADS[output].items()}
        state[next(name for name in state if "conv" in name)].normal_(std=0.02)
        torch.save(state, folder / f"{output}.pth")
        exportables[output] = load_exportable(
            TTR[output],
            folder / f"{output}.pth",
            cfg_options=[
                f"model.backbone.checkpoint={tiny_weights}",
                "model.backbone.pretrained=False",
                *form,
            ],
        )
    return exportables


@pytest.fixture(scope="module")
def real_files(real, tmp_path_factory):
    """{output: file for every size}."""
    folder = tmp_path_factory.mktemp("real_files")
    for output, exportable in real.items():
        export_model(exportable, folder / f"{output}.onnx", any_size=True, size=(96, 96))
    return {output: folder / f"{output}.onnx" for output in real}


@pytest.mark.nightly
@pytest.mark.parametrize("size", [(224, 224), (161, 300)], ids=str)
@pytest.mark.parametrize("output", ["logits", "depth"])
def test_real_vit_with_register_and_head__on_photographs(real_files, real, photos, output, size):
    exportable, exported = real[output], open_onnx(real_files[output])
    images = torch.nn.functional.interpolate(photos(224)[:2], size) * 127.5 + 127.5
    assert_equal(exported, exportable, images)
    if output == "logits":
        classes = [run(images)["logits"].argmax(1) for run in (exported, exportable.eager)]
        assert (classes[0] == classes[1]).float().mean() > 0.9999


def test_real_vit__registers_in_either_form_are_told(real):
    told = {output: about(exportable, (96, 96), None) for output, exportable in real.items()}
    registers = {output: json.loads(facts["repair"]) for output, facts in told.items()}
    assert registers["logits"]["peak"] == "neuron"
    assert registers["depth"]["type"] == "bias"
    assert registers["logits"]["layers"] == registers["depth"]["layers"]
    assert json.loads(told["logits"]["classes"])[0] == "wall"
    assert json.loads(told["logits"]["mean"]) == [127.5] * 3
    assert "classes" not in told["depth"]
    for facts in told.values():
        assert facts["model"] == "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
        assert len(facts["weights_sha256"]) == len(facts["checkpoint_sha256"]) == 64


@pytest.mark.parametrize("name", ["model.pth", "model"])
def test_target__of_another_suffix(tmp_path, name):
    with pytest.raises(InputError, match=r"unknown suffix '.*'\. .*Known: \.onnx, \.pt2"):
        check_target(tmp_path / name)


def test_target__that_is_a_folder(tmp_path):
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(InputError, match="is a folder: expected a file"):
        check_target(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (0, 32)}, r"size=\(0, 32\), batch=None: expected numbers above 0"),
        ({"batch": -1}, "batch=-1"),
        ({"opset": 18}, "--opset 18 is for .onnx files"),
    ],
)
def test_wrong_numbers(make_exportable, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        export_model(make_exportable("linear"), tmp_path / "model.pt2", **options)
