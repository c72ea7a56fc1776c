"""Numbers of a segmentation's picture."""

import numpy as np
import pytest

from ttr_backbones.tasks.drawing.masks import draw_mask

PALETTE = np.array([[255, 0, 0], [0, 0, 255]] * 20, dtype=np.uint8)
CLASSES = [f"thing {number}" for number in range(40)]


@pytest.mark.parametrize("shape", [(120, 160), (300, 60)])
def test_classes_have_their_colours_over_the_image(shape):
    image, mask = np.full((*shape, 3), 100, np.uint8), np.zeros(shape, np.uint8)
    mask[:, shape[1] // 2 :] = 1
    picture = draw_mask(image, mask, CLASSES, PALETTE, title="a.jpg").astype(int)
    height, width = picture.shape[:2]
    assert width > 800
    # 65 % of the colour over 35 % of the image, each on half of the right panel.
    red, blue = (np.abs(picture - c).max(axis=2) < 3 for c in ([200, 35, 35], [35, 35, 200]))
    assert 0.01 * height * width < red.sum()
    assert abs(red.sum() - blue.sum()) < 0.05 * red.sum()
    assert red.nonzero()[1].min() > width / 2
    assert red.nonzero()[1].max() <= blue.nonzero()[1].min()


def test_legend__grows_with_the_classes_up_to_a_point():
    image = np.zeros((120, 160, 3), np.uint8)
    heights = []
    for count in (1, 8, 20, 40):
        mask = (np.arange(120 * 160) % count).reshape(120, 160)
        heights.append(draw_mask(image, mask, CLASSES, PALETTE, title="").shape[0])
    assert heights[0] < heights[1] < heights[2] == heights[3]


def test_draw_mask__of_a_portrait_keeps_its_title_whole():
    image = np.zeros((320, 240, 3), np.uint8)
    classes = [f"class {number}" for number in range(20)]
    mask = np.arange(320 * 240).reshape(320, 240) % 20
    palette = np.zeros((20, 3), np.uint8)
    picture = draw_mask(image, mask, classes, palette, title="exif6.jpg")
    assert (picture[:2] == 255).all()
