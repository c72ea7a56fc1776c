"""Every file of the axes builds; the protocols of segmentation, number by number."""

import copy

import pytest
import timm
import torch

from ttr_backbones import package_data, registers
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.package_data import NEURON_LISTS
from ttr_backbones.recipes import axis_files, backbone_facts, recipe
from ttr_backbones.recipes.timm_facts import timm_facts
from ttr_backbones.text_vectors import TextVectors
from ttr_backbones.vits.family import family_of

BUNDLED = {path.stem for path in NEURON_LISTS.glob("*.json")}


def test_configs_dir__of_a_wheel_and_of_nothing(tmp_path, monkeypatch):
    package = tmp_path / "ttr_backbones"
    monkeypatch.setattr(package_data, "_PACKAGE", package)
    with pytest.raises(MissingFileError, match="Install the package again"):
        package_data.configs_dir()
    (package / "configs" / "_base_").mkdir(parents=True)
    assert package_data.configs_dir() == package / "configs"


@pytest.fixture(scope="module")
def registries():
    from mmengine.registry import init_default_scope
    from mmseg.utils import register_all_modules

    import ttr_backbones.attention_masks
    import ttr_backbones.backbones
    import ttr_backbones.classification
    import ttr_backbones.datasets
    import ttr_backbones.engine
    import ttr_backbones.evaluation
    import ttr_backbones.heads
    import ttr_backbones.object_discovery
    import ttr_backbones.segmentors
    import ttr_backbones.zero_shot  # noqa: F401

    register_all_modules()
    init_default_scope("mmseg")


@pytest.mark.parametrize("name", axis_files("backbones"))
def test_backbone__builds_without_weights_and_is_as_its_facts_say(name, registries):
    from mmseg.registry import MODELS

    backbone, facts = backbone_facts(name).backbone, backbone_facts(name).facts
    tag = backbone.model
    backbone.update(pretrained=False, checkpoint=None)
    with torch.device("meta"):  # ViT-g takes no memory
        built = MODELS.build(copy.deepcopy(backbone))
    depth = len(built.vit.blocks)
    assert (built.channels, built.frozen) == (facts.channels, True)
    assert (len(facts.four_blocks), facts.four_blocks[-1]) == (4, depth - 1)
    trained = family_of(built.vit).layout(built.vit).num_trained
    assert trained == (4 if "parent" in facts or name.startswith("dinov3") else 0)
    assert facts.get("parent", "planted") in axis_files("backbones")
    if name == "planted":
        return
    # A model without a file gets the same.
    guessed = timm_facts(tag).facts
    assert {key: guessed[key] for key in ("channels", "four_blocks", "facet")} == {
        key: facts[key] for key in ("channels", "four_blocks", "facet")
    }
    # A licence that restricts the use of the weights is named.
    licence = timm.get_pretrained_cfg(tag).license
    words = {
        "cc-by-nc-4.0": "CC BY-NC",
        "dinov3-license": "DINOv3 licence",
        "apple-ascl": "apple-ascl",
    }
    assert words.get(licence, "") in axis_files("backbones")[name].read_text()
    # As Denoising-ViT, the protocols give its CLIPs ImageNet's mean and std; DFN L is none of them.
    own = "_clip_" not in tag or name == "dfn2b_vitl14"
    assert (guessed.mean == pytest.approx(facts.mean)) == own
    assert (guessed.std == pytest.approx(facts.std)) == own
    if tag not in BUNDLED:
        with torch.device("meta"), pytest.raises(InputError, match=f"find-neurons {tag}|no regist"):
            MODELS.build({**backbone, "repair": {"type": "test_time", "neurons": "auto"}})
        return
    with torch.device("meta"):
        vit = MODELS.build({**backbone, "repair": {"type": "test_time", "neurons": "auto"}}).vit
    assert registers.num_test_time_registers(vit) == 1
    assert vit.register_neurons == registers.RegisterNeurons.bundled(tag)


@pytest.mark.parametrize("name", axis_files("protocols"))
def test_protocol__builds_and_its_maps_fit(name, registries):
    from mmengine.dataset import Compose
    from mmseg.registry import METRICS, MODELS

    config = recipe(name)
    config.model.backbone.update(pretrained=False)
    if "text" in config.model:
        config.model.text = TextVectors((("a",),), torch.ones(1, 192), None, (), "", "")
    with torch.device("meta"):
        model = MODELS.build(copy.deepcopy(config.model))
        for block in model.backbone.vit.blocks:  # which change no shape, and take seconds without
            block.norm1 = block.norm2 = block.mlp = torch.nn.Identity()  # memory
        size = (1, 3, *((config.model.get("data_preprocessor") or {}).get("size") or (64, 96)))
        maps = model.backbone(torch.zeros(size))
    if hasattr(model, "decode_head"):
        taken = model.decode_head.maps.take(maps)
        channels = config.model.decode_head.in_channels
        assert channels in (None, [map_.shape[1] for map_ in taken])
    else:
        assert model.state_dict() == {}
    loaders = ("train_dataloader", "val_dataloader", "test_dataloader")
    for loader in filter(None, map(config.get, loaders)):
        Compose(loader.dataset.pipeline)
    if "tta_pipeline" in config:
        Compose(config.tta_pipeline)
    METRICS.build(config.test_evaluator)
    assert config.test_evaluator == config.get("val_evaluator", config.test_evaluator)


def test_protocol__numbers_of_dinov2s_linear_evaluation():
    linear = recipe("dinov2_vitl14_linear_ade20k")
    assert linear.optim_wrapper.optimizer == {
        "type": "AdamW",
        "lr": 1e-3,
        "weight_decay": 1e-4,
        "betas": (0.9, 0.999),
    }
    assert linear.optim_wrapper.clip_grad is None
    assert (linear.train_cfg.max_iters, linear.train_cfg.val_interval) == (40000, 10000)
    assert linear.train_dataloader.batch_size == 2
    assert linear.model.test_cfg == {"mode": "slide", "crop_size": (512, 512), "stride": (341, 341)}
    assert linear.model.data_preprocessor.mean == [123.675, 116.28, 103.53]
    assert linear.model.data_preprocessor.std == [58.395, 57.12, 57.375]
    resize, crop = linear.train_dataloader.dataset.pipeline[3:5]
    assert (resize.scale, resize.ratio_range) == ((99999999, 512), (0.5, 2.0))
    assert (crop.crop_size, crop.cat_max_ratio) == ((512, 512), 0.75)

    ms = recipe("dinov2_vitl14_ms_ade20k")
    assert ms.model.test_cfg == {"mode": "slide", "crop_size": (640, 640), "stride": (320, 320)}
    resize, crop = ms.train_dataloader.dataset.pipeline[3:5]
    assert (resize.scale, resize.ratio_range) == ((99999999, 640), (1.0, 3.0))
    assert crop.crop_size == ms.model.data_preprocessor.size == (640, 640)
    scales = [step.scale[1] for step in ms.tta_pipeline[1].transforms[0]]
    assert scales == [int(640 * ratio) for ratio in (1.0, 1.32, 1.73, 2.28, 3.0)]
    assert [flip.prob for flip in ms.tta_pipeline[1].transforms[1]] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("name", "final_norm", "pos_embed"),
    [
        ("dinov2_vits14_linear_ade20k", True, "dinov2"),
        ("dinov2_vits14_reg4_linear_ade20k", True, "timm"),
        ("openclip_vitb16_linear_ade20k", False, "timm"),
        ("deit3_vitb16_linear_ade20k", False, "timm"),
    ],
)
def test_protocol__features_of_each_family(name, final_norm, pos_embed):
    backbone = recipe(name).model.backbone
    assert (backbone.final_norm, backbone.pos_embed) == (final_norm, pos_embed)


def test_schedule__warm_up_times_decay():
    from mmengine.optim import LinearLR, PolyLR

    schedulers = recipe("dinov2_vits14_linear_ade20k").param_scheduler
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    kinds = {"LinearLR": LinearLR, "PolyLR": PolyLR}
    built = [kinds[s.pop("type")](optimizer, **s) for s in copy.deepcopy(schedulers)]
    seen = []
    for _ in range(40000):
        seen.append(optimizer.param_groups[0]["lr"])
        for scheduler in built:
            scheduler.step()
    assert seen[0] == pytest.approx(1e-9)
    assert seen[750] == pytest.approx(1e-3 * 0.5 * (1 - 750 / 40000), rel=1e-2)
    assert seen[20000] == pytest.approx(0.5e-3, rel=1e-3)
    assert seen[-1] == pytest.approx(0, abs=1e-7)


def test_options__reach_the_visualizer_and_the_repair():
    config = recipe("dinov2_vitl14_ttr_linear_ade20k")
    config.merge_from_dict(
        {
            "visualizer.vis_backends.0.type": "TensorboardVisBackend",
            "model.backbone.repair.num": 2,
        }
    )
    assert config.visualizer.vis_backends == [{"type": "TensorboardVisBackend"}]
    assert config.model.backbone.repair == {"type": "test_time", "neurons": "auto", "num": 2}
    assert "num" not in recipe("dinov2_vitl14_ttr_linear_ade20k").model.backbone.repair
