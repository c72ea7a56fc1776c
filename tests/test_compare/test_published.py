"""The papers' numbers as the docstrings of configs tell them."""

import re

import pytest

from ttr_backbones.cli.config import find_config
from ttr_backbones.compare.published import (
    docstring,
    needs_tta,
    papers_number,
    published_numbers,
    title,
)
from ttr_backbones.packaged import configs_dir

CONFIGS = sorted(p for p in configs_dir().rglob("*.py") if "_base_" not in p.parts)


def doc(name):
    return docstring(find_config(name))


@pytest.mark.parametrize(
    ("name", "shown", "value", "std", "source"),
    [
        # The first of three is the DINOv2 paper's; the paper on test-time registers goes before it.
        ("dinov2_vitl14_linear_ade20k", "48.27 ± 0.15", 48.27, 0.15, "TTR paper, Table 13"),
        ("dinov2_vitl14_ttr_linear_ade20k", "49.13 ± 0.11", 49.13, 0.11, "TTR paper, Table 13"),
        ("dinov2_vitl14_lin1_nyu_dvt", "0.3876 ± 0.0014", 0.3876, 0.0014, "TTR paper, Table 13"),
        ("dinov2_vitl14_ttr_lost_voc07", "53.8", 53.8, None, "TTR paper, Table 5"),
        ("dinov2_vitl14_ms_ade20k", "53.1", 53.1, None, "DINOv2 paper, Table 10"),
        ("dino_vits16_lost_voc07", "61.9", 61.9, None, "LOST paper"),
    ],
)
def test_papers_number(name, shown, value, std, source):
    number = papers_number({"none": doc(name)}, "none")
    assert (number.shown, number.value, number.std) == (shown, value, std)
    assert number.source.startswith(source)


def test_papers_number__none_published():
    docs = {"none": doc("augreg_vitt16_linear_ade20k_200it"), "trained": ""}
    assert [papers_number(docs, kind) for kind in ("none", "test_time", "trained")] == [None] * 3


def test_papers_number__prefers_a_source_that_has_all_kinds():
    docs = {"none": doc("dinov2_vits14_linear_ade20k")}
    assert papers_number(docs, "none").source == "DINOv2 paper, Table 10"
    docs["trained"] = doc("dinov2_vits14_reg4_linear_ade20k")
    sources = {papers_number(docs, kind).source for kind in docs}
    assert sources == {"Denoising-ViT README (no final norm)"}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_packaged_config__is_read_as_it_was_written(path):
    text = docstring(path)
    listed = text.partition("none of it measured here:\n")[2].splitlines()
    by_eye = [re.match(r" {4}([\d.]+) ", line)[1] for line in listed if line[4:5].isdigit()]
    assert [f"{number.shown.partition(' ')[0]}" for number in published_numbers(text)] == by_eye
    assert bool(by_eye) != ("none published" in text)
    backbone, task = title(text)
    assert "register" not in backbone
    assert task
    assert needs_tta(text) == ("_ms_" in path.stem)


def test_title__is_the_same_for_all_kinds_of_registers():
    names = ("dinov2_vitl14_linear_ade20k", "dinov2_vitl14_ttr_linear_ade20k")
    names += ("dinov2_vitl14_reg4_linear_ade20k",)
    assert {title(doc(name)) for name in names} == {("DINOv2 ViT-L/14", "linear head, ADE20K")}
    assert title("") is None
    assert title("My config.") is None


def test_docstring__of_a_config_without_one(tmp_path):
    (tmp_path / "a.py").write_text("model = 1\n")
    (tmp_path / "a.json").write_text("{}")
    assert docstring(tmp_path / "a.py") == docstring(tmp_path / "a.json") == ""


def test_published_numbers__of_a_long_line():
    text = "T.\n\nPublished mIoU, not measured:\n"
    text += "    1.50 in the A paper (its\n    own way)\n    2 in B\n"
    (first, second) = published_numbers(text)
    assert (first.shown, first.source) == ("1.50", "A paper (its own way)")
    assert (second.value, second.source) == (2.0, "B")
