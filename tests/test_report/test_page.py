"""The HTML file: small, whole, safe against what names say, and true to the real ViT."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.report.page import write_page
from ttr_backbones.report.summary import summarize


class Elements(HTMLParser):
    """Texts of the elements, by tag, and all attributes."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.attributes, self._open = {}, [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in ("meta", "link", "input", "img"):
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        self._open.remove(tag)

    def handle_data(self, data):
        if self._open:
            self.texts[self._open[-1]][-1] += data


def read(path):
    elements = Elements(path.read_text(encoding="utf-8"))
    data, script = elements.texts["script"]
    return elements, json.loads(data), script


@pytest.mark.parametrize(
    ("blocks", "heads", "side"), [(12, 3, 14), (12, 12, 37), (24, 16, 73)]
)  # 224, 518 and 1022 pixels
def test_page__of_16_images_is_under_10_megabytes(make_report, blocks, heads, side):
    names = [f"{i}.jpg" for i in range(16)]
    report = make_report(
        names=names,
        blocks=blocks,
        heads=heads,
        grid=(side, side),
        pixels=(14 * side, 14 * side),
        attention_blocks=(blocks - 1,),
    )  # photographs of noise, the largest that a JPEG can be
    assert report.path.stat().st_size < 10e6


def test_page__says_verdict_and_numbers_without_a_script(make_report):
    report = make_report()
    elements, _, _ = read(report.path)
    assert elements.texts["h1"] == [report.summary["verdict"]]
    rows = re.findall(r"<tr>(.*?)</tr>", report.path.read_text(encoding="utf-8"))
    table = {
        cells[0]: cells[1:] for cells in (re.findall(r">([^<>]+)</t[hd]>", row) for row in rows)
    }
    assert table["Outlier patches"] == ["4.2 %", "0 %"]  # one of 24 patches
    largest = round(report.inspections[1].norms[report.summary["block"]].max().item())
    assert table["Largest patch norm"] == ["500", str(largest)]
    assert set(table) >= {
        "Median patch norm", "CLS attention on outliers", "Entropy of CLS attention"
    }  # fmt: skip


def test_page__names_cannot_break_out(make_report):
    names = ["</script><script>alert(1)</script>", "<!--", "a\"b'&amp;<img src=x onerror=alert(1)>"]
    report = make_report(names=names, model="<b>vit</b>&")
    elements, data, _ = read(report.path)
    assert data["names"] == names
    assert len(elements.texts["script"]) == 2
    assert elements.texts["title"] == ["Registers: <b>vit</b>&"]
    assert "b" not in elements.texts
    assert not [name for _, name, _ in elements.attributes if name.startswith("on")]


def test_page__its_policy_allows_its_own_style_and_script_and_nothing_else(make_report):
    elements, _, script = read(make_report().path)
    policy = next(value for tag, name, value in elements.attributes
                  if tag == "meta" and name == "content" and "default-src" in value)  # fmt: skip
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for rule, text in (("script-src", script), ("style-src", elements.texts["style"][0])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    loading = [v for _, name, v in elements.attributes if name in ("src", "href", "srcset")]
    assert all(value.startswith("data:") for value in loading)


def test_page__real_outliers_are_there_before_and_gone_after(real_inspections, tmp_path):
    names = ["a", "b", "c"]
    summary = summarize(real_inspections, model="tiny", size=(224, 224), images=names)
    images = np.zeros((3, 224, 224, 3), np.uint8)
    write_page(tmp_path / "report.html", real_inspections, images, names, summary)
    _, data, _ = read(tmp_path / "report.html")
    before, after = data["outliers"]
    assert all(3 <= count <= 4 for count in before)
    assert after == [0, 0, 0]
    layer = data["norms"]
    values = [
        layer["low"] * (layer["high"] / layer["low"]) ** (np.frombuffer(maps, np.uint8) / 255.0)
        for maps in map(zlib.decompress, map(base64.b64decode, layer["maps"]))
    ]
    assert values[0].max() > 500
    assert values[1].max() < 40
    assert (values[0].reshape(12, 3, 196)[-1] > 100).sum(axis=1).tolist() == before


def test_page__a_model_without_cls_token_has_no_attention(make_report):
    report = make_report(attention_blocks=())
    elements, data, _ = read(report.path)
    assert data["attention"] == []
    assert "Entropy" not in "".join(elements.texts["th"])


def test_page__without_outliers_says_so_and_counts_none(make_report):
    report = make_report(kinds=("test_time",))
    elements, data, _ = read(report.path)
    assert data["threshold"] is None
    assert "Outlier patches" not in elements.texts["th"]
    assert elements.texts["h1"][0].startswith("No patch is an outlier")


def test_page__faults_are_explained(make_report, tmp_path):
    report = make_report()

    def write(inspections=report.inspections, images=report.images, names=report.names):
        write_page(tmp_path / "page.html", inspections, images, names, report.summary)

    with pytest.raises(InputError, match="one to four inspections, got 0"):
        write(inspections=[])
    with pytest.raises(InputError, match="were inspected, 3, got 2 images and 3 names"):
        write(images=report.images[:2])
    with pytest.raises(InputError, match=r"uint8 \[B, H, W, 3\], got float64"):
        write(images=report.images / 255)
    broken = dataclasses.replace(
        report.inspections[1], attention={5: torch.full((3, 3, 4, 6), torch.nan)}
    )
    with pytest.raises(InputError, match="attention of block 5 of the model with one test-time"):
        write(inspections=[report.inspections[0], broken])
    assert not (tmp_path / "page.html").exists()
