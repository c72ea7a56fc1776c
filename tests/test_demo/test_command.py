"""`ttrb demo`: which of the two demos runs, and what wrong arguments are answered."""

import argparse

import pytest

from ttr_backbones.cli import demo
from ttr_backbones.errors import InputError, MissingFileError


def run(*words):
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    return demo.run(parser.parse_args([str(word) for word in words]))


def test_seeds_and_task_are_passed_on(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "ttr_backbones.demo.run.run_demo",
        lambda out, seeds, task, log: calls.append((out, seeds, task)),
    )
    assert run("--out", tmp_path, "--seeds", "3,4") == 0
    assert run("--out", tmp_path, "--task", "depth") == 0
    assert calls == [(tmp_path, [3, 4], "segmentation"), (tmp_path, [0, 1, 2], "depth")]


def test_the_tasks_offered_are_those_that_exist(capsys):
    from ttr_backbones.demo.tasks import DEMONSTRATIONS

    assert [shown.task.name.replace(" ", "-") for shown in DEMONSTRATIONS.values()] == list(
        DEMONSTRATIONS
    )
    with pytest.raises(SystemExit):
        run("--task", "discovery")
    assert "'segmentation', 'depth', 'object-discovery'" in capsys.readouterr().err


def test_a_word_among_the_seeds_is_refused():
    with pytest.raises(InputError, match=r"--seeds a,b: expected whole numbers .*, got 'a'"):
        run("--seeds", "a,b")


@pytest.mark.parametrize("flag", ["--neurons", "--images", "--size"])
def test_flags_of_a_real_model_need_one(flag):
    with pytest.raises(InputError, match=f"{flag} goes with a real model: add --model"):
        run(flag, "3")


def test_seeds_and_task_with_a_real_model_are_refused(tmp_path):
    for option, value in (("--seeds", "0"), ("--task", "depth")):
        with pytest.raises(InputError, match=f"{option} belongs to the planted model"):
            run("--model", "vit_tiny_patch16_224", "--images", tmp_path, option, value)


def test_a_real_model_needs_images():
    with pytest.raises(InputError, match="add --images DIR"):
        run("--model", "vit_tiny_patch16_224")


def test_a_missing_folder_of_images_is_named(tmp_path):
    with pytest.raises(MissingFileError, match="nowhere: no such folder"):
        run("--model", "vit_tiny_patch16_224", "--images", tmp_path / "nowhere")


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"none\.pth: no such file"):
        run("--checkpoint", tmp_path / "none.pth", "--images", tmp_path)


def test_the_file_name_tells_the_model(tmp_path):
    name = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    assert demo.model_of_file(tmp_path / f"{name}.safetensors") == name


def test_a_file_name_that_tells_nothing_asks_for_the_model(tmp_path):
    (tmp_path / "weights.pth").touch()
    with pytest.raises(InputError, match=r"'weights' is no timm model.*add --model NAME"):
        run("--checkpoint", tmp_path / "weights.pth", "--images", tmp_path)


def test_a_file_as_out_is_refused(tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(InputError, match="taken is a file: expected a folder"):
        run("--out", tmp_path / "taken")


def test_a_size_of_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="--size 0: expected a number of pixels above 0"):
        run("--model", "vit_tiny_patch16_224", "--images", tmp_path, "--size", "0")


def test_a_real_model_is_compared_and_summed_up(tmp_path, monkeypatch, capsys):
    given = {}

    def compare(model, images, neurons, out, **options):
        given.update(model=model, images=images, neurons=neurons, out=out, **options)
        summary = {"verdict": "0 % of the patches.", "doubts": ["the list is of other weights"]}
        return summary, out / "artifacts.png"

    monkeypatch.setattr("ttr_backbones.report.artifacts.compare_artifacts", compare)
    assert run("--model", "m.tag", "--images", tmp_path, "--out", tmp_path, "--size", "224") == 0
    assert given == {
        "model": "m.tag",
        "images": tmp_path,
        "neurons": None,
        "out": tmp_path,
        "checkpoint": None,
        "size": 224,
    }
    out, err = capsys.readouterr()
    assert out.splitlines() == ["0 % of the patches.", f"picture: {tmp_path / 'artifacts.png'}"]
    assert err == "ttrb: warning: the list is of other weights.\n"
