"""`ttrb bench`: each part from the command line, one table, one JSON file, errors in words."""

import json

import cv2
import numpy as np
import pytest

from ttr_backbones.bench import machine
from ttr_backbones.cli import main
from ttr_backbones.repairs import REPAIRS

TINY = "vit_tiny_patch16_224"
SMALLEST = "test_vit"  # timm's, of 6 blocks and 64 channels
QUICK = ["--rounds", "1", "--threads", "1"]


@pytest.fixture(autouse=True)
def quick_machine(monkeypatch):
    """Matrix products of a second each are tried in tests/test_bench; a pass is timed once."""
    monkeypatch.setattr("ttr_backbones.bench.rounds.times_for", lambda seconds: 1)
    monkeypatch.setattr(machine, "matrix_rate", lambda dtype, device: 100e9)


@pytest.fixture
def bench(tmp_path, capsys):
    """Run a part; return the lines of its table and what is in its JSON file."""

    def run(*argv):
        out = tmp_path / "bench.json"
        assert main(["bench", *argv, "--json", str(out)]) == 0
        printed = capsys.readouterr().out.splitlines()
        # The log tells first that this backbone is random.
        table = [line for line in printed if " - mmengine - " not in line]
        return table, json.loads(out.read_text(encoding="utf-8"))

    return run


def names(told):
    return [row["contestant"] for row in told["rows"]]


@pytest.mark.nightly
def test_bench_forward(bench):
    argv = ["--model", TINY, "--size", "32", "--variants", "eager", "--batch-sizes", "1,2"]
    lines, told = bench("forward", *argv, *QUICK)
    assert "1 threads; torch" in lines[0]
    assert lines[0].endswith("100 GFLOP/s in fp32, 100 GFLOP/s in bf16")
    assert lines[1].startswith("contestant")
    assert lines[3].startswith(f"forward: model {TINY}, weights random, size 32, num 1, rounds 1")
    assert len(names(told)) == 2 * (3 + len(REPAIRS)), "as it is twice, the authors' form, and each"
    assert {row["variant"] for row in told["rows"]} == {"eager"}
    assert all(row["share"] > 0 for row in told["rows"])
    assert told["parts"]["forward"]["setting"]["register_neurons"] == {"6": [189], "7": [417]}


@pytest.mark.nightly
def test_bench_train(bench):
    argv = ["--model", TINY, "--size", "64", "--num-classes", "5", "--heads", "2"]
    _, told = bench("train", *argv, "--batch-sizes", "1", *QUICK)
    in_one_pass = "ours, 2 heads in one pass"
    strided = f"{in_one_pass}, loss_stride=2"
    assert names(told)[-3:] == [in_one_pass, strided, "ours, 2 heads one by one"]
    assert told["parts"]["train"]["setting"]["classes"] == 5


@pytest.mark.nightly
def test_bench_search__on_photographs(tmp_path, bench):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), rng.integers(0, 256, (80, 90, 3), dtype=np.uint8))
    argv = ["--model", TINY, "--images", str(folder), "--num-images", "2", "--batch-sizes", "2"]
    lines, told = bench("search", *argv, *QUICK)
    assert told["parts"]["search"]["setting"]["images"] == 2
    assert told["parts"]["search"]["same_neurons"]
    assert lines[-1].endswith("all find the same 10 neurons")


def test_bench_object_discovery__on_random_images(bench):
    argv = ["--model", TINY, "--size", "128", "--num-images", "2", "--batch-sizes", "2"]
    lines, told = bench("object-discovery", *argv, *QUICK)
    assert told["parts"]["object-discovery"]["same_boxes"] == {"2": 2}
    assert lines[-1].endswith("2 of 2 images have the same box both ways")


@pytest.mark.nightly
def test_bench_memory__measures_nothing(bench):
    argv = ["--models", f"{SMALLEST},{TINY}", "--batch-sizes", "2", "--heads", "1"]
    lines, told = bench("memory", *argv)
    assert "matrix products" not in lines[0]
    assert told["rows"] == []
    models = [one["model"] for one in told["parts"]["memory"]["memory"]]
    assert models == [SMALLEST] * 2 + [TINY] * 2


@pytest.mark.slow
def test_bench__all_parts_in_a_short_form(bench, monkeypatch):
    """With what takes long made small: which parts there are, and that they share one table."""
    from ttr_backbones.cli import bench as command

    for kind in set(REPAIRS) - {"test_time", "bias"}:
        monkeypatch.delitem(REPAIRS, kind)
    small = {
        "forward": {"size": 32, "variants": "eager", "batch_sizes": "1"},
        "train": {"size": 32, "num_classes": 5, "heads": 2, "batch_sizes": "1"},
        "search": {"size": 32, "num_images": 2, "batch_sizes": "2"},
        "object-discovery": {"size": 64, "num_images": 2, "batch_sizes": "2"},
        "memory": {"models": SMALLEST, "batch_sizes": "1"},
    }
    monkeypatch.setattr(command, "_SHORT", small)
    lines, told = bench("--model", SMALLEST, *QUICK)
    headings = [line.partition(":")[0] for line in lines]
    places = [headings.index(part) for part in command.PARTS]
    assert places == sorted(places)
    assert list(told["parts"]) == list(command.PARTS)
    assert {row["part"] for row in told["rows"]} == set(command.PARTS) - {"memory"}
    assert sum(line.startswith("contestant") for line in lines) == 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["speed"], "unknown part of the bench 'speed'"),
        (["forword"], "Did you mean 'forward'"),
        (["memory", "--rounds", "2"], "--rounds is no option of `ttrb bench memory`; it goes with"),
        (["--heads", "2"], "--heads is no option of `ttrb bench all`; it goes with train, memory"),
        (["train", "--quick"], "--quick is no option of `ttrb bench train`; it goes with forward"),
        (["search", "--num-images", "0"], "--num-images 0: expected a number, 1 or more"),
        (["forward", "--rounds", "0"], "--rounds 0: expected a number, 1 or more"),
        (["forward", "--batch-sizes", "1,x"], "--batch-sizes 1,x: expected whole numbers of 1 or"),
        (["forward", "--variants", "fast"], "unknown variant 'fast'"),
        (["forward", "--size", "100"], "size 100: expected a multiple of"),
        (["search", "--size", "100"], "--size 100: expected a multiple of the patch, 16 px"),
        (["forward", "--neurons", "none.json"], "--neurons none.json: no such file"),
        (["train", "--heads", "1"], "heads=1: expected at least 2"),
        (["search", "--checkpoint", "none.pth"], "--checkpoint none.pth: no such file"),
        (["search", "--json", "nowhere/b.json"], "--json nowhere/b.json: no folder nowhere"),
        (["search", "--images", "nowhere", "--model", TINY], "nowhere: no such folder"),
        (["search", "--model", "vit_tiny_patch16_223"], "Did you mean 'vit_tiny_patch16_224'"),
        (["forward", "--device", "nonsense"], "--device nonsense cannot be used here"),
    ],
)
def test_bench__errors(argv, message, capsys):
    assert main(["bench", *argv]) == 2
    assert message in capsys.readouterr().err
