"""The commands on small class folders: kNN, many linear heads in one pass, released heads."""

import copy
import json

import pytest
import torch
from torch.nn import functional as F

from ttr_backbones.backbones import TimmViT
from ttr_backbones.classification import nearest, voted_classes
from ttr_backbones.cli import main
from ttr_backbones.datasets import ClassFolders
from ttr_backbones.errors import InputError
from ttr_backbones.inference import Inferencer
from ttr_backbones.recipes import recipe
from ttr_backbones.registers import RegisterNeurons, add_test_time_registers

NEURONS = {"1": [3, 70]}


def inputs(root, split):
    """Images [N, 3, 224, 224] of a split as the model is given them in a test, and classes."""
    pipeline = recipe("knn_imagenet").test_dataloader.dataset.pipeline
    folders = {"img_path": split}
    data = ClassFolders(data_root=str(root), data_prefix=folders, pipeline=pipeline)
    samples = [data[index] for index in range(len(data))]
    images = torch.stack([s["inputs"].flip(0) for s in samples]).float()
    return images / 127.5 - 1, torch.tensor([s["data_samples"].gt_label for s in samples])


def results(work_dir):
    return json.loads(max(work_dir.glob("2*/2*.json")).read_text())


@pytest.fixture
def knn(class_folders, options, as_arguments, tmp_path):
    """Arguments of a test by kNN; the 15 labelled images are no multiple of anything."""
    given = {k: v for k, v in options.items() if not k.startswith(("train_", "val_"))}
    given |= {"model.k": (1, 5), "test_cfg.bank.num_workers": 0, "test_cfg.bank.batch_size": 4}
    argv = ["test", "knn_imagenet", "--data-root", str(class_folders), *as_arguments(given)]
    return [*argv, "--work-dir", str(tmp_path / "run"), "--out", str(tmp_path / "found.json")]


@torch.no_grad()
def test_knn__is_that_of_timms_features(knn, class_folders, tiny_vit, tmp_path, two_processes):
    more = ["--feature-cache", str(tmp_path / "cache"), "--show-dir", str(tmp_path / "drawn")]
    assert main([*knn, *more]) == 0

    (bank, labels), (queries, truth) = (inputs(class_folders, s) for s in ("train", "val"))
    bank, queries = (
        F.normalize(tiny_vit.forward_features(x)[:, 0], dim=1) for x in (bank, queries)
    )
    similarity, indices = nearest(queries, bank, 5)
    found = voted_classes(similarity, labels[indices], 3, (1, 5), 0.07)
    scores = [100 * (found[:, i] == truth).float().mean().item() for i in range(2)]
    told = results(tmp_path / "run")
    assert [told["top1_k1"], told["top1_k5"]] == pytest.approx(scores, abs=1e-3)
    assert told["top1"] == max(told["top1_k1"], told["top1_k5"])
    assert told["best_k"] == (1 if scores[0] >= scores[1] else 5)
    best = found[:, 0 if told["best_k"] == 1 else 1]
    saved = json.loads((tmp_path / "found.json").read_text())
    names = ("blue", "green", "red")
    assert list(saved.values()) == [names[number] for number in best]
    assert next(iter(saved)) == "blue/0.png"
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 15 + 9
    assert len(list((tmp_path / "drawn").rglob("*.png"))) == 9

    shared = ["--work-dir", str(tmp_path / "two"), "--launcher", "pytorch"]
    assert [outcome.value for outcome in two_processes(main, [*knn, *shared])] == [0, 0]
    again = results(tmp_path / "two")
    assert {key: again[key] for key in told if "top1" in key} == {
        key: told[key] for key in told if "top1" in key
    }
    assert json.loads((tmp_path / "found.json").read_text()) == saved


@torch.no_grad()
def test_predict__by_knn_has_names_and_votes(
    class_folders, options, as_arguments, tiny_vit, tmp_path, monkeypatch
):
    given = {k: v for k, v in options.items() if not k.startswith(("train_", "val_"))}
    given |= {"model.k": (5, 1), "test_cfg.bank.num_workers": 0}
    command = ["predict", "knn_imagenet", str(class_folders / "val"), "--data-only", "--data-root"]
    command += [str(class_folders), "--feature-cache", str(tmp_path / "cache")]
    command += [*as_arguments(given), "--out"]
    assert main([*command, str(tmp_path / "first")]) == 0
    found = json.loads((tmp_path / "first/predictions.json").read_text())["images"]

    (bank, labels), (queries, _) = (inputs(class_folders, s) for s in ("train", "val"))
    bank, queries = (
        F.normalize(tiny_vit.forward_features(x)[:, 0], dim=1) for x in (bank, queries)
    )
    similarity, indices = (queries @ bank.T).topk(5)
    votes = torch.zeros(9, 3)
    votes.scatter_add_(1, labels[indices], (similarity / 0.07).softmax(dim=1))
    names = ("blue", "green", "red")
    assert [image["class"] for image in found.values()] == [names[n] for n in votes.argmax(dim=1)]
    for image, expected in zip(found.values(), votes.tolist(), strict=True):
        shares = {name: share for name, share in zip(names, expected, strict=True) if share}
        assert image["scores"] == pytest.approx(shares, abs=1e-4)
    assert len(json.loads((tmp_path / "first/classes.json").read_text())) == 9

    monkeypatch.setattr(TimmViT, "_computed", lambda *_: pytest.fail("it was computed before"))
    assert main([*command, str(tmp_path / "again")]) == 0
    assert json.loads((tmp_path / "again/predictions.json").read_text())["images"] == found


@torch.no_grad()
def test_inferencer__computes_in_half_precision_where_a_test_does(class_folders, options, tiny_vit):
    given = {k: v for k, v in options.items() if not k.startswith(("train_", "val_"))}
    given |= {"model.k": (5,), "test_cfg.bank.num_workers": 0, "test_cfg.fp16": True}
    given["test_cfg.bank.dataset.data_root"] = str(class_folders)
    inferencer = Inferencer("knn_imagenet", device="cpu", cfg_options=given)
    found = inferencer(class_folders / "val", batch_size=9)

    (bank, labels), (queries, _) = (inputs(class_folders, s) for s in ("train", "val"))
    with torch.autocast("cpu"):  # as mmengine's TestLoop with fp16
        bank, queries = (
            F.normalize(tiny_vit.forward_features(x)[:, 0].float(), dim=1) for x in (bank, queries)
        )
        similarity, indices = nearest(queries, bank, 5)
    votes = torch.zeros(9, 3)
    votes.scatter_add_(1, labels[indices], (similarity / 0.07).softmax(dim=1))
    shares = torch.tensor([prediction.scores[0] for prediction in found])
    torch.testing.assert_close(shares, votes.max(dim=1).values)


@pytest.fixture(scope="module")
def linear(class_folders, options, as_arguments, tmp_path_factory):
    """The work dir of eight heads that were trained for six iterations."""
    work_dir = tmp_path_factory.mktemp("linear")
    given = options | {
        "model.decode_head.in_channels": [32],
        "model.decode_head.num_classes": 3,
        "train_dataloader.batch_size": 8,
        "train_cfg.max_iters": 6,
        "train_cfg.val_interval": 3,
        "auto_scale_lr.base_batch_size": 4,
    }
    grid = ["lr=0.05,0.2", "block=-1,-4+-3+-2+-1", "patch=off,on"]
    argv = ["train", "linear_imagenet", "--data-root", str(class_folders), "--work-dir"]
    assert main([*argv, str(work_dir), "--probe-grid", *grid, *as_arguments(given)]) == 0
    return work_dir


def test_linear__the_best_of_many_heads_is_named_and_tests_to_its_score(linear, tmp_path):
    told = json.loads((linear / "probes.json").read_text())
    best = told["best"]
    widths = set()
    for folder in (linear / "probes").iterdir():
        state = torch.load(folder / "iter_6.pth", weights_only=True)["state_dict"]
        widths.add(state["decode_head.linear.weight"].shape[1])
        assert state["decode_head.linear.bias"].abs().sum() > 0, "it was trained"
    assert widths == {32, 64, 4 * 32, 5 * 32}
    log = max(linear.glob("2*/*.log")).read_text()
    assert "Scaling the original LR by 2.0" in log
    assert f"The best of 8 heads is {best['name']}: top1" in log
    assert "It was chosen on the validation images; held out: top1" in log
    (row,) = [r for r in told["held_out"] if r["iteration"] == best["iteration"]]
    assert (row["images"], row["all_images"]) == (9, pytest.approx(best["value"], abs=1e-3))
    folder = linear / "probes" / best["name"]
    file = folder / f"iter_{best['iteration']}.pth"
    argv = ["test", str(folder / "config.py"), str(file), "--work-dir", str(tmp_path)]
    assert main(argv) == 0
    assert results(tmp_path)["top1"] == pytest.approx(best["value"], abs=1e-3)


def test_released_head__by_a_test_of_the_protocol(
    linear, class_folders, options, as_arguments, tmp_path
):
    """A trained head as a bare linear layer, which is how DINOv2's are released."""
    state = torch.load(
        linear / "probes" / "lr0.2_block-1_patchon" / "iter_6.pth", weights_only=True
    )["state_dict"]
    file = tmp_path / "dinov2_vits14_linear_head.pth"
    torch.save({name.rpartition(".")[2]: tensor for name, tensor in state.items()}, file)
    given = {k: v for k, v in options.items() if not k.startswith(("train_", "val_"))}
    given |= {"model.decode_head.in_channels": [32], "model.decode_head.num_classes": 3}
    argv = ["test", "linear_imagenet", str(file), "--data-root", str(class_folders)]
    assert main([*argv, "--work-dir", str(tmp_path), *as_arguments(given)]) == 0
    told = json.loads((linear / "probes.json").read_text())["scores"]
    (score,) = [
        r["top1"] for r in told if r["iteration"] == 6 and r["probe"] == "lr0.2_block-1_patchon"
    ]
    assert results(tmp_path)["top1"] == pytest.approx(score, abs=1e-3)
    given["test_dataloader.dataset.data_root"] = str(class_folders)
    predict = Inferencer("linear_imagenet", file, cfg_options={**options, **given})
    (found,) = predict(class_folders / "val" / "red" / "0.png")
    assert sorted(found.classes) == ["blue", "green", "red"]
    assert found.saved().facts["class"] == found.classes[0]
    assert found.draw().shape == (420, 900, 3)
    # The other kind of released head is named.
    given |= {"model.decode_head.in_channels": [32] * 4}
    with pytest.raises(InputError, match="a head over one block: take linear_imagenet"):
        Inferencer("linear4_imagenet", file, cfg_options={**options, **given})


@torch.no_grad()
@pytest.mark.parametrize(("protocol", "blocks"), [("linear_imagenet", 1), ("linear4_imagenet", 4)])
@pytest.mark.parametrize("repair", [None, {"type": "test_time", "neurons": NEURONS}])
def test_released_heads__load_with_any_repair(
    class_folders, options, tiny_vit, tmp_path, protocol, blocks, repair
):
    """Of exactly the released layout: a bare linear layer on CLS of the blocks and the mean."""
    head = torch.nn.Linear((blocks + 1) * 32, 1000)
    torch.save(head.state_dict(), tmp_path / "dinov2_vits14_linear_head.pth")
    given = options | {
        "model.decode_head.in_channels": [32] * blocks,
        "model.backbone.repair": repair,
    }
    given["test_dataloader.dataset.data_root"] = str(class_folders)
    predict = Inferencer(protocol, tmp_path / "dinov2_vits14_linear_head.pth", cfg_options=given)
    images, _ = inputs(class_folders, "val")
    found = predict(class_folders / "val", batch_size=4)

    vit = copy.deepcopy(tiny_vit)
    if repair is not None:
        add_test_time_registers(vit, RegisterNeurons("vit_tiny_patch16_224", {1: [3, 70]}))
    layers = vit.get_intermediate_layers(images, n=blocks, return_prefix_tokens=True, norm=True)
    cls = [prefix[:, 0] for _, prefix in layers]
    scores = head(torch.cat([*cls, layers[-1][0].mean(dim=1)], dim=1)).softmax(dim=1)
    best = scores.topk(5, dim=1)
    assert [p.number for p in found] == best.indices[:, 0].tolist()
    given_scores = torch.stack([torch.from_numpy(p.scores) for p in found])
    torch.testing.assert_close(given_scores, best.values, rtol=1e-4, atol=1e-7)
