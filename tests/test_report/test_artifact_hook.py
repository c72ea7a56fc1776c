"""`LogArtifacts` in real training of the real ViT on ADE20K images, read back from TensorBoard."""

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ttr_backbones.app.config import set_data_root
from ttr_backbones.app.runner import build_runner
from ttr_backbones.errors import InputError
from ttr_backbones.recipes import recipe
from ttr_backbones.report.artifact_hook import LogArtifacts

PLAIN, TTR = "augreg_vitt16_linear_ade20k_200it", "augreg_vitt16_ttr_linear_ade20k_200it"
LAST = 4


@pytest.fixture(scope="module")
def config(small_ade20k, tiny_weights):
    """Make a packaged config a run of seconds with TensorBoard."""

    def make(name, work_dir):
        cfg = recipe(name)
        set_data_root(cfg, str(small_ade20k))
        cfg.model.backbone.update(pretrained=False, checkpoint=str(tiny_weights))
        for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
            cfg[loader].update(num_workers=0, persistent_workers=False)
        cfg.train_dataloader.batch_size = 1
        cfg.val_dataloader.dataset.indices = 2
        cfg.train_cfg.update(max_iters=LAST, val_interval=LAST)
        cfg.default_hooks.logger.interval = 1
        cfg.visualizer.vis_backends = [{"type": "TensorboardVisBackend"}]
        cfg.work_dir = str(work_dir)
        return cfg

    return make


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory):
    """{run: (head, what TensorBoard has)} of both models with the hook, and of one without."""
    runs = {}
    hook = {"type": "LogArtifacts", "interval": 2, "num_images": 2}
    for run, name, hooks in (("plain", PLAIN, [hook]), ("ttr", TTR, [hook]), ("off", PLAIN, [])):
        cfg = config(name, tmp_path_factory.mktemp(run))
        cfg.custom_hooks = [*cfg.custom_hooks, *hooks]
        cfg.train_cfg.val_begin = LAST if hooks else LAST + 1
        runner = build_runner(cfg)
        runner.train()
        runner.visualizer.close()
        (log,) = Path(cfg.work_dir).rglob("events.out.*")
        events = EventAccumulator(str(log.parent))
        events.Reload()
        head = copy.deepcopy(runner.model.decode_head.state_dict())
        assert not any(block._forward_hooks for block in runner.model.backbone.vit.blocks)
        runs[run] = (head, events)
    return runs


def scalars(events, name):
    return {event.step: event.value for event in events.Scalars(f"artifacts/{name}")}


@pytest.mark.slow
@pytest.mark.parametrize(("run", "clean"), [("plain", False), ("ttr", True)])
def test_scalars__outliers_without_and_none_with_the_register(trained, run, clean):
    _, events = trained[run]
    for part in ("", "val_"):
        fractions = scalars(events, f"{part}outlier_fraction")
        largest = scalars(events, f"{part}largest_norm")
        entropies = scalars(events, f"{part}attention_entropy")
        assert all(0 < value < 1 for value in entropies.values())
        if clean:
            assert set(fractions.values()) == {0.0}
            assert max(largest.values()) < 76
        else:
            assert all(0.002 < value < 0.06 for value in fractions.values())
            assert min(largest.values()) > 300
    # The first measurement is in iteration 2; from then on each line has the latest one.
    assert list(scalars(events, "outlier_fraction")) == [2, 3, LAST]
    assert list(scalars(events, "val_outlier_fraction")) == [LAST]


@pytest.mark.slow
@pytest.mark.parametrize("run", ["plain", "ttr"])
def test_picture__before_and_after(trained, run):
    _, events = trained[run]
    (logged,) = events.Images("artifacts")
    picture = cv2.imdecode(np.frombuffer(logged.encoded_image_string, np.uint8), 1)[..., ::-1]
    height, width = picture.shape[:2]
    assert logged.step == LAST
    # viridis's yellow, the largest norms, is in the column without registers only.
    yellow = (np.abs(picture.astype(int) - [253, 231, 37]).max(axis=2) < 40)[: int(0.8 * height)]
    assert yellow[:, width // 3 : 2 * width // 3].sum() > 50
    assert yellow[:, 2 * width // 3 :].sum() == 0


@pytest.mark.slow
def test_training__is_not_changed_by_a_bit(trained):
    (head, _), (other, events) = trained["plain"], trained["off"]
    for name, tensor in head.items():
        assert torch.equal(tensor, other[name]), name
    assert not any("artifacts" in tag for tag in events.Tags()["scalars"])


def test_threshold__is_the_given_one_the_list_s_or_none(tiny_weights):
    from ttr_backbones.backbones import TimmViT

    tag = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    own = {"type": "test_time", "neurons": {6: [189], 7: [417]}}
    for options, given, expected in (
        ({"model": tag}, 5.0, 5.0),
        ({"model": tag}, None, pytest.approx(76.35, abs=0.01)),
        (
            {"model": tag, "repair": {"type": "test_time", "neurons": "auto"}},
            None,
            pytest.approx(76.35, abs=0.01),
        ),
        ({"model": "vit_small_patch16_224", "repair": own}, None, None),
    ):
        hook = LogArtifacts(threshold=given)
        hook._backbone = TimmViT(**options)
        assert hook._threshold()[0] == expected


@torch.no_grad()
def test_picture__without_and_with_registers_in_the_bias_form(tiny_weights, photos):
    """The copy without registers shares the weights, some of which are zeroed in the model."""
    from ttr_backbones.backbones import TimmViT

    tag = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    own = TimmViT(tag, checkpoint=tiny_weights, repair={"type": "bias"})
    hook, images = LogArtifacts(), photos(224)[:2]
    hook._backbone, before = own, own(images)[0]
    backbones = hook._without_and_with()
    repaired = "with the repair: test-time register as bias"
    assert list(backbones) == ["without a repair", repaired]
    plain = TimmViT(tag, checkpoint=tiny_weights)
    assert torch.equal(backbones["without a repair"](images)[0], plain(images)[0])
    assert torch.equal(backbones[repaired](images)[0], before)
    assert hook._threshold() == (pytest.approx(76.35, abs=0.01), "from the model's list")


@pytest.mark.parametrize("options", [{"interval": 0}, {"threshold": -1.0}, {"num_images": -1}])
def test_options__out_of_range(options):
    with pytest.raises(InputError, match=f"LogArtifacts: {next(iter(options))}="):
        LogArtifacts(**options)


def test_model__without_a_timm_backbone(config, tmp_path):
    runner = torch.nn.Module()
    runner.model = torch.nn.Linear(1, 1)
    with pytest.raises(InputError, match="backbone is NoneType: take the hook out"):
        LogArtifacts().before_run(runner)
