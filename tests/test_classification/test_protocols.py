"""The protocols of classification, number by number."""

import copy

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import ttr_backbones.backbones
import ttr_backbones.classification
import ttr_backbones.heads  # noqa: F401 -- they register
from ttr_backbones.app.feature_cache import use_feature_cache
from ttr_backbones.cli.probe_grid import grid_config
from ttr_backbones.errors import InputError
from ttr_backbones.probes.grid import parse_grid
from ttr_backbones.recipes import recipe
from ttr_backbones.text_vectors import TextVectors
from ttr_backbones.vits.weights_hash import weights_hash


def test_dinov2s__linear_and_knn():
    linear = recipe("dinov2_vitl14_linear_imagenet")
    assert linear.optim_wrapper.optimizer == {
        "type": "SGD",
        "lr": 1e-3,
        "momentum": 0.9,
        "weight_decay": 0.0,
    }
    assert (linear.train_cfg.max_iters, linear.train_cfg.val_interval) == (12500, 1250)
    assert linear.auto_scale_lr == {"base_batch_size": 256, "enable": True}
    assert linear.train_dataloader.batch_size == 128
    probes = parse_grid(linear.probe_grid)
    assert len(probes) == 52
    assert {probe.blocks for probe in probes} == {(-1,), (-4, -3, -2, -1)}
    assert {probe.mean_patch for probe in probes} == {True, False}
    rates = [probe.lr for probe in probes if probe.blocks == (-1,) and probe.mean_patch]
    expected = [1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1]
    assert rates == expected
    crop, flip = linear.train_dataloader.dataset.pipeline[2].transforms
    assert crop == {"type": "RandomResizedCrop", "size": 224, "interpolation": "bicubic"}
    assert flip == {"type": "RandomHorizontalFlip", "p": 0.5}
    resize, crop = linear.test_dataloader.dataset.pipeline[1].transforms
    assert resize == {"type": "Resize", "size": 256, "interpolation": "bicubic"}
    assert crop == {"type": "CenterCrop", "size": 224}
    four = recipe("dinov2_vitl14_linear4_imagenet").model
    assert (four.backbone.out_indices, four.decode_head.in_channels) == (
        (-4, -3, -2, -1),
        [1024] * 4,
    )
    assert len(parse_grid(recipe("linear_imagenet_dinov3").probe_grid)) == 13

    knn = recipe("dinov2_vitl14_ttr_knn_imagenet")
    assert (knn.model.k, knn.model.temperature) == ((10, 20, 100, 200), 0.07)
    assert knn.model.backbone.repair.type == "test_time"
    assert knn.test_cfg.bank.dataset.pipeline == knn.test_dataloader.dataset.pipeline
    assert knn.test_cfg.bank.sampler.round_up is False, "an image twice would vote twice"


def test_wise_fts__schedule_and_first_weights(tmp_path):
    from mmengine.optim import CosineAnnealingLR, LinearLR

    config = recipe("openclip_vitb16_linear_imagenet_wiseft")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-2)
    kinds = {"LinearLR": LinearLR, "CosineAnnealingLR": CosineAnnealingLR}
    built = [kinds[s.pop("type")](optimizer, **s) for s in copy.deepcopy(config.param_scheduler)]
    seen = []
    for _ in range(700):
        seen.append(optimizer.param_groups[0]["lr"])
        for scheduler in built:
            scheduler.step()
    assert seen[0] == pytest.approx(1e-2 / 500)
    assert seen[499] == pytest.approx(1e-2)
    assert seen[699] == pytest.approx(0.5e-2 * (1 + torch.tensor(199 * torch.pi / 99600).cos()))
    train, test = (config[f"{n}_dataloader"].dataset.pipeline for n in ("train", "test"))
    assert train[1:] == test, "no augmentation: every image may be kept"
    use_feature_cache(config, "cache")
    assert config.custom_hooks[-1] == {"type": "CacheFeatures", "folder": "cache", "training": True}
    augmented = recipe("openclip_vitb16_linear_imagenet")
    use_feature_cache(augmented, "cache")
    assert augmented.custom_hooks[-1] == {"type": "CacheFeatures", "folder": "cache"}

    init_default_scope("mmseg")
    model = config.model
    model.backbone.update(
        model="vit_tiny_patch16_224",
        pretrained=False,
        model_kwargs={"depth": 1, "embed_dim": 32, "num_heads": 2, "num_classes": 0},
    )
    model.backbone.final_norm = True
    model.decode_head.num_classes = 3
    torch.manual_seed(0)
    vit = MODELS.build(model.backbone).vit
    vectors = torch.nn.functional.normalize(torch.randn(3, 32), dim=1)
    names = (("cat",), ("dog",), ("cow",))
    texts = TextVectors(names, vectors, None, ("a {}.",), "", weights_hash(vit, with_head=True))
    texts.save(tmp_path / "texts.safetensors")
    torch.manual_seed(0)
    zero_shot = {"vectors": str(tmp_path / "texts.safetensors")}
    start = {"zero_shot": zero_shot}
    classifier = MODELS.build({**model, **start})
    classifier.init_weights()
    images = torch.randn(2, 3, 224, 224)
    embedding = torch.nn.functional.normalize(classifier.backbone.features(images).pooled, dim=1)
    torch.testing.assert_close(classifier(images), 100 * embedding @ vectors.T)
    with pytest.raises(InputError, match="made for other weights"):
        MODELS.build({**model, **start})  # the next random ones
    repair = {"type": "test_time", "neurons": {0: [1]}}
    with pytest.raises(InputError, match="made for other weights"):
        MODELS.build({**model, "backbone": {**model.backbone, "repair": repair}, **start})
    torch.manual_seed(0)
    config.model, config.work_dir = {**model, **start}, str(tmp_path)
    many = MODELS.build(grid_config(config, parse_grid(["lr=1e-3,1e-2"])).model)
    many.init_weights()
    for head in many.decode_head.heads:
        assert torch.equal(head.linear.weight, 100 * vectors)
    torch.manual_seed(0)
    torch.manual_seed(0)
    model.decode_head.normalize = False
    with pytest.raises(InputError, match="without normalising"):
        MODELS.build({**model, **start})


@torch.no_grad()
def test_the_pooled_token_of_a_clip__is_its_embedding_with_the_projection():
    init_default_scope("mmseg")
    small = {"depth": 1, "embed_dim": 32, "num_heads": 2}
    images = torch.randn(2, 3, 224, 224)
    for name in ("openclip_vitb16_linear_imagenet_wiseft", "openclip_vitb16_knn_imagenet"):
        model = recipe(name).model
        model.backbone.update(pretrained=False, model_kwargs=small)
        if model.type == "KnnClassifier":
            model.token = "pooled"
        built = MODELS.build(model).eval()
        vit = built.backbone.vit
        expected = torch.nn.functional.normalize(vit(images), dim=1)
        assert expected.shape == (2, 512)
        if model.type == "KnnClassifier":
            torch.testing.assert_close(built.embed(images), expected, rtol=1e-4, atol=1e-5)
        else:
            scores = built.decode_head.linear(expected)
            torch.testing.assert_close(built(images), scores, rtol=1e-4, atol=1e-5)
