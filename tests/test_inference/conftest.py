"""The real ViT with small trained heads, and what `ttrb test` makes of real images with them."""

import pytest

from ttr_backbones.cli import main

CONFIGS = {
    "segmentation": ("augreg_vitt16_ttr_linear_ade20k_200it", "ADEChallengeData2016"),
    "depth": ("augreg_vitt16_ttr_lin1_nyu_200it", "nyu"),
    "object discovery": ("augreg_vitt16_ttr_lost_voc07", "VOCdevkit/VOC2007"),
}
# Half the side: every pixel has 150 logits.
SMALL = {
    "segmentation": [
        "test_dataloader.dataset.pipeline.1.scale=(99999999,112)",
        "model.test_cfg.crop_size=(112,112)",
        "model.test_cfg.stride=(74,74)",
    ]
}


@pytest.fixture(scope="session")
def configs():
    """{task: name of a packaged config}."""
    return {task: name for task, (name, _) in CONFIGS.items()}


@pytest.fixture(scope="session")
def own_weights(tiny_weights):
    """Options that make a packaged config read the real ViT from disk."""
    return ["model.backbone.pretrained=False", f"model.backbone.checkpoint={tiny_weights}"]


@pytest.fixture(scope="session")
def data_roots(shared, small_ade20k):
    """{task: the data set}; that of segmentation has images of half the size."""
    data = {task: shared / "data" / name for task, (_, name) in CONFIGS.items()}
    return data | {"segmentation": small_ade20k}


@pytest.fixture(scope="session")
def run(data_roots, own_weights):
    """Run `ttrb train` or `ttrb test` on real data, without worker processes."""

    def command(name, task, *arguments, options=()):
        config, _ = CONFIGS[task]
        options = [*own_weights, *SMALL.get(task, []), *options]
        for loader in ("train", "val", "test") if task != "object discovery" else ("test",):
            options += [f"{loader}_dataloader.num_workers=0"]
            options += [f"{loader}_dataloader.persistent_workers=False"]
        data_root = ["--data-root", str(data_roots[task])]
        arguments = [name, config, *map(str, arguments), *data_root, "--cfg-options", *options]
        assert main(arguments) == 0

    return command


@pytest.fixture(scope="session")
def checkpoints(run, tmp_path_factory):
    """{task: a head that was trained for two iterations; None where there is nothing to train}."""
    heads = {"object discovery": None}
    for task in ("segmentation", "depth"):
        folder = tmp_path_factory.mktemp(task)
        short = ["train_cfg.max_iters=2", "train_cfg.val_begin=3", "train_dataloader.batch_size=2"]
        run("train", task, "--work-dir", folder, options=short)
        heads[task] = folder / "iter_2.pth"
    return heads


@pytest.fixture(scope="session")
def tested(run, checkpoints, tmp_path_factory):
    """What `ttrb test --out` saves for a task: a folder, or a JSON file of boxes."""
    done = {}

    def out(task):
        if task not in done:
            folder = tmp_path_factory.mktemp(f"test_{task}")
            path = folder / ("boxes.json" if task == "object discovery" else "out")
            head = [] if checkpoints[task] is None else [checkpoints[task]]
            few = ["test_dataloader.dataset.indices=4"] if task == "object discovery" else []
            run("test", task, *head, "--work-dir", folder / "work", "--out", path, options=few)
            done[task] = path
        return done[task]

    return out


@pytest.fixture(scope="session")
def inferencer(checkpoints, own_weights):
    """The `Inferencer` of a task, on the CPU."""
    from ttr_backbones import Inferencer

    made = {}

    def make(task):
        if task not in made:
            config, _ = CONFIGS[task]
            options = {"device": "cpu", "cfg_options": [*own_weights, *SMALL.get(task, [])]}
            made[task] = Inferencer(config, checkpoints[task], **options)
        return made[task]

    return make
