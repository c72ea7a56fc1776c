"""Reports on made-up inspections, whose every value is known; the real ViT's; and a browser."""

from __future__ import annotations

import io
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ttr_backbones.backbones import create_vit
from ttr_backbones.registers import RegisterNeurons, add_test_time_registers
from ttr_backbones.report.inspection import Inspection, inspect_model
from ttr_backbones.report.page import write_page
from ttr_backbones.report.summary import summarize

TINY = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
NUM_REGISTERS = {"none": 0, "trained": 0, "test_time": 1, "trained+test_time": 1}


def made_up_inspection(registers, *, images, blocks, heads, grid, attention_blocks, seed=0):
    """Norms of 8 to 12; without test-time registers, 500 at one patch from the middle block on.

    That patch is in row 1 and, in image i, in column i of the grid (from its start after the end).
    """
    make = torch.Generator().manual_seed(seed)
    h, w = grid
    norms = 8 + 4 * torch.rand(blocks, images, h, w, generator=make)
    attention = {
        block: torch.rand(images, heads, h * w, generator=make).softmax(2).unflatten(2, grid)
        for block in attention_blocks
    }
    if NUM_REGISTERS[registers] == 0:
        for image in range(images):
            norms[blocks // 2 :, image, 1, image % w] = 500
            for weights in attention.values():
                weights[image, :, 1, image % w] = 0.3
    return Inspection(
        registers=registers,
        num_registers=NUM_REGISTERS[registers],
        norms=norms,
        cls_norms=None,
        register_norms=None,
        attention=attention,
        features=torch.randn(images, 8, h, w, generator=make),
        activations={},
    )


@pytest.fixture(scope="session")
def make_report(tmp_path_factory):
    """Write a report on made-up inspections, and give what it was made of."""

    def make(
        *,
        kinds=("none", "test_time"),
        names=("one.jpg", "two.jpg", "three.jpg"),
        blocks=6,
        heads=3,
        grid=(4, 6),
        pixels=(64, 96),
        attention_blocks=(2, 5),
        model="vit_made_up",
    ):
        inspections = [
            made_up_inspection(
                kind,
                images=len(names),
                blocks=blocks,
                heads=heads,
                grid=grid,
                attention_blocks=attention_blocks,
                seed=seed,
            )
            for seed, kind in enumerate(kinds)
        ]
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (len(names), *pixels, 3), dtype=np.uint8)
        summary = summarize(inspections, model=model, size=pixels, images=names)
        path = tmp_path_factory.mktemp("page") / "new" / "report.html"
        write_page(path, inspections, images, names, summary)
        return SimpleNamespace(
            path=path, inspections=inspections, images=images, names=names, summary=summary
        )

    return make


@pytest.fixture(scope="session")
def real_inspections(shared, tiny_weights):
    """The real ViT on three photographs without and with the register of its bundled list."""
    from ttr_backbones.images.batches import image_batches
    from ttr_backbones.images.photos import photo_files

    vit = create_vit(TINY, pretrained=False, checkpoint=tiny_weights).eval()
    files = photo_files(shared / "data/photos")[:3]
    images = torch.cat(list(image_batches(files, vit, size=224)))
    before = inspect_model(vit, images)
    add_test_time_registers(vit, RegisterNeurons.bundled(TINY))
    return before, inspect_model(vit, images)


FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PIXEL = """
const canvas = document.querySelector(arguments[0]);
return Array.from(canvas.getContext("2d").getImageData(arguments[2], arguments[1], 1, 1).data);
"""
BOX = """
const box = document.querySelector("#compare").getBoundingClientRect();
return [box.left, box.top, box.width, box.height];
"""


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A headless Chromium that notes what it logs and loads."""
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="no selenium: pip install -e .[test]"
    )
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no Chromium: apt-get install chromium chromium-driver")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options=options, service=Service(driver)) as browser:
        yield browser


class Page:
    """A report that is open in the browser."""

    def __init__(self, browser, report, size=(1280, 900)):
        from selenium.webdriver.support.wait import WebDriverWait

        self.browser, self.report = browser, report
        width, height = size
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        self.command("Emulation.setTouchEmulationEnabled", enabled=width < 600)
        self.colours("light")
        browser.get("about:blank")
        browser.get_log("browser")  # what earlier pages said
        browser.get(report.path.as_uri())
        WebDriverWait(browser, 30).until(lambda _: self["html"].get_attribute("data-ready") == "")

    def command(self, name, **arguments):
        return self.browser.execute_cdp_cmd(name, arguments)

    def colours(self, scheme):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.command("Emulation.setEmulatedMedia", features=[feature])

    def __getitem__(self, selector):
        return self.browser.find_element("css selector", selector)

    def script(self, code, *arguments):
        return self.browser.execute_script(code, *arguments)

    def style(self, selector, name):
        return self[selector].value_of_css_property(name)

    def show(self, view):
        self[f"input[value={view}]"].click()

    def actions(self):
        from selenium.webdriver.common.action_chains import ActionChains

        return ActionChains(self.browser)

    def press(self, *keys):
        self.actions().send_keys(*keys).perform()

    def set(self, selector, value):
        """Move a slider by keys, from its lower end."""
        from selenium.webdriver.common.keys import Keys

        self[selector].send_keys(Keys.HOME, *[Keys.ARROW_RIGHT] * value)

    def pixel(self, selector, row, column):
        return self.script(PIXEL, selector, row, column)

    def seen(self, x, y):
        """Colour that is on the screen at a share of the compared picture's width and height."""
        left, top, width, height = self.script(BOX)
        png = self.browser.get_screenshot_as_png()
        screen = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
        return screen[int(top + y * height), int(left + x * width)].astype(int)

    def image(self):
        """Number of the image on view, by everything that tells it."""
        shown = int(self["#position"].text.split(" / ")[0])
        assert self["#name"].text == self.report.names[shown - 1]
        current = self.browser.find_elements("css selector", "[aria-current=true]")
        assert [one.get_attribute("aria-label") for one in current] == [
            f"Image {shown}: {self.report.names[shown - 1]}"
        ]
        assert self["#photo"].get_attribute("src") == self.script(
            "return data.photos[arguments[0]]", shown - 1
        )
        return shown


@pytest.fixture
def open_page(browser):
    """Open a report: `open_page(report, size)`."""

    def open_it(report, size=(1280, 900)):
        return Page(browser, report, size)

    return open_it


@pytest.fixture(scope="session")
def report(make_report):
    return make_report()


@pytest.fixture
def page(open_page, report):
    return open_page(report)
