import numpy as np

from ttr_backbones.datasets.prepare_nyu import framed, list_line, millimetres


def test_frame__is_black_and_the_rest_is_bgr():
    image = np.random.default_rng(0).integers(1, 256, (480, 640, 3), dtype=np.uint8)
    expected = np.zeros_like(image)
    for y in range(7, 474):
        expected[y, 7:632] = image[y, 7:632, [2, 1, 0]].T
    assert np.array_equal(framed(image), expected)


def test_millimetres__are_cut_off():
    metres = np.array([[0, 0.0004, 2.7189, 9.9996]], dtype=np.float32)
    assert millimetres(metres).dtype == np.uint16
    assert millimetres(metres).tolist() == [[0, 0, 2718, 9999]]


def test_line__is_as_in_the_published_lists():
    line = list_line("bathroom/rgb_00045.jpg", "bathroom/sync_depth_00045.png")
    assert line == "/bathroom/rgb_00045.jpg /bathroom/sync_depth_00045.png 518.8579\n"
