import cv2
import numpy as np
import pytest
from PIL import Image

from ttr_backbones.datasets import LoadImage, LoadSegMask
from ttr_backbones.errors import InputError, MissingFileError


@pytest.fixture
def image(tmp_path):
    """The path of a JPEG of 40 x 30 pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "image.jpg"), pixels)
    return tmp_path / "image.jpg"


def load(path):
    return LoadImage()({"img_path": str(path)})


def load_mask(path, size=(30, 40), reduce_zero_label=False, label_map=None, **kwargs):
    results = {
        "img_path": "image.jpg",
        "ori_shape": size,
        "img_shape": (7, 7),  # after a resize; the mask keeps the original size
        "seg_map_path": str(path),
        "reduce_zero_label": reduce_zero_label,
        "label_map": label_map,
        "seg_fields": [],
    }
    return LoadSegMask(**kwargs)(results)["gt_seg_map"]


def save_mask(path, mask, mode=None):
    Image.fromarray(mask, mode).save(path)
    return path


def plain_mask(value=1):
    return np.full((30, 40), value, dtype=np.uint8)


def test_image__is_what_opencv_reads(image):
    results = load(image)
    assert np.array_equal(results["img"], cv2.imread(str(image)))
    assert results["img_shape"] == results["ori_shape"] == (30, 40)


def test_grey_image__becomes_three_equal_channels(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (30, 40), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    assert np.array_equal(load(tmp_path / "grey.png")["img"], np.stack([grey] * 3, axis=2))


def test_image_with_trailing_bytes__is_complete(image):
    image.write_bytes(image.read_bytes() + bytes(5000))
    assert load(image)["img"].shape == (30, 40, 3)


def test_missing_image(tmp_path):
    with pytest.raises(
        MissingFileError, match=r"image .*a.jpg does not exist, though the data set"
    ):
        load(tmp_path / "a.jpg")


def test_unreadable_image(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read: Is a directory. Check its perm"):
        load(tmp_path)


def test_empty_image(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(InputError, match=r"a.jpg is empty \(0 bytes\)"):
        load(tmp_path / "a.jpg")


def test_image_that_is_a_web_page(tmp_path):
    (tmp_path / "a.jpg").write_text("<html>not found</html>")
    with pytest.raises(InputError, match=r"beginning with b'<htm'\) cannot be decoded"):
        load(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_truncated_image(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), pixels)
    path.write_bytes(path.read_bytes()[:-20_000])
    with pytest.raises(InputError, match=rf"a.{suffix} .*cannot be decoded.*download it again"):
        load(path)


def test_color_type_that_keeps_one_channel(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.zeros((30, 40), dtype=np.uint8))
    with pytest.raises(InputError, match=r"was read as \[30, 40\], expected \[H, W, 3\]"):
        LoadImage(color_type="grayscale")({"img_path": str(tmp_path / "grey.png")})


def test_mask__is_read_unchanged(tmp_path):
    mask = np.arange(1200, dtype=np.uint8).reshape(30, 40)
    assert np.array_equal(load_mask(save_mask(tmp_path / "m.png", mask)), mask)


def test_palette_mask__gives_its_indices(tmp_path):
    image = Image.fromarray(plain_mask(7), "P")
    image.putpalette(list(range(256)) * 3)
    image.save(tmp_path / "m.png")
    assert np.unique(load_mask(tmp_path / "m.png")).tolist() == [7]


@pytest.mark.parametrize("label_map", [None, {0: 2, 1: 255, 2: 0, 254: 254}])
@pytest.mark.parametrize("reduce_zero_label", [False, True])
def test_labels__equal_mmseg(tmp_path, reduce_zero_label, label_map):
    from mmseg.datasets.transforms import LoadAnnotations

    path = save_mask(tmp_path / "m.png", np.arange(1200, dtype=np.uint8).reshape(30, 40))
    results = {"seg_map_path": str(path), "reduce_zero_label": reduce_zero_label, "seg_fields": []}
    expected = LoadAnnotations()(results | {"label_map": label_map})["gt_seg_map"]
    labels = load_mask(path, reduce_zero_label=reduce_zero_label, label_map=label_map)
    assert labels.dtype == expected.dtype
    assert np.array_equal(labels, expected)


def test_missing_mask(tmp_path):
    with pytest.raises(MissingFileError, match=r"the mask .*m.png does not exist"):
        load_mask(tmp_path / "m.png")


def test_truncated_mask(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400), dtype=np.uint8)
    path = save_mask(tmp_path / "m.png", noise)
    path.write_bytes(path.read_bytes()[:-20_000])
    with pytest.raises(InputError, match=r"the mask .*m.png .*cannot be decoded.*complete PNG"):
        load_mask(path)


def test_colour_mask(tmp_path):
    path = save_mask(tmp_path / "m.png", np.zeros((30, 40, 3), dtype=np.uint8))
    with pytest.raises(InputError, match=r"read as \[30, 40, 3\] of uint8: expected one channel"):
        load_mask(path)


def test_mask_of_sixteen_bits(tmp_path):
    path = save_mask(tmp_path / "m.png", np.full((30, 40), 1000, dtype=np.uint16))
    with pytest.raises(InputError, match=r"values 1000..1000 of .*expected class numbers 0..255"):
        load_mask(path)


def test_mask_of_another_size(tmp_path):
    path = save_mask(tmp_path / "m.png", plain_mask())
    with pytest.raises(InputError, match=r"is 40x30 pixels and its image image.jpg is 20x30"):
        load_mask(path, size=(30, 20))


@pytest.mark.parametrize(
    ("value", "reduce_zero_label", "expected"),
    [(3, False, r"label\(s\) \[3\]: expected 0..2, and 255"), (4, True, r"\[4\]: expected 1..3")],
)
def test_label_out_of_range(tmp_path, value, reduce_zero_label, expected):
    path = save_mask(tmp_path / "m.png", plain_mask(value))
    with pytest.raises(InputError, match=expected):
        load_mask(path, num_classes=3, reduce_zero_label=reduce_zero_label)


@pytest.mark.parametrize(("value", "reduce_zero_label"), [(255, False), (0, True), (3, True)])
def test_label_in_range(tmp_path, value, reduce_zero_label):
    path = save_mask(tmp_path / "m.png", plain_mask(value))
    load_mask(path, num_classes=3, reduce_zero_label=reduce_zero_label)


def test_contradicting_reduce_zero_label(tmp_path):
    path = save_mask(tmp_path / "m.png", plain_mask())
    with pytest.raises(InputError, match=r"has reduce_zero_label=True and the data set False"):
        LoadSegMask(reduce_zero_label=True)._load_seg_map(
            {"seg_map_path": str(path), "reduce_zero_label": False}
        )
