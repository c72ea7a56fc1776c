"""Predictions of the real ViT on real images equal those of `ttrb test`, in every batch."""

import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from ttr_backbones import Inferencer
from ttr_backbones.errors import InputError, MissingFileError

TASKS = ("segmentation", "depth", "object discovery")


@pytest.fixture(scope="module")
def images(data_roots):
    """{task: the images that `ttrb test` sees}."""
    folders = {
        "segmentation": "images/validation",
        "depth": "scene_b",
        "object discovery": "JPEGImages",
    }
    return {task: data_roots[task] / folder for task, folder in folders.items()}


def only_images(folder):
    return sorted(folder.glob("*.jpg"))


def value(prediction):
    """What was predicted, as an array."""
    (name,) = {"mask", "depth", "box"} & set(vars(prediction))
    return np.asarray(getattr(prediction, name))


@pytest.mark.slow
def test_segmentation__equals_test(inferencer, images, tested):
    predictions = inferencer("segmentation")(images["segmentation"], batch_size=2)
    assert len(predictions) == 3
    for prediction in predictions:
        saved = cv2.imread(str(tested("segmentation") / f"{prediction.path.stem}.png"), -1)
        # The metric saves ADE's own numbers, which begin with 0 for "other".
        np.testing.assert_array_equal(prediction.mask + 1, saved)
        assert prediction.image.shape[:2] == prediction.mask.shape
        assert sum(prediction.present.values()) == pytest.approx(1)
        assert set(prediction.present) <= set(prediction.classes)
    assert predictions[0].classes[:2] == ("wall", "building")


@pytest.mark.nightly
def test_depth__equals_test(inferencer, images, tested):
    files = only_images(images["depth"])
    predictions = inferencer("depth")(files, batch_size=2)
    saved = {path.stem: path for path in tested("depth").rglob("*.png")}
    assert len(predictions) == len(saved) == 2
    for prediction in predictions:
        millimetres = cv2.imread(str(saved[prediction.path.stem]), -1)
        assert prediction.depth.dtype == np.float32
        np.testing.assert_allclose(prediction.depth * 1000, millimetres, atol=0.51)


def test_discovery__equals_test(inferencer, images, tested):
    saved = json.loads(tested("object discovery").read_text())
    assert len(saved) == 4
    files = [images["object discovery"] / name for name in saved]
    predictions = inferencer("object discovery")(files, batch_size=3)
    found = {prediction.path.name: prediction for prediction in predictions}
    assert {name: found[name].box.tolist() for name in saved} == saved
    seen = predictions[0]
    assert seen.degrees[seen.seed] == seen.degrees.min()


@pytest.mark.parametrize("task", TASKS)
def test_batches__of_several_sizes_equal_single_images(task, inferencer, images):
    """A photograph turned by 90 degrees between others; parts of them, which take less time."""
    predict = inferencer(task)
    arrays = [
        np.ascontiguousarray(predict._pipeline(path).image[:176, :240])
        for path in only_images(images[task])[:2]
    ]
    arrays.insert(1, np.ascontiguousarray(np.rot90(arrays[0])))
    together, alone = predict(arrays, batch_size=3), [predict(image)[0] for image in arrays]
    assert len(together) == len(arrays)
    for one, other, image in zip(together, alone, arrays, strict=True):
        assert one.path is None
        np.testing.assert_array_equal(one.image, image)
        if task == "segmentation":
            assert one.mask.shape == image.shape[:2]
            assert (one.mask == other.mask).mean() > 0.999
        else:
            np.testing.assert_allclose(value(one), value(other), rtol=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_array__equals_its_file(task, inferencer, images, tmp_path):
    path = tmp_path / "part.jpg"
    cv2.imwrite(str(path), cv2.imread(str(only_images(images[task])[0]))[:176, :240])
    array = cv2.imread(str(path))[..., ::-1]
    of_file, of_text, of_array, of_pil = inferencer(task)(
        iter([path, str(path), array, Image.fromarray(array)])
    )
    for other in (of_text, of_array, of_pil):
        np.testing.assert_array_equal(value(of_file), value(other))


def test_logits__on_request(inferencer, images):
    path = only_images(images["segmentation"])[0]
    plain, scored = (inferencer("segmentation")(path, logits=on)[0] for on in (False, True))
    assert plain.logits is None
    assert scored.logits.dtype == np.float32
    np.testing.assert_array_equal(scored.logits.argmax(axis=0), scored.mask)
    for task in ("depth", "object discovery"):
        with pytest.raises(InputError, match=r"logits=True, but .* predicts no classes"):
            inferencer(task)(path, logits=True)


def test_repr__tells_what_it_is(inferencer, checkpoints):
    told = repr(inferencer("segmentation"))
    assert told.startswith("Inferencer('augreg_vitt16_ttr_linear_ade20k_200it', checkpoint=")
    assert str(checkpoints["segmentation"]) in told
    assert told.endswith("device='cpu'): EncoderDecoder with LinearSegHead, 150 classes")


@pytest.mark.parametrize("task", TASKS)
def test_draw__is_a_picture_of_both(task, inferencer, images):
    picture = inferencer(task)(only_images(images[task])[0])[0].draw()
    assert picture.dtype == np.uint8
    assert picture.shape[1] > 700
    assert picture.std() > 20


def test_broken_files__are_all_named_first(inferencer, shared, tmp_path):
    good = only_images(shared / "data/nyu/scene_b")[0]
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(InputError, match=r"2 images cannot be read(.|\n)*empty file(.|\n)*text\.p"):
        inferencer("object discovery")([good, tmp_path])


def test_broken_body__is_an_error_or_collected(inferencer, images, tmp_path):
    good = only_images(images["object discovery"])[0]
    broken = tmp_path / "cut.jpg"
    broken.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    predict, bad = inferencer("object discovery"), []
    with pytest.raises(InputError, match=r"cut\.jpg .* cannot be decoded"):
        predict([broken, good])
    (prediction,) = predict.stream([broken, good], batch_size=2, bad=bad)
    assert prediction.path == good
    assert [path for path, _ in bad] == [broken]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "there are no images"),
        (np.zeros((4, 4, 3)), "array of float64"),
        (np.zeros((4, 4), np.uint8), r"array of uint8 \[4, 4\]"),
        (torch.zeros(3, 4, 4), "got Tensor as an image"),
        ("nowhere.jpg", "no such file or folder"),
        (Image.new("F", (4, 4)), "a PIL image of mode F: expected 8 or 16 bits"),
        (Image.new("I;16", (4, 4), 4095), "I;16: 16 bits per channel, but no value above 15 of"),
    ],
)
def test_no_images(inferencer, images, message):
    with pytest.raises(InputError, match=message):
        inferencer("object discovery")(images)


def test_batch_size(inferencer):
    with pytest.raises(InputError, match="batch_size=0"):
        inferencer("object discovery")("nowhere.jpg", batch_size=0)


def test_checkpoint__has_to_be_there_and_to_fit(configs, checkpoints, own_weights):
    seg, depth, lost = (configs[task] for task in TASKS)
    options = {"device": "cpu", "cfg_options": own_weights}
    with pytest.raises(InputError, match="has a head to load, and no checkpoint was given"):
        Inferencer(seg, **options)
    with pytest.raises(MissingFileError, match=r"no\.pth does not exist"):
        Inferencer(seg, "no.pth", **options)
    with pytest.raises(InputError, match="does not fit the model of this config"):
        Inferencer(depth, checkpoints["segmentation"], **options)
    with pytest.raises(InputError, match="ObjectDiscoverer has nothing to train"):
        Inferencer(lost, checkpoints["depth"], **options)
