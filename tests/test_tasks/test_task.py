"""A task that a module outside of the package registers is known to every command."""

import json

import cv2
import pytest
import torch
from torch import nn

from ttr_backbones.cli import main
from ttr_backbones.engine.state_dict_check import check_fit
from ttr_backbones.errors import InputError
from ttr_backbones.recipes import PublishedNumber, tables
from ttr_backbones.tasks import TASKS, Metric, Task, register_task, task_named


@pytest.fixture(scope="module")
def tested(norm_config, tmp_path_factory):
    """What `ttrb test` writes: {image: largest norm}, and the folder of pictures."""
    folder = tmp_path_factory.mktemp("test")
    places = ["--out", str(folder / "out"), "--show-dir", str(folder / "show")]
    assert main(["test", str(norm_config), "--work-dir", str(folder / "work"), *places]) == 0
    saved = {path.stem: float(path.read_text()) for path in (folder / "out").iterdir()}
    return saved, folder / "show"


def test_test__saves_and_draws(tested):
    saved, show = tested
    assert set(saved) == {"a", "b"}
    assert saved["a"] != saved["b"]
    pictures = [cv2.imread(str(path)) for path in show.rglob("*.png")]
    assert len(pictures) == 2
    assert all((picture == 7).all() for picture in pictures)


def test_test__of_a_task_without_training_takes_no_checkpoint(norm_config, tmp_path, capsys):
    assert main(["test", str(norm_config), "head.pth", "--work-dir", str(tmp_path)]) == 2
    assert "NormMeter has nothing to train, so head.pth cannot be loaded" in capsys.readouterr().err


def test_predict__writes_what_the_prediction_says(norm_config, images, tested, tmp_path, capsys):
    assert main(["predict", str(norm_config), str(images), "--out", str(tmp_path)]) == 0
    assert "2 of 2 images: largest.json, norms, pictures in" in capsys.readouterr().out
    largest = json.loads((tmp_path / "largest.json").read_text())
    assert largest == {f"{stem}.jpg": pytest.approx(norm) for stem, norm in tested[0].items()}
    about = json.loads((tmp_path / "predictions.json").read_text())
    assert about["unit"] == "none"
    assert about["images"]["a.jpg"]["norms"] == "norms/a.png"
    assert cv2.imread(str(tmp_path / "norms/a.png"), cv2.IMREAD_UNCHANGED).max() == 255
    assert (cv2.imread(str(tmp_path / "pictures/b.png")) == 9).all()


def test_compare__knows_the_metric(norm_config, tested, tmp_path, capsys):
    out = ["--out", str(tmp_path), "--repairs", "none"]
    assert main(["compare", str(norm_config), *out]) == 0
    printed = capsys.readouterr().out
    mean = sum(tested[0].values()) / 2
    assert "(largest norm [1], lower is better)" in printed
    assert f" {mean:.3f} " in printed


def test_export__gives_the_maps_of_a_task_without_output(norm_config):
    from ttr_backbones.export.exportable import load_exportable

    assert load_exportable(str(norm_config)).outputs == ["map_0"]


def test_published_numbers__have_a_table_of_the_task(norm_config, tested, monkeypatch):
    row = PublishedNumber(
        "dinov2_vitb14", "", "lost_voc07", "largest norm", "5.00", "", "TTR paper, Table 1", ""
    )
    monkeypatch.setattr(tables, "published_numbers", lambda: (row,))
    text = tables.tables()
    assert text.startswith("### Norm measurement, largest norm in ones (lower is better)\n\n|")
    assert "5.00 [TTR]" in text


def test_advice__on_the_files_of_its_heads(norm_config, tested):
    model = nn.Module()
    model.decode_head = nn.Module()
    model.decode_head.conv_seg = nn.Conv2d(4, 2, 1)
    state = {"decode_head.conv_norm.weight": torch.ones(1, 4, 1, 1)}
    with pytest.raises(InputError, match="a norm head and the config has a segmentation head"):
        check_fit(model, state, "a.pth")


def of(**attributes):
    metric = Metric("a", "a", "%", "percent", higher_is_better=True, decimals=1)
    needed = {"name": "other", "models": ("M",), "evaluators": ("E",), "metric": metric}
    needed |= {"answer": "pred", "visualizer": "V", "prediction": None}
    return type("Other", (Task,), needed | attributes)


def test_register__refuses_what_would_be_mistaken(registries):
    taken = {"models": ("EncoderDecoder",), "evaluators": ("IoUMetric",)}
    for attributes, message in (
        ({"name": "depth"}, r"is called 'depth', as is ttr_backbones\.tasks\.depth\.Depth"),
        (taken, "'segmentation' and 'other' both have the model EncoderDecoder with the evaluator"),
    ):
        with pytest.raises(InputError, match=message):
            register_task(of(**attributes))
    lacking = of()
    del lacking.metric, lacking.answer
    with pytest.raises(InputError, match="the task Other lacks metric, answer"):
        register_task(lacking)
    assert "other" not in TASKS
    with pytest.raises(InputError, match=r"unknown task 'dept'\. Did you mean 'depth'"):
        task_named("dept")
