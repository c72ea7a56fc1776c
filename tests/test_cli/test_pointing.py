"""`ttrb test` on the pointing game, without and with a register."""

import json
import shutil

import pytest

from ttr_backbones.cli import main
from ttr_backbones.package_data import configs_dir


@pytest.mark.parametrize("register", [False, True])
def test_pointing__is_scored_by_the_runner(
    shared, tiny_llava_folder, tmp_path, register, monkeypatch
):
    (tmp_path / "list.json").write_text(
        json.dumps({"model": "", "layers": {"6": [189], "7": [417]}})
    )
    whole = json.loads(
        (shared / "data" / "coco" / "annotations" / "instances_val2017.json").read_text()
    )
    whole["images"] = [i for i in whole["images"] if i["id"] == 15497]
    whole["annotations"] = [a for a in whole["annotations"] if a["image_id"] == 15497]
    (tmp_path / "coco" / "annotations").mkdir(parents=True)
    (tmp_path / "coco" / "annotations" / "instances_val2017.json").write_text(json.dumps(whole))
    (tmp_path / "coco" / "val2017").mkdir()
    name = "000000015497.jpg"
    shutil.copy(shared / "data" / "coco" / "val2017" / name, tmp_path / "coco" / "val2017")
    monkeypatch.chdir(tmp_path)
    options = [
        f"model.vlm={tiny_llava_folder}",
        "model.max_new_tokens=1",
        "test_dataloader.num_workers=0",
    ]
    options += ["test_dataloader.persistent_workers=False", "test_dataloader.batch_size=3"]
    options += ["model.neurons=list.json"] if register else []
    config = configs_dir() / "vlm" / "pointing_coco_val2017.py"
    shown = ["--show-dir", "drawn", "--work-dir", "run", "--data-root", "coco"]
    assert main(["test", str(config), *shown, "--cfg-options", *options]) == 0
    (file,) = list((tmp_path / "run").glob("*/*.json"))
    found = json.loads(file.read_text().splitlines()[-1])
    assert (found["questions"], found["unseen"]) == (3, 0)
    assert (found["largest_norm"] > 500) == (not register)
    # The couch is the whole photograph, the cat most of it, the remote a small part.
    assert found["pointing"] == pytest.approx(100 * (2 if register else 1) / 3, abs=0.1)
    assert len(list((tmp_path / "drawn").rglob("*.png"))) == 3
