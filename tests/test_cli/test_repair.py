"""`ttrb repair` on the real ViT: the artifact, the table, the verdict, and every error."""

import shutil

import cv2
import pytest
from safetensors.torch import save_file

from ttr_backbones.backbones import create_vit
from ttr_backbones.cli import main
from ttr_backbones.registers import BakedRegisters, RegisterNeurons, bake_registers
from ttr_backbones.repairs import load_repair
from ttr_backbones.report.loss_picture import draw_loss, loss_line

MODEL = "vit_tiny_patch16_224"
TAG = f"{MODEL}.augreg_in21k_ft_in1k"


@pytest.fixture(scope="module")
def photos(shared, tmp_path_factory):
    """Three photographs."""
    folder = tmp_path_factory.mktemp("photos")
    for file in sorted((shared / "data" / "photos").iterdir())[:3]:
        shutil.copy(file, folder)
    return folder


@pytest.fixture
def repair(tiny_weights, photos, tmp_path):
    """Call it with options; it returns the exit code, and the file is at tmp_path."""

    def call(kind, model, *options, images=photos, out=tmp_path / "new" / "made.safetensors"):
        given = ["--checkpoint", tiny_weights, "--images", images, "--out", out, *options]
        return main(["repair", kind, model, *map(str, given)])

    return call


@pytest.fixture
def baked(tmp_path):
    return lambda: BakedRegisters.of(load_repair(tmp_path / "new" / "made.safetensors"))


def test_repair__the_artifact_the_table_and_the_verdict(
    repair, baked, tiny_weights, photos, shared, tmp_path, capsys
):
    others = tmp_path / "others"
    others.mkdir()
    for file in sorted((shared / "data" / "coco" / "val2017").iterdir())[:4]:
        shutil.copy(file, others)
    assert repair("bias", MODEL, "--neurons", "auto", "--compare-on", others) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = shown.out.splitlines()
    path = tmp_path / "new" / "made.safetensors"
    assert lines[0] == f"wrote {path}, to be used as repair=dict(type='bias', artifact='{path}')"
    assert lines[2].startswith("4 images of 224 x 224 px; an outlier patch has a norm above ")
    rows = {line[:31].strip(): line[31:].replace(" %", "%").split() for line in lines[4:]}
    for measure in ("outlier patches, by norm", "outlier patches, by direction"):
        before, after, shift = rows[measure]
        assert after == "0%" != before
        assert shift != "0%"
    before, after, _ = map(float, rows["largest patch norm"])
    assert before > 500 > 50 > after
    assert rows["images seen"] == ["3"]
    assert rows["parameters trained"] == rows["tokens added"] == ["0"]
    told = " ".join(shown.out.split())
    assert "Removes the outliers: by their norm" in told
    assert "No token is added, weights change, and a pass takes" in told

    vit, listed = create_vit(TAG, checkpoint=tiny_weights), RegisterNeurons.bundled(TAG)
    expected = bake_registers(vit, listed, photos)
    assert (baked().model, baked().layers, baked().artifact.sha256) == (
        TAG,
        listed.layers,
        expected.artifact.sha256,
    )
    baked().check(vit)
    assert baked().provenance["verdict"] in told


def test_repair__options_doubts_and_a_list_in_a_format_of_its_own(repair, baked, tmp_path, capsys):
    listed = RegisterNeurons(TAG, {6: [189], 7: [417]}, {"num_registers": 2, "input_size": 518})
    listed.save(tmp_path / "own.json")
    options = ["--neurons", tmp_path / "own.json", "--num-images", 1, "--size", 96]
    assert repair("bias", TAG, *options, "--peak", "layer", "--scale", "1,0.5") == 0
    assert "found at 518 px, this run is at 96 px" in capsys.readouterr().err
    assert baked().options == {"num": 2, "peak": "layer", "scale": [1.0, 0.5]}
    assert baked().neurons.provenance["input_size"] == 518
    out = tmp_path / "copy.json"
    assert repair("test_time", TAG, *options, out=out) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"repair=dict(type='test_time', neurons='{out}')" in told
    assert "a pass takes" in told, "nothing was searched, so nothing was held out"
    assert load_repair(out).facts["num"] == 2
    assert repair("test_time", TAG, *options, "--top-k", 3, out=out) == 2
    assert "top_k say how neurons are searched, and `neurons` are given" in capsys.readouterr().err
    assert RegisterNeurons.load(out).layers == listed.layers


def test_repair__a_model_without_outliers(repair, shared, tmp_path, capsys):
    weights = tmp_path / "random.safetensors"
    save_file(create_vit(MODEL).state_dict(), weights)
    given = ("--checkpoint", weights, "--images", shared / "data" / "photos")
    given += ("--num-images", 4, "--size", 96)
    assert repair("bias", TAG, *given) == 3
    shown = capsys.readouterr()
    assert "this model has no outliers" in " ".join(shown.out.split())
    assert "was not written" in shown.err
    assert repair("bias", TAG, *given, "--neurons", "auto") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "The model as it is has no outliers, so there is nothing to remove" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bais", TAG], "unknown type of repair 'bais'. Did you mean 'bias'"),
        (["bias", TAG, "--num", "0", "--neurons", "auto"], "num=0: expected at least 1 register"),
        (["bias", TAG, "--num", "two"], "--num two: expected a whole number"),
        (["bias", TAG, "--peak", "neurn"], "unknown value of --peak 'neurn'. Did you mean 'neuro"),
        (["bias", TAG, "--peek", "neuron"], "unknown option '--peek'. Did you mean '--peak'"),
        (["bias", TAG, "--neurons", "none.json"], "no register-neuron list at none.json"),
        (["bias", TAG, "--compare-on", "nowhere"], "nowhere"),
        (["bias", "vit_tinny"], "unknown timm model or config 'vit_tinny'"),
    ],
)
def test_repair__what_is_wrong_is_explained(repair, capsys, arguments, message):
    assert repair(*arguments) == 2
    assert message in capsys.readouterr().err


def test_repair__a_file_that_cannot_be_written_is_told_first(repair, tmp_path, capsys):
    assert repair("bias", "vit_tinny", out=tmp_path / "made.json") == 2
    assert "expected a file that ends in .safetensors" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert repair("bias", "vit_tinny", out=tmp_path / "file" / "made.safetensors") == 2
    assert "cannot be a folder for results" in capsys.readouterr().err


def test_loss__as_a_line_and_as_a_picture(tmp_path, drawn):
    assert loss_line([(1, 4.0), (2, 2.0), (3, 0.5)]) == "█▄▁ 4 to 0.5 in 3 steps"
    assert loss_line([(1, 1.0)], 1, 1) == "▁ 1 to 1 in 1 steps"
    assert loss_line([(1, 1.0)], 9, 3) == "▁ 1 to 1 in 9 steps, 3 of which trained"
    draw_loss([(1, 4.0), (2, 2.0)], tmp_path / "loss.png", title="made up")
    assert cv2.imread(str(tmp_path / "loss.png")).shape[1] > 900
