"""The worked example of configs/README.md: five classes in own folders, on a packaged protocol."""

import re

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from ttr_backbones.cli import main
from ttr_backbones.errors import InputError
from ttr_backbones.package_data import configs_dir
from ttr_backbones.recipes import on_folders, recipe

FOLDERS = {"img_path": "images", "seg_map_path": "masks"}


def example(path):
    """The example's code in a README."""
    (code,) = re.findall(r"```python\n(_base_ = \[\].*?)```", path.read_text(), re.DOTALL)
    return code


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The example as mine.py, in a folder with five drawn classes in its `my_data`."""
    code = example(configs_dir() / "README.md")
    rng = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 1)):
        for kind in ("images", "masks"):
            (tmp_path / "my_data" / kind / split).mkdir(parents=True)
        for index in range(count):
            mask = np.kron(rng.permutation(6).reshape(2, 3) % 5, np.ones((32, 32), int))
            image = (mask[..., None] * 40 + rng.integers(0, 40, (64, 96, 3))).astype(np.uint8)
            folder = tmp_path / "my_data"
            Image.fromarray(image).save(folder / "images" / split / f"{index}.jpg")
            Image.fromarray(mask.astype(np.uint8)).save(folder / "masks" / split / f"{index}.png")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(code)
    return tmp_path / "mine.py"


@pytest.mark.slow
def test_example__trains_dumps_and_resumes(mine, tiny_weights):
    options = [
        "model.backbone.pretrained=False",
        f"model.backbone.checkpoint={tiny_weights}",
        "train_dataloader.num_workers=0",
        "train_dataloader.persistent_workers=False",
        "val_dataloader.num_workers=0",
        "val_dataloader.persistent_workers=False",
        "train_cfg.val_interval=2",
        "default_hooks.checkpoint.interval=1",
        # Crops of 128 px instead of 512.
        "train_dataloader.dataset.pipeline.3.scale=(9999,128)",
        "train_dataloader.dataset.pipeline.4.crop_size=(128,128)",
        "val_dataloader.dataset.pipeline.1.scale=(9999,128)",
        "model.data_preprocessor.size=(128,128)",
        "model.test_cfg.crop_size=(128,128)",
        "model.test_cfg.stride=(85,85)",
    ]
    train = ["train", "mine.py", "--cfg-options", *options]
    assert main([*train, "train_cfg.max_iters=2"]) == 0
    run = mine.parent / "work_dirs" / "mine"
    assert (run / "iter_2.pth").is_file()
    dumped = Config.fromfile(run / "mine.py")
    assert dumped.model.decode_head.num_classes == 5
    assert dumped.train_dataloader.batch_size == 4
    assert main([*train, "train_cfg.max_iters=3", "--resume"]) == 0
    assert (run / "iter_3.pth").is_file()


def test_example__is_the_recipe_but_for_the_data(mine):
    config = Config.fromfile(mine)
    base = recipe("augreg_vitt16_ttr_linear_ade20k")
    assert config.keys() == base.keys()
    for key in ("train_dataloader", "val_dataloader", "test_dataloader"):
        split = "train" if key.startswith("train") else "val"
        data = config[key].dataset
        assert data.metainfo.classes == ["sky", "wall", "sand", "grass", "water"]
        assert data.data_prefix.img_path == f"images/{split}"
        (load,) = (step for step in data.pipeline if step.type == "LoadSegMask")
        assert (load.num_classes, load.reduce_zero_label) == (5, False)
        kept = [step.type for step in base[key].dataset.pipeline]
        assert [step.type for step in data.pipeline] == kept
    (load,) = config.tta_pipeline[1].transforms[2]
    assert load.num_classes == 5
    assert config.model.backbone == base.model.backbone
    same = config.keys() - {"model", "optim_wrapper", "train_dataloader"}
    same -= {key for key in same if key.endswith(("_dataloader", "_pipeline"))}
    assert all(config[key] == base[key] for key in same)


def test_a_dumped_recipe_is_a_base_of_plain_mmengine(tmp_path):
    assert main(["config", "dino_vits16_lost_voc07", "--out", str(tmp_path / "base.py")]) == 0
    (tmp_path / "mine.py").write_text("_base_ = 'base.py'\nmodel = dict(method=dict(k=7))\n")
    config = Config.fromfile(tmp_path / "mine.py")
    assert config.model.method.k == 7
    assert config.model.backbone == recipe("dino_vits16_lost_voc07").model.backbone


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("augreg_vitt16_lost_voc07", {}, r"augreg_vitt16_lost_voc07\.py is no recipe of segmentat"),
        ("linear_ade20k", {"classes": "sky"}, "expected the names of two classes or more, got 'sk"),
        ("linear_ade20k", {"val": {"img_path": "a"}}, "val=.*expected dict.img_path=FOLDER, seg_m"),
    ],
)
def test_on_folders__what_does_not_fit(name, options, message):
    given = {"data_root": "x", "classes": ["a", "b"], "train": FOLDERS, "val": FOLDERS}
    with pytest.raises(InputError, match=message):
        on_folders(recipe(name), **{**given, **options})


def test_on_folders__passes_on_the_data_sets_options():
    config = on_folders(
        recipe("ms_voc2012"), data_root="x", classes=["a", "b"], train=FOLDERS, val=FOLDERS,
        reduce_zero_label=True, img_suffix=".png",
    )  # fmt: skip
    data = config.train_dataloader.dataset
    assert (data.reduce_zero_label, data.img_suffix) == (True, ".png")
    assert "ann_file" not in data
    assert data.pipeline[2].reduce_zero_label is True
