"""Zero-shot classification and typographic attacks, against open_clip on files of a random CLIP."""

import json

import cv2
import numpy as np
import open_clip
import pytest
import torch
from mmseg.registry import MODELS
from PIL import Image, ImageDraw
from tiny_clips import OPENAI, SMALL, make_clip, save_as_openai

from ttr_backbones.cli import main
from ttr_backbones.datasets import ClassFolders, ModelCrop
from ttr_backbones.datasets.typographic import TypographicAttacks
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.recipes import recipe
from ttr_backbones.text_vectors import TextVectors, classifier_vectors
from ttr_backbones.text_vectors.check_text_classes import check_names
from ttr_backbones.text_vectors.in_space import vectors_of
from ttr_backbones.vits import edit_site
from ttr_backbones.vits.create import create_vit
from ttr_backbones.vits.image_patches import patches_in_boxes
from ttr_backbones.zero_shot import ZeroShotClassifier

AUGREG = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
LAYERS = {0: [3, 70], 1: [9]}
SIDE = 64  # of the images, with patches of 16
PER_IMAGE = {"type": "test_time", "neurons": LAYERS, "positions": "per_image"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A random CLIP of open_clip, and the backbone of timm with its weights."""
    file = tmp_path_factory.mktemp("clip") / "clip.pt"
    model = make_clip(quick_gelu=True)
    save_as_openai(model, file)
    backbone = {"type": "TimmViT", "model": OPENAI, "checkpoint": str(file)}
    return model, {**backbone, "model_kwargs": SMALL, "out_indices": (-1,)}


def text_file(backbone, classes, out, tmp_path):
    """`ttrb text` for the backbone."""
    (tmp_path / "config.py").write_text(f"model = dict(backbone={backbone})")
    command = ["text", str(tmp_path / "config.py"), "--classes", str(classes), "--out", str(out)]
    assert main([*command, "--templates", "one"]) == 0
    return out


def results_of(protocol, root, backbone, text, size, tmp_path, **options):
    options = {
        "model.backbone.pretrained": False,
        "model.backbone.final_norm": True,
        **{f"model.backbone.{key}": value for key, value in backbone.items() if key != "type"},
        "model.text": str(text),
        "test_dataloader.dataset.pipeline.1.size": size,
        "test_dataloader.num_workers": 0,
        "test_dataloader.persistent_workers": False,
        "test_dataloader.batch_size": 2,
        **options,
    }
    argv = ["test", protocol, "--data-root", str(root), "--work-dir", str(tmp_path / "run")]
    argv += ["--out", str(tmp_path / "found.json")]
    given = [f"{key}={value!r}" for key, value in options.items()]
    assert main([*argv, "--cfg-options", *given]) == 0
    return json.loads(max((tmp_path / "run").glob("2*/2*.json")).read_text())


def test_zero_shot__is_that_of_open_clip(clip, tmp_path):
    """Images by its own transform, its own encoders, 100 times the cosine."""
    model, backbone = clip
    rng, names = np.random.default_rng(0), ["bald_eagle", "cat", "dog"]
    for number, name in enumerate(names):
        (tmp_path / "val" / name).mkdir(parents=True)
        for index in range(2):
            size = (70 + 9 * number, 90 - 20 * index, 3)
            image = cv2.GaussianBlur(rng.integers(0, 256, size, dtype=np.uint8), (7, 7), 0)
            cv2.imwrite(str(tmp_path / "val" / name / f"{index}.png"), image)
    text = text_file(backbone, tmp_path / "val", tmp_path / "text.safetensors", tmp_path)
    assert TextVectors.load(text).classes == (("bald eagle",), ("cat",), ("dog",))

    found = results_of("zeroshot_imagenet", tmp_path, backbone, text, 32, tmp_path)
    transform = open_clip.image_transform(32, is_train=False)
    files = sorted((tmp_path / "val").rglob("*.png"))
    images = torch.stack([transform(Image.open(file)) for file in files])
    tokens = open_clip.tokenize([f"a photo of a {name.replace('_', ' ')}." for name in names])
    with torch.no_grad():
        embedded = model.encode_image(images, normalize=True)
        expected = 100 * embedded @ model.encode_text(tokens, normalize=True).T
    best = expected.argmax(dim=1)
    truth = torch.arange(3).repeat_interleave(2)
    assert found["top1"] == pytest.approx(100 * (best == truth).float().mean().item(), abs=1e-3)
    assert "top5" not in found  # of three classes
    saved = json.loads((tmp_path / "found.json").read_text())
    assert list(saved.values()) == [names[number] for number in best]

    classifier = ZeroShotClassifier(backbone, text)
    pipeline = recipe("zeroshot_imagenet").test_dataloader.dataset.pipeline
    pipeline[1].size = 32
    data = ClassFolders(data_root=str(tmp_path), data_prefix={"img_path": "val"}, pipeline=pipeline)
    batch = classifier.data_preprocessor(
        {key: [data[i][key] for i in range(6)] for key in ("inputs", "data_samples")}, False
    )
    torch.testing.assert_close(classifier(batch["inputs"]), expected, rtol=0, atol=1e-3)
    assert classifier.class_names == ("bald eagle", "cat", "dog")  # what `ttrb predict` says
    with pytest.raises(InputError, match="there is nothing to train"):
        classifier(batch["inputs"], batch["data_samples"], mode="loss")


def test_rows_of_a_classifier__make_the_model_s_own_top_1(tiny_weights, photos, tmp_path):
    vit = create_vit(AUGREG, checkpoint=tiny_weights, model_kwargs={"num_classes": 1000})
    backbone = {"type": "TimmViT", "model": AUGREG, "checkpoint": str(tiny_weights)}
    images, single = photos(224)[:1], {str(row): [row] for row in range(1000)}
    with torch.no_grad():
        expected = vit(images)
    rows = classifier_vectors(vit, single)
    torch.testing.assert_close(
        ZeroShotClassifier(backbone, rows)(images), expected, rtol=0, atol=1e-3
    )

    with pytest.raises(InputError, match="logit_scale=100 is for cosines"):
        ZeroShotClassifier(backbone, rows, logit_scale=100)
    several = classifier_vectors(vit, {"dog": range(151, 269), "cat": range(281, 286)})
    repaired = {**backbone, "repair": {"type": "test_time", "neurons": "auto"}}
    scores = ZeroShotClassifier(backbone, several)(images)
    torch.testing.assert_close(
        scores[:, 0], expected[:, 151:269].max(dim=1).values, rtol=0, atol=1e-3
    )
    assert not torch.allclose(ZeroShotClassifier(repaired, several)(images), scores)

    with pytest.raises(MissingFileError, match=f"ttrb text {AUGREG} --classes CLASSES --out"):
        vectors_of(tmp_path / "{model}.safetensors", {"model": AUGREG})
    clip_model = {"type": "TimmViT", "model": "vit_tiny_patch16_224", "model_kwargs": {"depth": 1}}
    with pytest.raises(InputError, match="other weights"):
        ZeroShotClassifier(clip_model, rows)


@pytest.fixture(scope="module")
def attacked(shared, tmp_path_factory):
    """Words written on real photographs by Pillow, which knows where: folder, {name: box}."""
    folder, boxes = tmp_path_factory.mktemp("rta"), {}
    photographs = sorted((shared / "data" / "photos").iterdir())[:4]
    pairs = [("dog", "cat"), ("cat", "dog"), ("cat", "bird"), ("dog", "bird")]
    for number, (file, (label, text)) in enumerate(zip(photographs, pairs, strict=True)):
        image = Image.open(file).convert("RGB").resize((192, 128))
        draw, corner = ImageDraw.Draw(image), (60 + 5 * number, 20 + 20 * number)
        box = draw.textbbox(corner, text, font_size=24)
        draw.rectangle(box, fill="white")
        draw.text(corner, text, fill="black", font_size=24)
        name = f"label={label}_text={text}.png"
        image.save(folder / name)
        boxes[name] = [[float(value) for value in box]]
    (folder / "boxes.json").write_text(json.dumps(boxes))
    return folder, boxes


def test_typographic_attack__is_counted_with_and_without_the_register_neurons_on_the_text(
    clip, attacked, tmp_path
):
    _, backbone = clip
    backbone = {**backbone, "model_kwargs": {**SMALL, "img_size": SIDE}}
    folder, _ = attacked
    text = text_file(backbone, folder, tmp_path / "rta.safetensors", tmp_path)
    names = [names[0] for names in TextVectors.load(text).classes]
    assert names == ["bird", "cat", "dog"]
    moved = {
        "model.backbone.repair": PER_IMAGE,
        "test_dataloader.dataset.ann_file": str(folder / "boxes.json"),
    }
    for options in ({}, moved):
        told = results_of("typographic_rta100", folder, backbone, text, SIDE, tmp_path, **options)
        best = json.loads((tmp_path / "found.json").read_text())
        right = [name.startswith(f"label={found}_") for name, found in best.items()]
        fooled = [name.endswith(f"text={found}.png") for name, found in best.items()]
        assert len(best) == 4
        assert told["accuracy"] == 25.0 * sum(right)
        assert told["attack_success"] == 25.0 * sum(fooled)


@torch.no_grad()
def test_register_neurons__are_on_the_patches_of_the_text(clip, attacked, monkeypatch):
    _, backbone = clip
    backbone = {**backbone, "model_kwargs": {**SMALL, "img_size": SIDE}}
    folder, boxes = attacked
    pipeline = recipe("typographic_rta100").test_dataloader.dataset.pipeline
    pipeline[1].size = SIDE
    data = TypographicAttacks(str(folder), ann_file="boxes.json", pipeline=pipeline)
    samples = [data[index] for index in range(4)]
    # 192 x 128 becomes 96 x 64, and the crop begins 16 px from the left.
    for sample in samples:
        name = sample["data_samples"].img_path.rpartition("/")[2]
        left, top, right, bottom = boxes[name][0]
        expected = torch.tensor([left / 2 - 16, top / 2, right / 2 - 16, bottom / 2])
        assert torch.equal(sample["data_samples"].text_boxes, expected.clamp(0, SIDE)[None])

    seen, move = [], edit_site.move_to_patches

    def recorded(hidden, units, receivers, gain, **options):
        seen.append((units, receivers, move(hidden, units, receivers, gain, **options)))
        return seen[-1][2]

    monkeypatch.setattr(edit_site, "move_to_patches", recorded)
    vit = MODELS.build(backbone).vit
    vectors = classifier_free_vectors(vit)
    model = ZeroShotClassifier({**backbone, "repair": PER_IMAGE}, vectors)
    batch = model.data_preprocessor(
        {key: [sample[key] for sample in samples] for key in ("inputs", "data_samples")}, False
    )
    inputs, of_batch = batch["inputs"], batch["data_samples"]
    scores = model.scores(inputs, of_batch)
    mask = patches_in_boxes([s.text_boxes for s in of_batch], (SIDE, SIDE), (16, 16)).flatten(1)
    assert mask.any(dim=1).all()
    assert not mask.all(dim=1).any()
    assert [units.tolist() for units, _, _ in seen] == list(LAYERS.values())
    for units, receivers, edited in seen:
        assert torch.equal(receivers[:, 1:], mask)
        on = edited[..., units].abs().amax(dim=2) > 0
        assert torch.equal(on, receivers)  # the text's patches have them all, no other token any
    singles = [model.scores(inputs[i : i + 1], of_batch[i : i + 1]) for i in range(4)]
    torch.testing.assert_close(scores, torch.cat(singles), rtol=0, atol=1e-4)
    with pytest.raises(InputError, match="images come without `text_boxes`"):
        model.scores(inputs)


def classifier_free_vectors(vit):
    """Random vectors in the space of a model."""
    from ttr_backbones.vits.weights_hash import weights_hash

    unit = torch.nn.functional.normalize(torch.randn(3, SMALL["num_classes"]), dim=1)
    return TextVectors(
        (("a",), ("b",), ("c",)), unit, None, ("{}",), OPENAI, weights_hash(vit, with_head=True)
    )


def test_images_and_boxes_of_an_attack__that_do_not_fit_are_named(attacked, tmp_path):
    folder, boxes = attacked
    first = next(iter(boxes))
    wrong = {
        "has no boxes of label": {},
        "which is no image there": {**boxes, "other.png": [[0, 0, 1, 1]]},
        "is empty": {**boxes, first: [[5, 5, 5, 9]]},
        f"the boxes of {first}": {**boxes, first: [[5, 5]]},
    }
    for message, content in wrong.items():
        (tmp_path / "boxes.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match=message):
            TypographicAttacks(str(folder), ann_file=str(tmp_path / "boxes.json"))
    cv2.imwrite(str(tmp_path / "dog.png"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(InputError, match=r"dog\.png: expected images called label=OBJECT"):
        TypographicAttacks(str(tmp_path))


def test_classes_of_the_vectors__stand_in_the_order_of_the_data():
    check_names([("cat", "kitten"), ("bald eagle",)], ["cat", "bald_eagle"])
    check_names([("tench",), ("goldfish",)], ["n01440764", "n01443537"])
    check_names([("n01440764[0]",), ("n01443537[1]",)], ["n01440764", "n01443537"])
    with pytest.raises(InputError, match=r"class 0 of the data set is 'dog'.*as class 1"):
        check_names([("cat",), ("dog",)], ["dog", "cat"])
    with pytest.raises(InputError, match=r"are of 1 classes \(cat, ...\), and the data set has 2"):
        check_names([("cat",)], ["dog", "cat"])


def test_crop__has_the_size_of_the_model(tmp_path):
    assert ModelCrop("vit_large_patch14_clip_quickgelu_336.openai").size == (336, 336)
    said = {"size": {"shortest_edge": 24}, "do_center_crop": False}  # as transformers 5 saves it
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": said}))
    assert ModelCrop(f"hf:{tmp_path}").size == (24, 24)
    squashed = ModelCrop(size=(32, 48), fit="squash")
    results = {"img": np.zeros((64, 64, 3), np.uint8), "text_boxes": np.float32([[0, 32, 64, 64]])}
    found = squashed.transform(results)
    assert found["img"].shape == (32, 48, 3)
    assert found["text_boxes"].tolist() == [[0, 16, 48, 32]]
    for options in ({}, {"model": "hf:nothing"}, {"size": 8, "resize": 4}, {"size": 8, "fit": "x"}):
        with pytest.raises(InputError, match=r"not known here|less than the crop|expected fit"):
            ModelCrop(**options)
