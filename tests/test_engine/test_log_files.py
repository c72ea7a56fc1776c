import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from ttr_backbones.atomic import UnwritableError
from ttr_backbones.engine import SafeVisBackend, stop_on_log_errors

FULL = Path("/dev/full")  # a device of Linux on which every write fails for want of space


@pytest.fixture
def backend(tmp_path):
    return SafeVisBackend(str(tmp_path / "vis_data"))


def make_logger(path):
    logger = logging.Logger("test_log_files")  # noqa: LOG001 -- mmengine's are like this
    logger.addHandler(logging.FileHandler(path))
    stop_on_log_errors(logger)
    return logger


def test_backend__writes_what_mmengine_s_does(backend, tmp_path):
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    backend.add_config(Config({"lr": 0.1}))
    backend.add_scalars({"loss": 0.5}, step=1, file_path="all.json")
    backend.add_scalar("lr", 0.25, step=2)
    backend.add_image("map", image, step=3)
    folder = tmp_path / "vis_data"
    lines = [json.loads(line) for line in (folder / "scalars.json").read_text().splitlines()]
    assert lines == [{"loss": 0.5, "step": 1}, {"lr": 0.25, "step": 2}]
    assert (folder / "all.json").read_text() == (folder / "scalars.json").read_text()[:25]
    assert Config.fromfile(folder / "config.py").lr == 0.1
    written = cv2.imread(str(folder / "vis_image" / "map_3.png"))
    assert np.array_equal(written[..., ::-1], image)


@pytest.mark.skipif(not FULL.exists(), reason="needs Linux's /dev/full")
def test_full_disk__ends_the_run_with_the_file_s_name(backend, tmp_path, capsys):
    backend.add_scalar("lr", 0.25)
    for name in ("scalars.json", "vis_image/map_3.png"):
        path = tmp_path / "vis_data" / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(FULL)
    with pytest.raises(UnwritableError, match=r"scalars.json cannot be written: no space is left"):
        backend.add_scalar("lr", 0.25)
    with pytest.raises(
        UnwritableError, match=r"map_3.png \(\d+ bytes\) cannot be written: no space"
    ):
        backend.add_image("map", np.zeros((4, 4, 3), dtype=np.uint8), step=3)

    logger = make_logger(FULL)
    with pytest.raises(UnwritableError, match=r"^/dev/full cannot be written: no space is left"):
        logger.info("a line")
    logger.handlers[0].close()  # and nothing is left that would fail again
    assert capsys.readouterr().err == ""


def test_other_errors_of_a_log__are_told_as_ever(tmp_path, capsys):
    logger = make_logger(tmp_path / "log")
    logger.info("%d", "no number")
    assert "--- Logging error ---" in capsys.readouterr().err
