"""The report in a real headless Chromium: every control does what it says, nothing else happens.

The page's elements are asked for their state, its canvases for their pixels, and the browser for
what it was seen to draw, to log and to load.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from matplotlib import colormaps

pytest.importorskip("selenium", reason="no selenium: pip install -e .[test]")
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

YELLOW = [253, 231, 36]  # the end of viridis, the colour of the planted outliers


def expected_norm_colour(report, value):
    """Colour of a norm on the logarithmic scale of all blocks, images and kinds of registers."""
    norms = torch.stack([one.norms for one in report.inspections])
    low, high = norms.min().log().item(), norms.max().log().item()
    return colormaps["viridis"](round(255 * (math.log(value) - low) / (high - low)), bytes=True)


def test_norm_maps__have_the_colours_of_their_values_at_every_block(page, report):
    page.press(Keys.END)
    for block in (0, 2, 5):
        page.set("#block", block)
        assert page["#block-name"].text == f"{block} of 0–5"
        assert f"after block {block} " in page["#unit"].text
        for selector, one in zip(("#before", "#after"), report.inspections, strict=True):
            for row, column in ((0, 0), (1, 2), (3, 5)):
                colour = expected_norm_colour(report, one.norms[block, 2, row, column].item())
                assert page.pixel(selector, row, column) == pytest.approx(
                    [int(c) for c in colour], abs=5
                )
    assert page.pixel("#before", 1, 2)[:3] == YELLOW, "the planted outlier is the largest"


def test_attention__shows_each_head_and_the_mean_of_each_block(page, report):
    page.press(Keys.END)
    assert not page["#head-control"].is_displayed()
    page.show("attention")
    assert page["#head-control"].is_displayed()
    heads = Select(page["#head"])
    assert [option.text for option in heads.options] == ["mean", "0", "1", "2"]
    for place, block in enumerate((2, 5)):
        page.set("#block", place)
        assert page["#block-name"].text == str(block)
        for head in ("mean", "0", "2"):
            heads.select_by_visible_text(head)
            maps = torch.stack([one.attention[block][2] for one in report.inspections])
            maps = maps.mean(dim=1) if head == "mean" else maps[:, int(head)]
            top = maps.flatten().sort().values[int(0.99 * (maps.numel() - 1))]
            for selector, one in zip(("#before", "#after"), maps, strict=True):
                for row, column in ((0, 0), (2, 3)):
                    place_on_scale = (one[row, column] / top).clamp(max=1).item()
                    colour = colormaps["magma"](round(255 * place_on_scale), bytes=True)
                    assert page.pixel(selector, row, column) == pytest.approx(
                        [int(c) for c in colour], abs=8
                    )
            last = page["#ticks"].text.split()[-2]
            assert float(last) == pytest.approx(100 * top.item(), rel=0.05)


def test_pca__shows_colours_without_a_scale(page):
    page["#next"].click()
    page.show("pca")
    maps = [page.script("return Array.from(layers.pca[arguments[0]])", kind) for kind in (0, 1)]
    for selector, one in zip(("#before", "#after"), maps, strict=True):
        pixels = np.array(one).reshape(3, 4, 6, 3)
        assert page.pixel(selector, 2, 4)[:3] == pixels[1, 2, 4].tolist()
    assert not page["#scale"].is_displayed()
    assert not page["#block-control"].is_displayed()
    assert "principal components" in page["#unit"].text


@pytest.mark.nightly
def test_divider__uncovers_before_or_after_on_the_screen(page):
    x, y = 0.5 / 6, 1.5 / 4  # the planted outlier of the first image
    for value, outlier in ((0, False), (50, True), (100, True)):
        page.set("#split", value)
        assert (np.abs(page.seen(x, y) - YELLOW).max() < 12) == outlier, value
    page.actions().move_to_element_with_offset(
        page["#split"], page["#split"].size["width"] // 4, 0
    ).click().perform()
    assert int(page["#split"].get_attribute("value")) == pytest.approx(75, abs=3)


@pytest.mark.nightly
def test_opacity__lets_the_photograph_through(page):
    page.set("#split", 100)
    page.set("#opacity", 0)
    assert page.style("#before", "opacity") == "0"
    assert page["#opacity-name"].text == "0 %"
    assert np.abs(page.seen(0.5 / 6, 1.5 / 4) - YELLOW).max() > 12
    page.set("#opacity", 20)
    assert page.style("#before", "opacity") == "1"


def test_images__change_by_buttons_thumbnails_and_keys(page):
    assert page.image() == 1
    page["#next"].click()
    assert page.image() == 2
    assert page.pixel("#before", 1, 1)[:3] == YELLOW, "outlier of the second image"
    page["#previous"].click()
    page["#previous"].click()
    assert page.image() == 3, "around the end"
    page["#thumbnails button:nth-child(2)"].click()
    assert page.image() == 2
    right, left = Keys.ARROW_RIGHT, Keys.ARROW_LEFT
    for key, number in ((right, 3), (right, 1), (left, 3), (Keys.HOME, 1), (Keys.END, 3)):
        page.press(key)
        assert page.image() == number
    page["#block"].send_keys(Keys.ARROW_LEFT)
    assert page.image() == 3, "a slider keeps its own arrow keys"


def test_thumbnails__show_every_image_before_and_after(page):
    for number in (1, 2, 3):
        thumbnail = f"#thumbnails button:nth-child({number})"
        before = page.pixel(f"{thumbnail} canvas:nth-of-type(1)", 1, number - 1)
        after = page.pixel(f"{thumbnail} canvas:nth-of-type(2)", 1, number - 1)
        assert before[:3] == YELLOW
        assert after[1] < 120


@pytest.mark.nightly
def test_reading__tells_the_numbers_of_image_and_block(page, report):
    largest = report.inspections[1].norms[5, 0].max().item()
    page.set("#block", 5)
    assert "largest norm 500 without registers" in page["#reading"].text.replace(
        ", 1 outlier patch", ""
    )
    assert f"largest norm {largest:.2g} with one test-time register" in page["#reading"].text
    page.set("#block", report.summary["block"])
    assert "largest norm 500, 1 outlier patch without registers" in page["#reading"].text
    assert "0 outlier patches with one test-time register" in page["#reading"].text
    assert len(page.browser.find_elements("css selector", "#chart polyline")) == 4


@pytest.mark.nightly
def test_pointing__reads_the_values_of_a_patch(page, report):
    width, height = page["#split"].size["width"], page["#split"].size["height"]
    page.actions().move_to_element_with_offset(
        page["#split"], round((0.5 / 6 - 0.5) * width), round((1.5 / 4 - 0.5) * height)
    ).perform()
    block = report.summary["block"]
    after = report.inspections[1].norms[block, 0, 1, 0].item()
    text = page["#probe"].text
    assert text.startswith("Patch in row 1, column 0: without registers 500, with one test-time")
    assert float(text.split()[-1]) == pytest.approx(after, rel=0.06)


@pytest.mark.nightly
def test_theme__follows_the_system_and_the_button(page):
    def background():
        return page.script("return getComputedStyle(document.body).backgroundColor")

    light = background()
    page.colours("dark")
    dark = background()
    assert light != dark
    assert page["#theme"].text == "Light colours"
    page["#theme"].click()
    assert background() == light
    assert page["#theme"].text == "Dark colours"
    page["#theme"].click()
    assert background() == dark


@pytest.mark.nightly
def test_a_third_kind_of_registers_can_be_put_on_either_side(open_page, make_report):
    page = open_page(make_report(kinds=("trained", "test_time", "trained+test_time")))
    for side, canvas, choice in (("#left", "#before", 1), ("#right", "#after", 0)):
        Select(page[side]).select_by_index(choice)
        outlier = page.pixel(canvas, 1, 0)[:3] == YELLOW
        assert outlier == (choice == 0)
    assert page["#before-name"].text.lower() == "with one test-time register"
    assert page["#after-name"].text.lower() == "with its trained registers"


@pytest.mark.nightly
def test_one_kind_of_registers_is_shown_whole(open_page, make_report):
    page = open_page(make_report(kinds=("none",), names=tuple("abcde")))
    page["#thumbnails button:last-child"].click()
    assert np.abs(page.seen(4.5 / 6, 1.5 / 4) - YELLOW).max() < 12
    for selector in ("#split", "#handle", "#after-name"):
        assert not page[selector].is_displayed()
    assert len(page.browser.find_elements("css selector", "#thumbnails canvas")) == 5


@pytest.mark.nightly
def test_a_model_without_attention_and_names_with_tags_work_too(open_page, make_report):
    names = ("</script><img src=x onerror=alert(1)>", "b.jpg")
    page = open_page(make_report(attention_blocks=(), names=names))
    assert not page["#has-attention"].is_displayed()
    assert page.image() == 1
    page.show("pca")
    assert not page.browser.get_log("browser")
