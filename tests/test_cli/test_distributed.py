"""Every command that several processes can share gives what one process gives."""

import contextlib
import csv
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import logger_hook

from ttr_backbones import SavedFeatures
from ttr_backbones.app import failure
from ttr_backbones.cli import main
from ttr_backbones.evaluation import DepthMetric

MODEL = "vit_tiny_patch16_224"


def options(work_dir, *overrides):
    """Validation is on the five images of training: two processes get three each."""
    dataset = "dataset.data_prefix"
    more = [f"val_dataloader.{dataset}.{key}={folder}/training" for key, folder in (
        ("img_path", "images"), ("seg_map_path", "annotations")
    )]  # fmt: skip
    return ["--work-dir", str(work_dir), "--cfg-options", *more, *overrides]


def logged(work_dir):
    """What a run has logged last of each name."""
    (path,) = Path(work_dir).glob("*/vis_data/scalars.json")
    values = {}
    for line in path.read_text().splitlines():
        values |= json.loads(line)
    return {key: value for key, value in values.items() if "time" not in key}


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory):
    """The folder of a run of one process, four images at a time."""
    work_dir = tmp_path_factory.mktemp("trained") / "one"
    alone = options(work_dir, "train_dataloader.batch_size=4", "model.decode_head.dropout_ratio=0")
    assert main(["train", str(config), *alone]) == 0
    return work_dir


def test_train__is_the_same(two_processes, trained, config, tmp_path):
    """Two images in each process: the same batches, with batch norm and metric over all five."""
    shared = [*options(tmp_path, "model.decode_head.dropout_ratio=0"), "--launcher", "pytorch"]
    outcomes = two_processes(main, ["train", str(config), *shared])
    assert [outcome.value for outcome in outcomes] == [0, 0]
    one, two = (
        torch.load(folder / "iter_12.pth", weights_only=True)["state_dict"]
        for folder in (trained, tmp_path)
    )
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-5, msg=name)
    assert logged(tmp_path)["mIoU"] == logged(trained)["mIoU"] > 0
    assert "mmengine - INFO - Iter(train)" in outcomes[0].out + outcomes[0].err


def test_probe_grid__is_the_same(two_processes, config, tmp_path):
    """Two heads on one pass; their sum of losses goes through one wrapper."""

    def train(name, *more):
        grid = ["--probe-grid", "lr=1e-2,1e-3"]
        own = options(tmp_path / name, "model.decode_head.dropout_ratio=0", "train_cfg.max_iters=4")
        return main(["train", str(config), *grid, *own, *more])

    assert train("one", "train_dataloader.batch_size=4") == 0
    outcomes = two_processes(train, "two", "--launcher", "pytorch")
    assert [outcome.value for outcome in outcomes] == [0, 0]
    for head in ("lr1e-2", "lr1e-3"):
        one, two = (
            torch.load(tmp_path / name / "probes" / head / "iter_4.pth", weights_only=True)
            for name in ("one", "two")
        )
        for name, tensor in one["state_dict"].items():
            torch.testing.assert_close(two["state_dict"][name], tensor, rtol=1e-4, atol=1e-5)
    scores = [(tmp_path / name / "probes.csv").read_text() for name in ("one", "two")]
    assert scores[0] == scores[1]
    one, two = (
        json.loads((tmp_path / name / "probes.json").read_text())["held_out"]
        for name in ("one", "two")
    )
    assert one == two
    assert one[0]["images"] == 5, "the sixth, which pads, counts for nothing"


def test_test__is_the_same(two_processes, trained, config, tmp_path):
    """The masks of five images and their metric; the sixth, which pads, counts for nothing."""
    arguments = ["test", str(config), str(trained / "iter_12.pth")]
    images = ["images/training", "annotations/training"]
    overrides = [
        f"test_dataloader.dataset.data_prefix.{key}={folder}"
        for key, folder in zip(("img_path", "seg_map_path"), images, strict=True)
    ]

    def tested(name, *launcher):
        folders = ["--work-dir", str(tmp_path / name), "--out", str(tmp_path / f"{name}_masks")]
        reports, write = [], logger_hook.dump
        logger_hook.dump = lambda *args: [reports.append(args), write(*args)]
        code = main([*arguments, *folders, *launcher, "--cfg-options", *overrides])
        logger_hook.dump = write
        return code, len(reports)

    assert tested("one") == (0, 1)
    outcomes = two_processes(tested, "two", "--launcher", "pytorch")
    assert [outcome.value for outcome in outcomes] == [(0, 1), (0, 0)]
    metrics = [
        json.loads(next((tmp_path / name).glob("*/*.json")).read_text()) for name in ("one", "two")
    ]
    for metric in metrics:
        del metric["time"], metric["data_time"]
    assert metrics[0] == metrics[1]
    assert metrics[0]["mIoU"] > 0
    masks = [
        {path.name: path.read_bytes() for path in (tmp_path / f"{name}_masks").iterdir()}
        for name in ("one", "two")
    ]
    assert len(masks[0]) == 5
    assert masks[0] == masks[1]


def test_pictures__are_for_one_process(two_processes, trained, config, tmp_path):
    show = ["--show-dir", str(tmp_path), "--launcher", "pytorch"]
    arguments = ["test", str(config), str(trained / "iter_12.pth"), *show]
    for outcome in two_processes(main, arguments):
        assert outcome.value == 2
        assert "the others' images would be missing: leave --launcher out" in outcome.err


def measured(maps):
    """The metric of depth maps that are dealt out and padded as mmengine's DefaultSampler does."""
    metric = DepthMetric(crop=None, collect_device="gpu")
    step = get_world_size()
    for number in range(get_rank(), -(-len(maps) // step) * step, step):
        pred, truth = maps[number % len(maps)]
        sample = {"pred_depth_map": {"data": pred}, "gt_depth_map": {"data": truth}}
        metric.process(None, [{**sample, "img_path": f"{number}.png"}])
    return metric.evaluate(len(maps))


def test_depth_metric__is_the_same(two_processes):
    generator = torch.Generator().manual_seed(0)
    maps = [torch.rand(2, 1, 8, 9, generator=generator) * 11 for _ in range(5)]
    maps[2][1] = 0  # without truth
    alone = measured(maps)
    assert (alone["images"], alone["images_without_truth"]) == (4, 1)
    for outcome in two_processes(measured, maps):
        assert outcome.value == alone


@pytest.fixture
def objects(shared, tiny_weights, tmp_path):
    """A command on VOC07's five images with the real ViT: `run(name, command, *launcher)`."""

    def run(name, command, *more):
        out = tmp_path / (f"{name}.json" if command == "test" else name)
        return main([
            *(command, "augreg_vitt16_ttr_lost_voc07", "--out", str(out), *more),
            *("--data-root", str(shared / "data/VOCdevkit/VOC2007"), "--cfg-options"),
            *("model.backbone.pretrained=False", f"model.backbone.checkpoint={tiny_weights}"),
            *("test_dataloader.num_workers=0", "test_dataloader.persistent_workers=False"),
            *("test_dataloader.batch_size=2", f"work_dir={tmp_path / name}"),
        ])  # fmt: skip

    return run


def test_object_discovery__finds_the_same_boxes(two_processes, objects, tmp_path):
    three = ["--cfg-options", "test_dataloader.dataset.indices=3"]
    assert objects("one", "test", *three) == 0
    outcomes = two_processes(objects, "two", "test", *three, "--launcher", "pytorch")
    assert [outcome.value for outcome in outcomes] == [0, 0]
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert list(one.items()) == list(two.items())
    assert len(one) == 3
    results = [next((tmp_path / name).glob("*/*.json")).read_text() for name in ("one", "two")]
    one, two = map(json.loads, results)
    assert (two["CorLoc"], two["images"]) == (one["CorLoc"], 3)


@pytest.mark.nightly
def test_sweep__is_the_same(two_processes, objects, tmp_path, capsys):
    axes = ["--blocks", "5", "--facets", "key,value", "--bias", "0,-0.1"]
    assert objects("one", "sweep", *axes) == 0
    printed = capsys.readouterr().out
    first, second = two_processes(objects, "two", "sweep", *axes, "--launcher", "pytorch")
    table = printed.partition("table: ")[0]
    assert first.out.partition("table: ")[0] == table
    assert second.out == ""
    rows = [list(csv.reader((tmp_path / n / "sweep.csv").open())) for n in ("one", "two")]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 1 + 2 * 2 * 2
    assert len({row[5] for row in rows[0]}) > 2


@pytest.fixture
def photos(shared, tmp_path):
    """Six photographs, as links."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for file in sorted((shared / "data" / "photos").iterdir())[:6]:
        (folder / file.name).symlink_to(file)
    return folder


def rounded(value):
    """The same with nine digits: sums over processes have another order."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


@pytest.mark.nightly
def test_find_neurons__finds_the_same_list(
    two_processes, photos, tiny_weights, tmp_path, capsys, drawn
):
    source = [MODEL, "--images", str(photos), "--checkpoint", str(tiny_weights)]

    def found(name, *launcher):
        out = ["--out", str(tmp_path / f"{name}.json"), "--batch-size", "2"]
        return main(["find-neurons", *source, *out, *launcher])

    assert found("one") == 0
    printed = capsys.readouterr().out
    first, second = two_processes(found, "two", "--launcher", "pytorch")
    assert (first.value, second.value) == (0, 0)
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert one["layers"] == {"6": [189], "7": [417]}
    assert two.pop("fit").keys() == one.pop("fit").keys()  # the seconds differ
    assert rounded(two) == rounded(one)
    assert first.out == printed.replace("one.", "two.")
    assert second.out == second.err == ""
    assert (tmp_path / "two.png").read_bytes() == (tmp_path / "one.png").read_bytes()


def test_verify__is_the_same(two_processes, photos, tiny_weights, capsys):
    source = [MODEL, "--images", str(photos), "--checkpoint", str(tiny_weights)]
    arguments = ["verify", *source, "--batch-size", "1", "--num-images", "3"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    first, second = two_processes(main, [*arguments, "--launcher", "pytorch"])
    assert (first.value, first.out) == (0, printed)
    assert (second.value, second.out, second.err) == (0, "", "")


def test_features__are_the_same_files(two_processes, shared, tiny_weights, tmp_path):
    images = shared / "data/VOCdevkit/VOC2007/JPEGImages"
    arguments = [
        *("features", f"{MODEL}.augreg_in21k_ft_in1k", "--images", str(images), "--size", "64"),
        *("--checkpoint", str(tiny_weights), "--repair", "auto", "--shard-size", "5", "--out"),
    ]
    assert main([*arguments, str(tmp_path / "one")]) == 0
    outcomes = two_processes(main, [*arguments, str(tmp_path / "two"), "--launcher", "pytorch"])
    assert [outcome.value for outcome in outcomes] == [0, 0]
    assert "".join(outcome.out for outcome in outcomes).count("features of 17 images: ") == 1
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("one", "two")
    ]
    assert len(files[0]) == 1 + 4
    assert files[0] == files[1]
    assert len(SavedFeatures(tmp_path / "two")) == 17


def one_of_two(rank, folder, arguments):
    """Run a command as torchrun's process `rank`; all that it prints goes to a file."""
    told = (folder / f"{rank}.txt").open("w")
    for stream in (1, 2):
        os.dup2(told.fileno(), stream)
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank))
    os.environ["TORCHELASTIC_ERROR_FILE"] = str(folder / f"{rank}.json")
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    failure._PATIENCE = 0.1  # in which torchrun would end it
    method = f"file://{folder / 'rendezvous'}"
    torch.distributed.init_process_group("gloo", init_method=method, rank=rank, world_size=2)
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = main([*arguments, "--launcher", "pytorch"])
    told.flush()
    os._exit(code)  # as a process ends that does not wait for the other


def test_input_error_of_one_process__is_the_reason_that_torchrun_tells(
    start_forked, shared, tiny_weights, tmp_path
):
    """The third of four photographs is cut, which the second process finds when it reads it."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, file in enumerate(sorted((shared / "data" / "photos").iterdir())[:4]):
        shutil.copy(file, photos / f"{number}{file.suffix}")
    cut = sorted(photos.iterdir())[2]
    cut.write_bytes(cut.read_bytes()[:3000])
    out = tmp_path / "n.json"
    source = [MODEL, "--images", photos, "--checkpoint", tiny_weights, "--batch-size", "2"]
    arguments = ["find-neurons", *source, "--threshold", "100", "--out", out]
    processes = [
        start_forked(one_of_two, rank, tmp_path, [str(part) for part in arguments])
        for rank in range(2)
    ]
    for process in processes:
        process.join(120)
    assert processes[1].exitcode == 2
    assert processes[0].exitcode not in (0, None)
    reason = "1 of 4 images cannot be used; repair or remove them"
    first, second = ((tmp_path / f"{rank}.txt").read_text() for rank in range(2))
    assert second.count(f"ttrb: error (process 1 of 2): {reason}") == 1
    told = json.loads((tmp_path / "1.json").read_text())["message"]["message"]
    assert told.startswith(reason)
    assert f"{cut.name}: cannot be decoded" in told
    assert not out.exists()
    # The other process does not drown the reason in a traceback of its own.
    assert "ttrb: error (process 0 of 2): the connection to the other processes broke off" in first
    assert "gloo" not in first
