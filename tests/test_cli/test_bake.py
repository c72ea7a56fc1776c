"""`ttrb bake` on the real ViT: the file, the table, configs, and every error."""

import shutil

import pytest
from safetensors.torch import save_file

from ttr_backbones.backbones import create_vit
from ttr_backbones.cli import main
from ttr_backbones.registers import BakedRegisters, RegisterNeurons, bake_registers
from ttr_backbones.repairs import load_repair

MODEL = "vit_tiny_patch16_224"
TAG = f"{MODEL}.augreg_in21k_ft_in1k"
CONFIG = "augreg_vitt16_ttr_linear_ade20k_200it"


@pytest.fixture(scope="module")
def photos(shared, tmp_path_factory):
    """Three photographs."""
    folder = tmp_path_factory.mktemp("photos")
    for file in sorted((shared / "data" / "photos").iterdir())[:3]:
        shutil.copy(file, folder)
    return folder


@pytest.fixture
def bake(tiny_weights, photos, tmp_path):
    """Call it with options; it returns the exit code, and the file is at tmp_path."""

    def call(model, *options, images=photos, out=tmp_path / "new" / "baked.safetensors"):
        given = ["--checkpoint", tiny_weights, "--images", images, "--out", out, *options]
        return main(["bake", model, *map(str, given)])

    return call


@pytest.fixture
def baked(tmp_path):
    return lambda: BakedRegisters.of(load_repair(tmp_path / "new" / "baked.safetensors"))


def test_bake__the_file_and_the_table(bake, baked, tiny_weights, photos, shared, tmp_path, capsys):
    others = tmp_path / "others"
    others.mkdir()
    for file in sorted((shared / "data" / "coco" / "val2017").iterdir())[:4]:
        shutil.copy(file, others)
    assert bake(MODEL, "--compare-on", others) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = shown.out.splitlines()
    assert lines[0] == f"{TAG}: 2 neurons, 1 register, measured on 3 images of 224 px"
    path = tmp_path / "new" / "baked.safetensors"
    assert lines[1] == f"wrote {path}, to be used as repair=dict(type='bias', artifact='{path}')"
    assert lines[3].startswith(f"compared on 4 images ({others}); an outlier patch has a norm abo")
    rows = {line[:32].strip(): line[32:].replace(" %", "%").split() for line in lines[4:]}
    assert rows[""] == ["without", "cleared", "token", "bias"]
    outliers = rows["outlier patches"]
    assert outliers[0] != "0%"
    assert outliers[1:] == ["0%"] * 3
    assert float(rows["largest patch norm"][0]) > 500 > 50 > float(rows["largest patch norm"][3])
    without, cleared, token, bias = map(float, rows["cosine to the tokens' features"])
    assert token == 1 > bias > 0.99 > max(without, cleared)
    assert rows["top-1 class as with tokens"][2] == "100%"

    vit, listed = create_vit(TAG, checkpoint=tiny_weights), RegisterNeurons.bundled(TAG)
    expected = bake_registers(vit, listed, photos)
    assert (baked().model, baked().layers, baked().artifact.sha256) == (
        TAG,
        listed.layers,
        expected.artifact.sha256,
    )
    baked().check(vit)


def test_bake__a_config_s_registers_changed_on_the_command_line(bake, baked, capsys):
    options = ["model.backbone.repair.num=2", "model.backbone.repair.scale=0.5"]
    assert bake(CONFIG, "--cfg-options", *options, "--num-images", 1) == 0
    assert "2 neurons, 2 registers, measured on 1 image" in capsys.readouterr().out
    assert baked().options == {"num": 2, "peak": "neuron", "scale": 0.5}
    bias = ["model.backbone.repair.type=bias", "model.backbone.repair.neurons=None"]
    assert bake(CONFIG, "--cfg-options", *bias, "--num", 3, "--num-images", 1) == 0
    assert baked().num == 3, "the neurons of the constants that ship, measured anew"


def test_bake__a_list_of_its_own_and_doubts_about_it(bake, baked, tmp_path, capsys):
    listed = RegisterNeurons(TAG, {6: [189], 7: [417]}, {"num_registers": 2, "input_size": 518})
    listed.save(tmp_path / "own.json")
    options = ["--neurons", tmp_path / "own.json", "--peak", "layer", "--num-images", 1]
    assert bake(TAG, *options) == 0
    shown = capsys.readouterr()
    assert "2 neurons, 2 registers" in shown.out
    assert "(the same)" in shown.out
    assert "found at 518 px, this run is at 224 px" in shown.err
    assert baked().options == {"num": 2, "peak": "layer", "scale": 1.0}
    assert baked().neurons.provenance["input_size"] == 518


def test_bake__a_model_without_outliers_has_its_file_and_no_table(bake, baked, tmp_path, capsys):
    weights = tmp_path / "random.safetensors"
    save_file(create_vit(MODEL).state_dict(), weights)
    assert bake(TAG, "--checkpoint", weights, "--num-images", 1) == 2
    shown = capsys.readouterr()
    assert "the weights are not the ones that the list was found on" in shown.err
    assert "this model has no outliers" in shown.err
    assert shown.out.count("\n") == 2
    assert baked().num == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([TAG, "--num", "0"], "num=0: expected at least 1 register"),
        ([TAG, "--peak", "neurn"], "unknown peak 'neurn'. Did you mean 'neuron'"),
        ([TAG, "--neurons", "none.json"], "no register-neuron list at none.json"),
        ([TAG, "--compare-on", "nowhere"], "nowhere"),
        (["vit_small_patch16_224.dino"], "`ttrb find-neurons vit_small_patch16_224.dino --images"),
        (["vit_tinny"], "unknown timm model or config 'vit_tinny'"),
        ([CONFIG, "--cfg-options", "model.backbone.repair.keep_cls=True"], "keep_cls=False"),
        ([CONFIG, "--cfg-options", "model.backbone.repair.fill=mean"], "fill='zero' does"),
    ],
)
def test_bake__what_is_wrong_is_explained(bake, capsys, arguments, message):
    assert bake(*arguments) == 2
    assert message in capsys.readouterr().err


def test_bake__a_file_that_cannot_be_written_is_told_first(bake, tmp_path, capsys):
    assert bake("vit_tinny", out=tmp_path / "baked.json") == 2
    assert "expected the name of a safetensors file" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert bake("vit_tinny", out=tmp_path / "file" / "baked.safetensors") == 2
    assert "cannot be a folder for results" in capsys.readouterr().err
