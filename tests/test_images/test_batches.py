"""Images from every kind of source become the same batches; bad files are named."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.images.batches import image_batches


@pytest.fixture
def vit(make_vit):
    return make_vit()


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, pixels):
    """Six usable images: four in RGB, one gray, one CMYK."""
    for i in range(4):
        Image.fromarray(np.roll(pixels, i, axis=0)).save(tmp_path / f"{i}.png")
    Image.fromarray(pixels).convert("L").save(tmp_path / "gray.png")
    (tmp_path / "deeper").mkdir()
    Image.fromarray(pixels).convert("CMYK").save(tmp_path / "deeper" / "cmyk.JPG")
    (tmp_path / "notes.txt").write_text("not an image")
    return tmp_path


@pytest.fixture
def bad_folder(folder):
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("hello")
    whole = (folder / "0.png").read_bytes()
    (folder / "half.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (1, 1)).save(folder / "pixel.png")
    Image.fromarray(np.full((80, 80), 1.5, dtype=np.float32)).save(folder / "depth.tif")
    return folder


BAD = {"empty.jpg", "text.jpg", "half.png", "pixel.png", "depth.tif"}


def joined(batches):
    return torch.cat(list(batches))


@pytest.mark.parametrize("batch_size", [1, 3, 8, 100])
def test_tensor__comes_back_in_batches(vit, batch_size):
    images = torch.randn(8, 3, 64, 64)
    batches = image_batches(images, vit, batch_size=batch_size)
    assert next(len(b) for b in batches) == min(batch_size, 8)
    assert len(list(batches)) == len(batches) == -(-8 // batch_size)
    assert torch.equal(joined(batches), images)
    assert (batches.num_images, batches.size, batches.files) == (8, (64, 64), [])


@pytest.mark.parametrize(
    "source",
    [
        list,
        lambda x: [x[:3], x[3:]],
        lambda x: [x[0], x[1:]],
        lambda x: torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(x, torch.arange(len(x))), batch_size=3
        ),
    ],
    ids=["images", "batches", "both", "loader"],
)
def test_iterable__is_batched_anew(vit, source):
    images = torch.randn(7, 3, 64, 64)
    batches = image_batches(source(images), vit, batch_size=4)
    with pytest.raises(TypeError, match="not known"):
        len(batches)
    for _ in range(2):
        assert [len(b) for b in batches] == [4, 3]
    assert torch.equal(joined(batches), images)
    assert (batches.num_images, batches.size, len(batches)) == (7, (64, 64), 2)


def test_iterable__images_of_several_sizes(vit):
    images = [torch.randn(3, 64, 64), torch.randn(3, 32, 64), torch.randn(3, 32, 64)]
    shapes = [tuple(batch.shape) for batch in image_batches(images, vit)]
    assert shapes == [(1, 3, 64, 64), (2, 3, 32, 64)]


def test_iterable__memory_does_not_grow(vit):
    class Endless:
        def __iter__(self):
            while True:
                yield torch.zeros(5, 3, 64, 64)

    batches = image_batches(Endless(), vit, batch_size=2, num_images=9)
    assert [len(b) for b in batches] == [2, 2, 2, 2, 1]


def test_generator__gives_one_pass(vit):
    images = torch.randn(5, 3, 64, 64)
    batches = image_batches(iter(images), vit)
    assert not batches.reiterable
    assert torch.equal(joined(batches), images)
    with pytest.raises(InputError, match=r"a second pass .* only once: pass a tensor, a folder"):
        list(batches)


def test_batches__fit_the_model_s_dtype(vit):
    batches = image_batches(torch.zeros(1, 3, 64, 64), vit.double())
    assert next(iter(batches)).dtype == torch.float64


def test_batches__come_back_as_they_are(vit):
    batches = image_batches(torch.zeros(1, 3, 64, 64), vit)
    assert image_batches(batches, vit) is batches


def test_folder__is_resized_cropped_and_normalised(vit, tmp_path):
    left, middle = np.zeros((64, 32, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    Image.fromarray(np.concatenate([left, middle, left], axis=1)).save(tmp_path / "a.png")
    (batch,) = image_batches(tmp_path, vit)
    assert torch.equal(batch, torch.ones(1, 3, 64, 64))  # 0.5 and 0.5 without a config
    vit.pretrained_cfg = {"mean": (0.0, 0.5, 1.0), "std": (0.5, 0.5, 0.25)}
    (batch,) = image_batches(tmp_path, vit, size=32)
    assert batch.shape == (1, 3, 32, 32)
    inner = batch[0, :, :, 4:-4].mean(dim=(1, 2))  # the filter reaches over the edge of the square
    assert torch.allclose(inner, torch.tensor([2.0, 1.0, 0.0]), atol=1e-6)


def test_folder__takes_every_colour_mode(vit, folder):
    batches = image_batches(folder, vit, batch_size=4)
    assert [len(b) for b in batches] == [4, 2]
    assert (len(batches), batches.num_images, batches.bad) == (2, 6, [])
    assert {(f.name, mode) for f, mode in batches.gray_or_cmyk} == {
        ("cmyk.JPG", "CMYK"),
        ("gray.png", "L"),
    }
    gray = dict(zip([f.name for f in batches.files], joined(batches), strict=True))["gray.png"]
    assert torch.equal(gray[0], gray[1])


def test_folder__equals_its_list_of_files(vit, folder):
    files = [str(file) for file in image_batches(folder, vit).files]
    assert torch.equal(joined(image_batches(files, vit)), joined(image_batches(folder, vit)))


def test_folder__applies_the_camera_s_rotation(vit, tmp_path):
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees: the top is on the right
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    (batch,) = image_batches(tmp_path, vit)
    assert batch[0, 0, :, :32].mean() == -1
    assert batch[0, 0, :, 32:].mean() == 1


def test_num_images__is_spread_over_the_folder(vit, folder):
    names = [f.name for f in image_batches(folder, vit, num_images=3).files]
    assert names == ["0.png", "2.png", "cmyk.JPG"]
    assert image_batches(folder, vit, num_images=99).num_images == 6


def test_bad_files__are_all_named(vit, bad_folder):
    (bad_folder / "half.png").unlink()  # its header is fine
    with pytest.raises(InputError, match=r"^4 of 10 images cannot be used; .*--skip-bad") as error:
        image_batches(bad_folder, vit)
    told = str(error.value)
    assert all(name in told for name in BAD - {"half.png"})
    assert "pixel.png: 1 x 1 pixels" in told
    assert "empty.jpg: empty file" in told
    assert "text.jpg: not an image" in told
    assert "depth.tif: colour mode F, expected 8 or 16 bits" in told


def test_truncated_file__is_named_when_it_is_read(vit, folder, bad_folder):
    for name in BAD - {"half.png"}:
        (bad_folder / name).unlink()
    batches = image_batches(bad_folder, vit)
    with pytest.raises(InputError, match=r"1 of 7 .*--skip-bad.*\n.*half\.png: cannot be decoded"):
        list(batches)


def test_bad_files__are_left_out_on_request(vit, bad_folder):
    batches = image_batches(bad_folder, vit, on_bad="skip", batch_size=4)
    for _ in range(2):
        assert [len(b) for b in batches] == [4, 2]
        assert sorted(f.name for f, _ in batches.bad) == sorted(BAD)
    assert batches.num_images == len(batches.files) == 6


def test_bad_files_only(vit, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="1 of 1 images cannot be used; none is left"):
        image_batches(tmp_path, vit, on_bad="skip")


@pytest.mark.parametrize("kind", ["tensor", "list", "folder", "loader"])
def test_split__is_even_and_loses_nothing(vit, folder, kind):
    images = torch.arange(10.0).view(10, 1, 1, 1).expand(10, 3, 64, 64)
    source = {
        "tensor": images,
        "list": list(images),
        "loader": torch.utils.data.DataLoader(list(images), batch_size=3),
        "folder": folder,
    }[kind]
    batches = image_batches(source, vit, batch_size=3)
    rest, held = batches.split(0.3)
    parts = torch.cat([joined(rest), joined(held)])
    assert len(parts) == batches.num_images or len(parts) == 10
    assert held.num_images == int(0.3 * len(parts))
    if kind == "folder":
        assert sorted(rest.files + held.files) == sorted(batches.files)
    else:
        assert joined(held)[:, 0, 0, 0].tolist() == [3.0, 6.0, 9.0]


def test_split__shares_what_was_found_bad(vit, bad_folder):
    batches = image_batches(bad_folder, vit, on_bad="skip")
    for part in batches.split(0.5):
        list(part)
    assert sorted(f.name for f, _ in batches.bad) == sorted(BAD)


def test_split__errors(vit):
    images = torch.zeros(3, 3, 64, 64)
    with pytest.raises(InputError, match="3 images are too few"):
        image_batches(images, vit).split(0.25)
    with pytest.raises(InputError, match="between 0 and 1"):
        image_batches(images, vit).split(1.0)
    with pytest.raises(InputError, match=r"holding images out .* only once"):
        image_batches(iter(images), vit).split(0.5)


def test_progress__counts_images(vit):
    seen = []
    images = torch.zeros(5, 3, 64, 64)
    list(image_batches(images, vit, batch_size=2, progress=lambda *at: seen.append(at)))
    list(image_batches(iter(images), vit, progress=lambda *at: seen.append(at)))
    assert seen == [(2, 5), (4, 5), (5, 5), (5, None)]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 64, 64), r"expected normalised images, \[B, 3, H, W\], got \(3, 64, 64\)"),
        (torch.zeros(1, 1, 64, 64), r"got \(1, 1, 64, 64\)"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "got torch.uint8"),
        (torch.full((1, 3, 64, 64), torch.nan), "NaN"),
        (torch.zeros(1, 3, 60, 64), "size 60 is no multiple .* 16 pixels: use 48 or 64"),
        (torch.zeros(1, 3, 64, 8), "size 8 .* use 16"),
        (torch.zeros(0, 3, 64, 64), "no images"),
        ([], "no images"),
        ([{"image": 1}], "got dict"),
        (["a.png", torch.zeros(3, 64, 64)], "got str"),
        (7, "got int"),
        (None, "got NoneType"),
    ],
)
def test_wrong_images(vit, images, message):
    with pytest.raises(InputError, match=message):
        list(image_batches(images, vit))


def test_wrong_folder(vit, tmp_path):
    with pytest.raises(MissingFileError, match="none: no such folder"):
        image_batches(tmp_path / "none", vit)
    with pytest.raises(InputError, match="holds no image"):
        image_batches(tmp_path, vit)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match="is a file: expected a folder"):
        image_batches(tmp_path / "a.png", vit)
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'gone.png'}: no such file")):
        image_batches([tmp_path / "gone.png"], vit)


def test_wrong_options(vit, folder):
    with pytest.raises(InputError, match="size 60 is no multiple"):
        image_batches(folder, vit, size=60)
    with pytest.raises(InputError, match="batch_size=0"):
        image_batches(folder, vit, batch_size=0)
    with pytest.raises(InputError, match="size=64 goes with photographs"):
        image_batches(torch.zeros(1, 3, 64, 64), vit, size=64)
    with pytest.raises(InputError, match="on_bad='ignore': expected 'error' or 'skip'"):
        image_batches(folder, vit, on_bad="ignore")


def test_model_of_one_size(make_vit, folder):
    vit = make_vit(dynamic_img_size=False)
    assert image_batches(folder, vit).size == (64, 64)
    with pytest.raises(InputError, match="takes 64 x 64 only: make it with dynamic_img_size=True"):
        image_batches(folder, vit, size=32)
