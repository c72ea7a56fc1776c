import ctypes
import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from ttr_backbones.datasets.libjpeg_warnings import AVAILABLE, libjpeg_damage

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="this C library has no fopencookie")

GOOD = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))[
    1
]
BAD = np.concatenate([GOOD[: len(GOOD) // 2], GOOD[-2:]])


def met(content):
    with libjpeg_damage() as damage:
        cv2.imdecode(content, cv2.IMREAD_COLOR)
    return damage


def test_damage__is_told_in_the_thread_that_decodes():
    with ThreadPoolExecutor(8) as pool:
        damage = list(pool.map(met, [GOOD, BAD, GOOD] * 50))
    assert all(damage[1::3])
    assert not any(damage[0::3])
    assert not any(damage[2::3])


def test_other_messages__go_on_to_stderr(capfd):
    library = ctypes.CDLL(None)
    library.perror(b"before")
    with libjpeg_damage() as damage:
        library.perror(b"during")
        os.write(2, b"written directly\n")
    library.perror(b"after")
    told = capfd.readouterr().err
    assert [word for word in ("before", "during", "directly", "after") if word in told] == [
        "before",
        "during",
        "directly",
        "after",
    ]
    assert not damage
