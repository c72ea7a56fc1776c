"""`ttrb benchmark`: twice the same numbers, and a killed one goes on to the same page."""

import json
import re
import signal

import pytest

from ttr_backbones.benchmark import fit
from ttr_backbones.cli import main
from ttr_backbones.compare import cells, run_cells

ADE, VOC = "tiny_linear_ade20k_200it", "tiny_lost_voc07"


@pytest.fixture
def command(tiny, data):
    """Return the arguments for four cells."""
    arguments = ["benchmark", f"{tiny / 'tiny.py'}={tiny / 'tiny.safetensors'}"]
    arguments += ["--data", str(data), "--repairs", str(tiny / "list.json"), "--rounds", "200"]
    arguments += ["--protocols", "lost_voc07,linear_ade20k_200it,lost_voc12", "--iterations", "2"]
    arguments += ["--images", str(data / "VOCdevkit/VOC2007/JPEGImages")]
    arguments += ["--seeds", "0", "--cfg-options", "train_dataloader.batch_size=1"]
    for split in ("train", "test"):
        arguments += [f"{split}_dataloader.num_workers=0"]
        arguments += [f"{split}_dataloader.persistent_workers=False"]
    # A hundredth of the pixels, each of which has 150 logits.
    small = ["test_dataloader.dataset.pipeline.1.scale=(1000,64)"]
    small += ["train_dataloader.dataset.pipeline.3.scale=(1000,64)"]
    small += ["train_dataloader.dataset.pipeline.4.crop_size=(64,64)"]
    small += ["model.data_preprocessor.size=(64,64)"]
    return [*arguments, *(f"ADE20KDataset:{option}" for option in small)]


def page(out):
    """Return what has to be the same again: HTML and JSON without what is of one run alone."""
    record = json.loads((out / "benchmark.json").read_text())
    html = (out / "benchmark.html").read_text()
    return {k: v for k, v in record.items() if k != "run"}, html.partition("<h2>This run</h2>")[0]


def test_benchmark__killed_and_resumed_gives_the_same_page_as_an_undisturbed_run(
    command, tmp_path, capsys, monkeypatch
):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert main([*command, "--out", str(whole)]) == 0
    printed = capsys.readouterr()
    record, html = page(whole)

    def interrupt(progress, told):
        if progress._number == 4 and told.startswith("training 2/2"):
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(run_cells.CellProgress, "update", interrupt)
            assert main([*command, "--out", str(stopped)]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert "3 of 4 cells are done" in capsys.readouterr().err
    assert not (stopped / "benchmark.json").exists(), "no page of a half"
    assert main([*command, "--out", str(stopped)]) == 0
    assert capsys.readouterr().err.count("reused)") == 3
    assert page(stopped) == (record, html)

    lines = {(line["experiment"], line["repair"]): line for line in record["results"]}
    assert lines.keys() == {(name, kind) for name in (ADE, VOC) for kind in ("none", "list.json")}
    seg = lines[ADE, "list.json"]
    assert seg["runs"].keys() == {"0"}
    assert seg["images"] == 3
    assert seg["interval"] is None, "of three images"
    assert seg["verdict"] == "too few images"
    box = lines[VOC, "list.json"]
    assert box["interval"][0] <= box["mean"] <= box["interval"][1]
    assert box["images"] == 6
    moved = seg["mean"] - lines[ADE, "none"]["mean"]
    assert seg["difference"]["value"] == pytest.approx(moved)
    assert lines[VOC, "none"]["runs"].keys() == {"None"}
    assert "difference" not in lines[VOC, "none"]
    assert [what for what, _ in record["left_out"]] == ["lost_voc12"]
    (effects,) = record["effects"]
    assert len(effects["rows"]) == 2
    assert "tokens_added" in effects["columns"]
    assert "run_time_ratio" not in effects["columns"], "times are never the same again"
    assert "What the repairs do to the model" in html
    assert len((whole / "files.csv").read_text().splitlines()) == 1 + 6 + 2 * 5
    (weights,) = record["weights"].values()
    assert weights[0] == "tiny.safetensors"
    for text in (printed.out, html, (whole / "benchmark.md").read_text()):
        assert "LOST, VOC 2007 trainval" in text
        assert "lie outside of what other images" in text
    assert "VOCBoxes expects a folder" in html, "why it is left out"
    assert re.search(r"SHA-256 [0-9a-f]{64}", html)

    monkeypatch.setattr(cells, "_run", lambda *_: pytest.fail("a finished cell was run again"))
    assert main([*command, "--out", str(whole)]) == 0
    assert page(whole) == (record, html)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--rounds", "5"], "expected at least 100"),
        (["--iterations", "0"], "expected at least 1"),
        (["--protocols", "lost_voc7"], "unknown protocol 'lost_voc7'"),
        (["--images", "nowhere"], "nowhere"),
        (["--protocols", "lost_voc12,linear_voc2012"], "nothing can be run on"),
        (["--suite", "long"], "long"),
        (["--seeds", "0,x"], "--seeds 0,x"),
        (["--repairs", "sindr"], "unknown repair 'sindr'"),
        (["--cfg-options", "KITI:a=1"], "unknown data set type or config 'KITI'"),
    ],
)
def test_benchmark__errors_before_anything_runs(argv, message, data, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "fit_missing", lambda *_: pytest.fail("fitted before the check"))
    command = ["benchmark", "augreg_vitt16", "--data", str(data), "--out", str(tmp_path / "out")]
    command += ["--fit-images", str(data / "VOCdevkit/VOC2007/JPEGImages")]
    command += ["--protocols", "lost_voc07"]
    assert main([*command, *argv]) == 2
    assert message in capsys.readouterr().err


def test_benchmark__weights_that_are_not_there(data, capsys, tmp_path):
    options = ["--data", str(data), "--out", str(tmp_path / "out")]
    assert main(["benchmark", "augreg_vitt16=nowhere.pth", *options]) == 2
    assert "there is no such file of weights" in capsys.readouterr().err
