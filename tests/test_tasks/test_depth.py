import numpy as np
import pytest
from matplotlib import colormaps
from scipy import ndimage

from ttr_backbones.tasks.drawing.depth import draw_depth

SIZE = (120, 160)
LEFT = np.arange(SIZE[1]) < SIZE[1] // 2
GREY = (191, 191, 191)  # what the colour map does not have
PANEL = 20_000  # pixels of half a panel, about; the colour bar and the legend have far fewer


def halves(left, right):
    """A depth map of two values."""
    return np.broadcast_to(np.where(LEFT, left, right), SIZE).astype(np.float32)


def draw(prediction, truth, size=SIZE):
    return draw_depth(np.full((*size, 3), (0, 200, 0), dtype=np.uint8), prediction, truth)


def colour(share):
    """The colour of a depth this share of the way from the nearest to the farthest."""
    return np.round(np.multiply(colormaps["magma_r"](float(share))[:3], 255))


def areas(picture, wanted):
    """The large areas of a colour from left to right, as (row, column) slices."""
    same = (np.abs(picture.astype(int) - np.asarray(wanted, dtype=int)) <= 1).all(axis=2)
    labels, _ = ndimage.label(same)
    found = [area for area in ndimage.find_objects(labels) if same[area].sum() > PANEL]
    return sorted(found, key=lambda area: area[1].start)


@pytest.fixture
def titles(monkeypatch):
    seen = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_title", lambda self, text, **_: seen.append(text))
    return seen


def test_picture__has_its_panels_and_one_scale():
    picture = draw(prediction=halves(4, 2), truth=halves(1, 4))
    assert picture.dtype == np.uint8
    assert picture.shape[1] > 1100
    (image,), (near,), (middle,) = (
        areas(picture, wanted) for wanted in ((0, 200, 0), colour(0), colour(1 / 3))
    )
    # 4 m are in both panels, right in the truth and left in the prediction, in one colour.
    far_truth, far_prediction = areas(picture, colour(1))
    order = [image, near, far_truth, far_prediction, middle]
    assert [area[1].start for area in order] == sorted(area[1].start for area in order)
    assert near[1].stop == pytest.approx(far_truth[1].start, abs=3)
    assert far_prediction[1].stop == pytest.approx(middle[1].start, abs=3)
    assert [area[0].start for area in order] == pytest.approx([image[0].start] * 5, abs=3)
    assert [area[0].stop for area in order] == pytest.approx([image[0].stop] * 5, abs=3)
    width = (image[1].stop - image[1].start) / 2
    assert [area[1].stop - area[1].start for area in order[1:]] == pytest.approx([width] * 4, abs=3)
    assert not areas(picture, GREY)


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf, 0, -1])
def test_picture__marks_what_is_no_depth(missing):
    (grey,) = areas(draw(prediction=halves(missing, 2), truth=halves(1, 4)), GREY)
    whole = draw(prediction=halves(4, 2), truth=halves(1, 4))
    assert grey == areas(whole, colour(1))[1]  # the left of the prediction
    if missing == 0:  # as truth is stored
        (grey,) = areas(draw(prediction=halves(4, 2), truth=halves(1, missing)), GREY)
        assert grey == areas(whole, colour(1))[0]


def test_picture__says_what_grey_is_only_where_there_is_some(monkeypatch):
    shown = []
    legend = "matplotlib.axes.Axes.legend"
    monkeypatch.setattr(legend, lambda self, handles, **_: shown.append(handles[0].get_label()))
    draw(prediction=halves(4, 2), truth=halves(1, 4))
    assert shown == []
    draw(prediction=halves(4, 2), truth=halves(1, 0))
    assert shown == ["no depth"]


def test_picture__of_a_truth_that_is_missing_everywhere(titles):
    picture = draw(prediction=halves(4, 2), truth=halves(0, 0))
    (grey,), (near,), (far,) = (areas(picture, wanted) for wanted in (GREY, colour(0), colour(1)))
    assert grey[1].stop - grey[1].start > 1.9 * (near[1].stop - near[1].start)
    assert grey[1].stop < far[1].start < near[1].start
    assert titles == ["image", "ground truth", "prediction"]


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        (halves(4, 2), None, ["image", "prediction"]),
        (None, halves(1, 4), ["image", "ground truth"]),
        (None, None, ["image"]),
    ],
)
def test_picture__of_what_there_is(titles, prediction, truth, expected):
    picture = draw(prediction, truth)
    assert titles == expected
    (image,) = areas(picture, (0, 200, 0))
    assert picture.shape[1] > len(expected) * (image[1].stop - image[1].start)
    assert len(areas(picture, colour(0)) + areas(picture, colour(1))) == 2 * (len(expected) - 1)


def test_headline__is_the_error_over_pixels_that_have_both(titles):
    truth, prediction = np.zeros(SIZE), np.full(SIZE, 100.0)
    truth[0], prediction[0] = 1, 2  # errors of 1 m
    truth[1], prediction[1] = 1, 4  # errors of 3 m
    truth[2], prediction[2] = 1, np.nan
    draw(prediction, truth)
    assert titles[-1] == f"prediction: RMSE {5**0.5:.2f} m, all pixels"


@pytest.mark.parametrize(
    ("prediction", "truth"),
    [(halves(3, 3), halves(3, 3)), (halves(np.nan, np.nan), halves(0, 0))],
    ids=["one depth", "none"],
)
def test_picture__without_a_range(prediction, truth, recwarn):
    assert draw(prediction, truth).std() > 0
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize("size", [(352, 1216), (900, 100), (1, 1)], ids=["wide", "tall", "pixel"])
def test_picture__of_any_shape_stays_legible(size, recwarn):
    picture = draw(np.full(size, 2.0), np.full(size, 3.0), size)
    assert 700 <= picture.shape[1] <= 1400
    assert 150 <= picture.shape[0] <= 4000
    assert not [str(w.message) for w in recwarn if "constrained_layout" in str(w.message)]


def test_inputs__are_left_alone():
    prediction, truth = halves(np.nan, 2).copy(), halves(1, 0).copy()
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    draw_depth(image, prediction, truth)
    np.testing.assert_array_equal(prediction, halves(np.nan, 2))
    np.testing.assert_array_equal(truth, halves(1, 0))
    assert not image.any()
