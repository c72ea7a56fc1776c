"""`ttrb test attention_imagenet_seg` on a file of exactly the official layout."""

import copy
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from ttr_backbones.attention_masks import AttentionForeground, foreground
from ttr_backbones.cli import main
from ttr_backbones.datasets import ForegroundMask, ImageNetSegmentation
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.evaluation import ForegroundMetric
from ttr_backbones.inference import Inferencer
from ttr_backbones.registers import RegisterNeurons, add_test_time_registers

h5py = pytest.importorskip("h5py", reason="ImageNet-Segmentation is an HDF5 file")
VIT = "vit_tiny_patch16_224"
KWARGS = {"depth": 2, "embed_dim": 32, "num_heads": 2, "init_values": 1.0, "num_classes": 0}
NEURONS = {"0": [3, 70]}
SIZES = ((60, 80), (90, 70), (64, 64))


def write(file, sizes, masks=True):
    """Cells of references, MATLAB's order of axes, every mask in a cell of its own."""
    rng = np.random.default_rng(0)
    images = []
    with h5py.File(file, "w") as opened:
        reference = h5py.special_dtype(ref=h5py.Reference)
        value = opened.create_group("value")
        img = value.create_dataset("img", (len(sizes), 1), dtype=reference)
        gt = value.create_dataset("gt", (len(sizes), 1), dtype=reference) if masks else None
        for number, (height, width) in enumerate(sizes):
            image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            mask = np.zeros((height, width), np.uint8)
            mask[10 : height // 2, 5 : width // 2] = 1
            held = opened.create_dataset(f"#refs#/i{number}", data=image.transpose(2, 1, 0))
            img[number, 0] = held.ref
            if masks:
                held = opened.create_dataset(f"#refs#/m{number}", data=mask.T)
                cell = opened.create_dataset(f"#refs#/c{number}", (1, 1), dtype=reference)
                cell[0, 0], gt[number, 0] = held.ref, cell.ref
            images.append((image, mask))
    return images


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("imagenet_seg")
    return root, write(root / "gtsegs_ijcv.mat", SIZES)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    import timm

    torch.manual_seed(0)
    vit = timm.create_model(VIT, **KWARGS).eval()
    file = tmp_path_factory.mktemp("weights") / "tiny.pth"
    torch.save(vit.state_dict(), file)
    return vit, file


def one_by_one(vit, image, mask):
    """The published evaluation, an image at a time: its mask, its scores and the true mask."""
    height, width = mask.shape
    short = 224 / min(height, width)
    size = (224, int(224 * height / width)) if width < height else (int(224 * width / height), 224)
    assert min(size) == 224
    assert short > 1
    resized = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    left, top = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
    pixels = np.asarray(resized.crop((left, top, left + 224, top + 224)))
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    tokens = []
    attention = vit.blocks[-1].attn
    hook = attention.register_forward_pre_hook(lambda _, args: tokens.append(args[0]))
    vit.forward_features(x)
    hook.remove()
    qkv = attention.qkv(tokens[0]).unflatten(2, (3, 2, 16)).permute(2, 0, 3, 1, 4)
    weights = (qkv[0][:, :, :1] @ qkv[1].transpose(2, 3) / 4).softmax(dim=3)
    maps = weights[0, :, 0, -196:].mean(dim=0).view(1, 1, 14, 14)
    enlarged = F.interpolate(maps, scale_factor=16, mode="bilinear")[0]
    squeezed = Image.fromarray(mask).resize((224, 224), Image.Resampling.NEAREST)
    found, scores = foreground(enlarged)
    truth = torch.from_numpy(np.array(squeezed)).bool()
    return {"pred_mask": found[0], "pred_scores": scores[0], "gt_mask": truth}


@torch.no_grad()
def test_run__is_the_published_evaluation_of_every_image(data, weights, tmp_path):
    (root, images), (vit, file) = data, weights
    options = {
        "model.backbone.model": VIT,
        "model.backbone.model_kwargs": KWARGS,
        "model.backbone.pretrained": False,
        "model.backbone.checkpoint": str(file),
        "model.backbone.repair": {"type": "test_time", "neurons": NEURONS},
        "test_dataloader.batch_size": 2,
        "test_dataloader.num_workers": 0,
        "test_dataloader.persistent_workers": False,
    }
    argv = ["test", "attention_imagenet_seg", "--data-root", str(root), "--work-dir"]
    argv += [str(tmp_path), "--show-dir", str(tmp_path / "drawn"), "--cfg-options"]
    assert main([*argv, *(f"{key}={value!r}" for key, value in options.items())]) == 0
    repaired = copy.deepcopy(vit)
    add_test_time_registers(repaired, RegisterNeurons(VIT, {0: [3, 70]}))
    metric, plain = ForegroundMetric(), ForegroundMetric()
    for image, mask in images:
        metric.process({}, [one_by_one(repaired, image, mask)])
        plain.process({}, [one_by_one(vit, image, mask)])
    told = json.loads(max(tmp_path.glob("2*/2*.json")).read_text())
    expected = metric.evaluate(3)
    assert expected != plain.evaluate(3)
    for name in ("mIoU", "pixel_accuracy", "mAP"):
        assert told[name] == pytest.approx(expected[name], abs=0.01)
    assert len(list((tmp_path / "drawn").rglob("*.png"))) == 3

    # `ttrb predict` takes files.
    Image.fromarray(images[0][0]).save(tmp_path / "photo.png")
    predict = Inferencer("attention_imagenet_seg", cfg_options=options)
    (found,) = predict(tmp_path / "photo.png")
    wanted = one_by_one(repaired, *images[0])
    assert found.image.shape == (224, 224, 3)
    assert (found.mask == wanted["pred_mask"].numpy()).mean() > 0.999
    assert found.saved().pngs["masks"].max() == 255


def test_mask__is_squeezed_as_published_or_cropped_as_the_image():
    mask = np.zeros((4, 8), np.uint8)
    mask[:, 2:6] = 1  # the middle square
    squeezed = ForegroundMask(4).transform({"gt_mask": mask})["gt_mask"]
    assert squeezed.tolist() == [[0, 1, 1, 0]] * 4
    cropped = ForegroundMask(4, crop=True).transform({"gt_mask": mask})["gt_mask"]
    assert cropped.tolist() == [[1, 1, 1, 1]] * 4


def test_file__that_is_another(tmp_path):
    with pytest.raises(MissingFileError, match=r"expected gtsegs_ijcv\.mat \(http"):
        ImageNetSegmentation(data_root=str(tmp_path))
    (tmp_path / "gtsegs_ijcv.mat").write_text("MATLAB 5.0")
    with pytest.raises(InputError, match="is no HDF5 file"):
        ImageNetSegmentation(data_root=str(tmp_path))
    write(tmp_path / "other.mat", SIZES, masks=False)
    with pytest.raises(InputError, match=r"other\.mat holds #refs#, value: expected"):
        ImageNetSegmentation(data_root=str(tmp_path), ann_file="other.mat")


def test_model__needs_cls_and_whole_patches():
    model = AttentionForeground(
        {"type": "TimmViT", "model": VIT, "model_kwargs": {**KWARGS, "num_classes": 5}}
    )
    with pytest.raises(InputError, match="expected multiples of the patch"):
        model.attention(torch.zeros(1, 3, 224, 230))
    without = {"class_token": False, "global_pool": "avg", "fc_norm": False}
    with pytest.raises(InputError, match="this model has none"):
        AttentionForeground(
            {"type": "TimmViT", "model": VIT, "model_kwargs": {**KWARGS, **without}}
        )
