"""`ttrb attribute`: from a folder with a model to numbers, a picture and a page."""

import base64
import json
import re
import shutil
import subprocess
import zlib

import numpy as np
import pytest

from ttr_backbones.cli import main

PROMPT = "where is the cat ? \\ $^{ no $ formula"
PHOTOS = ("000000015497.jpg", "000000011051.jpg")


@pytest.fixture(scope="module")
def inputs(shared, tiny_llava_folder, tmp_path_factory):
    """The model, a list of neurons, two images of COCO, and their boxes."""
    folder = tmp_path_factory.mktemp("attribute")
    neurons = {"model": "", "layers": {"6": [189], "7": [417]}}
    (folder / "neurons.json").write_text(json.dumps(neurons))
    (folder / "images").mkdir()
    for name in PHOTOS:
        shutil.copy(shared / "data" / "coco" / "val2017" / name, folder / "images")
    boxes = shared / "data" / "coco" / "annotations" / "instances_val2017.json"
    return folder, boxes, tiny_llava_folder


def attribute(inputs, out, *options):
    folder, _, model = inputs
    named = ("--images", folder / "images", "--neurons", folder / "neurons.json", "--out", out)
    return main(["attribute", str(model), *map(str, named), *map(str, options)])


def page_of(out):
    page = (out / "attribution.html").read_text(encoding="utf-8")
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return page, json.loads(data.group(1))


def test_attribute__writes_numbers_picture_and_page(inputs, tmp_path, capsys, drawn):
    options = ("--prompt", PROMPT, "--boxes", inputs[1], "--max-new-tokens", 3)
    assert attribute(inputs, tmp_path, *options, "--batch-size", 2) == 0
    told = capsys.readouterr().out
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["verdict"] in told
    assert numbers["details"] in told
    assert (tmp_path / "overview.png").stat().st_size > 10_000
    assert numbers["block"] == 10
    assert numbers["answers_changed"] == 2
    plain, register = numbers["kinds"].values()
    assert plain["on_outliers"] > 0.99
    assert register["on_outliers"] < 0.01
    assert plain["outliers"] == register["outliers"] > 0.01
    assert plain["largest_norm"] > 500 > 50 > register["largest_norm"]
    of_person, of_cat = numbers["questions"]
    assert (of_person["noun"], of_person["boxes"]) == ("cat", [])
    assert all(kind["pointing"] is None for kind in of_person["kinds"].values())
    assert plain["pointed"] == 1
    assert [kind["pointing"]["hit"] for kind in of_cat["kinds"].values()] == [False, True]
    assert [kind["answer"] for kind in of_cat["kinds"].values()] == ["corner", "object"]

    page, data = page_of(tmp_path)
    assert numbers["verdict"] in page.replace("&#x27;", "'")
    assert "2510.08510" in page
    for question in data["questions"]:
        cells = question["size"][0] * question["size"][1]
        for view in ("attention", "norm"):
            layer = question[view]
            maps = [zlib.decompress(base64.b64decode(text)) for text in layer["maps"]]
            if view == "norm":
                steps = np.frombuffer(maps[0], np.uint8).max()
                assert layer["low"] * (layer["high"] / layer["low"]) ** (
                    (steps - 1) / 254
                ) == pytest.approx(question["numbers"]["without a register"]["largest_norm"])
            assert [len(each) // cells for each in maps] == ([1, 1] if view == "norm" else [2, 2])


def test_wrong_input__costs_no_weights(inputs, tmp_path, capsys, monkeypatch):
    def never(*_, **__):
        raise AssertionError

    monkeypatch.setattr("ttr_backbones.vlm.load_vlm", never)
    for options, message in (
        (("--prompt", "where is the {category} ?"), "give --boxes"),
        (("--prompt", "what ?", "--boxes", inputs[1]), "names no category"),
        (("--prompt", "what ?", "--boxes", "no.json"), "--boxes no.json: no such file"),
        (("--prompt", "what ?", "--method", "grad"), "unknown method 'grad'"),
        (("--prompt", "what ?", "--batch-size", 0), "--batch-size 0: expected at least 1"),
    ):
        assert attribute(inputs, tmp_path / "out", *options) == 2
        assert message in capsys.readouterr().err
    assert main(["attribute", "m", "--images", "x", "--prompt", "a", "--neurons", "nowhere"]) == 2
    assert "no register-neuron list" in capsys.readouterr().err
    monkeypatch.undo()
    folder, *_ = inputs
    common = ["--images", str(folder / "images"), "--prompt", "what ?"]
    common += ["--neurons", str(folder / "neurons.json"), "--out", str(tmp_path)]
    assert main(["attribute", "./nowhere", *common]) == 2
    assert "no such folder" in capsys.readouterr().err


@pytest.mark.nightly
def test_page__draws_itself_in_a_browser(inputs, tmp_path):
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium: apt-get install chromium")
    assert attribute(inputs, tmp_path, "--prompt", "where is it ?", "--max-new-tokens", 3) == 0
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000")
    address = (tmp_path / "attribution.html").as_uri()
    shown = subprocess.run(
        [chromium, *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", address],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert re.search(r"<html[^>]*data-ready", shown)
    assert "The register changes the answer." in shown
    for word in ("corner", "object"):
        assert re.search(rf'aria-pressed="false">{word}</button>', shown)
