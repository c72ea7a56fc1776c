"""Connected components of many images at once, each as if it were alone."""

import numpy as np
import scipy.ndimage

from ttr_backbones.object_discovery.components import boxes_around, seed_components


def test_every_image_is_as_if_alone():
    rng = np.random.default_rng(0)
    masks = rng.random((40, 7, 9)) < 0.6
    seeds = rng.integers(0, 63, 40)
    np.put_along_axis(masks.reshape(40, -1), seeds[:, None], True, axis=1)
    kept = seed_components(masks, seeds)
    boxes = boxes_around(kept, (10, 16), (66, 140))
    for mask, seed, component, box in zip(masks, seeds, kept, boxes, strict=True):
        labels, _ = scipy.ndimage.label(mask)
        expected = labels == labels[np.unravel_index(seed, mask.shape)]
        assert (component == expected).all()
        rows, columns = scipy.ndimage.find_objects(expected.astype(int))[0]
        ends = [min(columns.stop * 16, 140), min(rows.stop * 10, 66)]
        assert box.tolist() == [columns.start * 16, rows.start * 10, *ends]


def test_equal_neighbours_in_the_batch_are_not_joined():
    masks = np.zeros((2, 1, 3), dtype=bool)
    masks[0, 0, :2] = masks[1, 0, 1:] = True
    assert seed_components(masks, np.array([0, 2])).tolist() == masks.tolist()
    assert boxes_around(masks, (8, 8), (8, 24)).tolist() == [[0, 0, 16, 8], [8, 0, 24, 8]]


def test_corners_do_not_connect():
    mask = np.eye(3, dtype=bool)[None]
    assert boxes_around(seed_components(mask, np.array([4])), (2, 2), (6, 6)).tolist() == [
        [2, 2, 4, 4]
    ]
