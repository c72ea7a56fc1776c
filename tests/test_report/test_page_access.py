"""The report in a real Chromium: by keyboard, on a phone, read aloud, and cut off from all else."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("selenium", reason="no selenium: pip install -e .[test]")
from selenium.webdriver.common.keys import Keys

PHONE = (360, 740)


@pytest.mark.nightly
def test_keyboard__reaches_every_control_and_shows_where_it_is(page):
    page.script("document.querySelector('[value=attention]').click()")  # without a focus
    reached = []
    while True:
        page.press(Keys.TAB)
        element = page.browser.switch_to.active_element
        if element.tag_name == "body":
            break
        reached.append(element.get_attribute("id") or element.get_attribute("value")
                       or element.get_attribute("aria-label"))  # fmt: skip
        marked = {"attention": "input:checked + span", "split": "#handle"}.get(reached[-1])
        marked = page[marked] if marked else element
        rings = (
            marked.value_of_css_property("outline-style"),
            marked.value_of_css_property("box-shadow"),
        )
        assert rings[0] == "solid" or "3px" in rings[1], f"no focus ring on {reached[-1]}"
    thumbnails = [f"Image {i}: {name}" for i, name in enumerate(page.report.names, 1)]
    order = ["theme", "attention", "block", "head", "opacity", "split", "previous", "next"]
    assert reached == [*order, *thumbnails]


@pytest.mark.nightly
def test_assistive_technology__finds_a_name_for_every_control(page):
    page.show("attention")
    nodes = page.command("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "slider", "radio", "combobox", "image"}
    named = [
        (node["role"]["value"], node["name"]["value"])
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in roles
    ]
    assert len(named) >= 14
    assert all(name.strip() for _, name in named), named
    assert ("slider", "Divider between before and after") in named


@pytest.mark.nightly
@pytest.mark.parametrize("view", ["norm", "attention", "pca"])
def test_phone__nothing_is_wider_than_the_screen(open_page, make_report, view):
    names = [f"{'long' * 20}{i}.jpg" for i in range(12)]
    kinds = ("none", "trained", "test_time", "trained+test_time")
    page = open_page(make_report(names=names, kinds=kinds), PHONE)
    page.show(view)
    width = page.script("return document.documentElement.scrollWidth")
    assert width <= PHONE[0]
    box = page["#compare"].rect
    assert box["width"] > 0.85 * PHONE[0]


@pytest.mark.nightly
def test_phone__a_finger_moves_the_divider(open_page, report):
    page = open_page(report, PHONE)
    left, top = page.script(
        "document.querySelector('#compare').scrollIntoView({block: 'center'});"
        "const b = document.querySelector('#compare').getBoundingClientRect();"
        "return [b.left, b.top]"
    )
    box = page["#compare"].rect

    def touch(kind, *points):
        points = [{"x": left + x * box["width"], "y": top + box["height"] / 2} for x in points]
        page.command("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    touch("touchStart", 0.5)
    for x in (0.6, 0.7, 0.8):
        touch("touchMove", x)
    touch("touchEnd")
    assert int(page["#split"].get_attribute("value")) == pytest.approx(80, abs=5)


def test_page__logs_nothing_and_loads_nothing(browser, open_page, report):
    browser.get_log("performance")
    page = open_page(report)
    for view in ("attention", "pca", "norm"):
        page.show(view)
        page.press(Keys.ARROW_RIGHT)
        page["#next"].click()
    page["#theme"].click()
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }
    # A browser that has just started also loads pages of its own, which no report can ask for.
    sent = {url for url in urls if not url.startswith(("data:", "chrome:"))}
    assert sent == {report.path.as_uri()}
    refused = page.script(
        "return fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => String(error))"
    )
    assert "Failed to fetch" in refused
    assert any(
        "Content Security Policy" in entry["message"] for entry in browser.get_log("browser")
    )
