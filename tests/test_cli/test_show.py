"""`ttrb show` on the real ViT: by name and by config, its verdict, its files, its errors."""

import json
import shutil

import pytest

from ttr_backbones.backbones import create_vit
from ttr_backbones.cli import main
from ttr_backbones.registers import RegisterNeurons
from ttr_backbones.repairs import fit_repair

TTR = "augreg_vitt16_ttr"
TAG = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


@pytest.fixture(scope="module")
def two_photos(shared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for file in sorted((shared / "data" / "photos").iterdir())[:2]:
        shutil.copy(file, folder)
    return folder


@pytest.fixture
def show(tiny_weights, two_photos, tmp_path):
    """Call it with options; it returns the exit code."""

    def call(model, *options, images=(two_photos,), checkpoint=True):
        given = ["--images", *images, "--out", tmp_path / "out", *options]
        if checkpoint:
            given += ["--checkpoint", tiny_weights]
        return main(["show", model, *map(str, given)])

    return call


def numbers(tmp_path):
    return json.loads((tmp_path / "out" / "numbers.json").read_text())


def test_show__a_model_and_its_bundled_list(show, tmp_path, capsys):
    assert show(TAG) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "; with one test-time register 0 % (largest " in lines[0]
    assert lines[0].startswith("2.0 % of the patches are outliers (norm above 76 after block 7")
    assert lines[-1] == str(tmp_path / "out" / "report.html")
    assert list(numbers(tmp_path)["registers"]) == ["none", "test_time"]
    assert numbers(tmp_path)["neurons"] == {"6": [189], "7": [417]}


def test_show__a_config_with_options(show, tmp_path, capsys):
    """The config's own registers, its options changed; the weights come from the command line."""
    options = ["--cfg-options", "model.backbone.repair.num=2", "--blocks", "3"]
    options += ["--num-images", "1"]
    assert show("augreg_vitt16_ttr_linear_ade20k", *options) == 0
    assert "with 2 test-time registers 0 %" in capsys.readouterr().out
    assert set(numbers(tmp_path)["registers"]["none"]["attention_entropy"]) == {"3"}
    assert (tmp_path / "out" / "heads_block3.png").is_file()


def test_show__a_config_with_constants_for_registers(show, tmp_path, capsys):
    bias = ["model.backbone.repair.type=bias", "model.backbone.repair.neurons=None"]
    options = ["--num-images", "1", "--blocks", "3", "--cfg-options", *bias]
    assert show("augreg_vitt16_ttr_linear_ade20k", *options) == 0
    shown = capsys.readouterr()
    assert "with one test-time register as bias 0 %" in shown.out
    assert numbers(tmp_path)["neurons"] == {"6": [189], "7": [417]}


def test_show__artifacts_and_several_at_once(show, tmp_path, tiny_weights, two_photos, capsys):
    vit = create_vit(TAG, checkpoint=tiny_weights)
    made = tmp_path / "made.safetensors"
    fit_repair("bias", vit, two_photos, neurons={7: [417]}).save(made)
    small = ["--size", "96", "--num-images", "1"]
    assert show(TAG, "--repairs", f"none,test_time,{made}", *small) == 0
    assert list(numbers(tmp_path)["registers"]) == ["none", "test_time", "bias"]
    assert show(TAG, "--repairs", f"bias,{made}", *small) == 2
    assert "is a second repair of type 'bias'" in capsys.readouterr().err


def test_show__neurons_that_do_nothing_are_told(show, tmp_path, capsys):
    RegisterNeurons(TAG, {2: [5]}).save(tmp_path / "wrong.json")
    assert show(TAG, "--neurons", tmp_path / "wrong.json") == 0
    assert "still 2.0 %" in capsys.readouterr().out
    assert numbers(tmp_path)["threshold_source"].startswith("the gap between the norms")


def test_show__as_it_is_at_another_size(show, tmp_path, two_photos, capsys):
    file = min(two_photos.iterdir())
    assert show(TAG, "--repairs", "none", "--size", "128", images=[file, file]) == 0
    assert "test-time" not in capsys.readouterr().out
    found = numbers(tmp_path)
    assert (found["size"], found["grid"], found["images"]) == ([128, 128], [8, 8], [file.name])


def test_show__without_a_list_says_how_to_get_one(show, capsys):
    assert show("vit_small_patch16_224.dino") == 2
    told = capsys.readouterr().err
    assert "ttrb find-neurons vit_small_patch16_224.dino --images DIR" in told
    assert "--repairs none" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([TAG, "--repairs", "test-time"], "unknown repair 'test-time'. Did you mean 'test_time'"),
        ([TAG, "--repairs", "trained"], "not trained with registers"),
        ([TAG, "--repairs", "test_time:random"], "test_time:random is a control, which the report"),
        (
            [
                "augreg_vitt16_ttr_linear_ade20k",
                "--cfg-options",
                "model.backbone.repair.control=random",
            ],
            "'control': 'random'} is a control, which the report",
        ),
        ([TAG, "--blocks", "12"], "no block 12: the model has blocks 0..11"),
        ([TAG, "--size", "225"], "use 224 or 240"),
        ([TAG, "--neurons", "nowhere.json"], "no register-neuron list at nowhere.json"),
        ([TAG, "--cfg-options", "a=1"], "--cfg-options change a config"),
        (["vit_tiny_patch16_22"], "Did you mean 'vit_tiny_patch16_224'"),
        (["augreg_vitt16_linear_ade20"], "Did you mean 'augreg_vitt16_linear_ade20k'"),
        (["nowhere/config.py"], "nowhere/config.py is no file"),
    ],
)
def test_show__what_is_wrong_is_explained(show, capsys, arguments, told):
    assert show(*arguments) == 2
    assert told in capsys.readouterr().err


def test_show__images_weights_and_folder_that_are_not_there(show, tmp_path, capsys):
    assert show(TAG, images=[tmp_path / "none"]) == 2
    assert "none: no such file or folder" in capsys.readouterr().err
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8nothing")
    assert show(TAG, images=[tmp_path / "broken.jpg"]) == 2
    assert "broken.jpg: not an image" in capsys.readouterr().err
    assert show(TAG, "--checkpoint", tmp_path / "w.pth", checkpoint=False) == 2
    assert "w.pth: no such file" in capsys.readouterr().err
    (tmp_path / "out").touch()
    assert show(TAG) == 2
    assert "is a file: expected a folder" in capsys.readouterr().err
