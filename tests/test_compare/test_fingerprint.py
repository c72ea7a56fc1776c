"""A fingerprint changes with what a result depends on, and with nothing else."""

import copy
import dataclasses
import json

import pytest

from ttr_backbones.compare.fingerprint import fingerprint
from ttr_backbones.compare.options import ConfigChanges
from ttr_backbones.registers import BakedRegisters, RegisterNeurons
from ttr_backbones.repairs import REPAIRS

NAME = "augreg_vitt16_ttr_lin1_nyu_200it"


@pytest.fixture(scope="module")
def cfg():
    return ConfigChanges().load(NAME, NAME)


def changed(cfg, changes):
    cfg = copy.deepcopy(cfg)
    cfg.merge_from_dict(changes)
    return fingerprint(cfg)


@pytest.mark.parametrize(
    "changes",
    [
        {"randomness.seed": 1},
        {"model.backbone.repair.num": 2},
        {"model.backbone.repair": None},
        {"optim_wrapper.optimizer.lr": 1.0},
        {"train_cfg.max_iters": 3},
        {"train_dataloader.batch_size": 3},
        {"test_dataloader.dataset.data_root": "/elsewhere"},
        {"default_hooks.param_scheduler.type": "Other"},
        {"load_from": "weights.pth"},
    ],
    ids=str,
)
def test_fingerprint__changes_with_the_result(cfg, changes):
    assert changed(cfg, changes) != fingerprint(cfg)


@pytest.mark.parametrize(
    "changes",
    [
        {"work_dir": "elsewhere"},
        {"train_dataloader.num_workers": 0, "test_dataloader.persistent_workers": False},
        {"default_hooks.logger.interval": 1, "default_hooks.checkpoint.interval": 1},
        {"visualizer.name": "other", "log_level": "ERROR"},
    ],
    ids=str,
)
def test_fingerprint__does_not_change_with_speed_and_place(cfg, changes):
    before = cfg.to_dict()
    assert changed(cfg, changes) == fingerprint(cfg)
    assert cfg.to_dict() == before


def test_fingerprint__does_not_change_with_a_feature_cache(cfg):
    hook = {"type": "CacheFeatures", "folder": "maps"}
    hooks = [*(cfg.get("custom_hooks") or []), hook]
    assert changed(cfg, {"custom_hooks": hooks}) == fingerprint(cfg)


def test_fingerprint__tta_counts(cfg):
    assert fingerprint(cfg, tta=True) != fingerprint(cfg)


def test_fingerprint__is_of_the_units_and_not_of_the_file_they_come_from(cfg, tmp_path):
    path = tmp_path / "list.json"
    bundled = RegisterNeurons.bundled(cfg.model.backbone.model)
    bundled.save(path)
    from_file = {"model.backbone.repair.neurons": str(path)}
    assert changed(cfg, from_file) == fingerprint(cfg)
    content = json.loads(path.read_text())
    content["layers"] = {"6": [188]}
    path.write_text(json.dumps(content))
    assert changed(cfg, from_file) != fingerprint(cfg)


def test_fingerprint__of_baked_registers_is_of_their_values(cfg, tmp_path):
    bias = {"model.backbone.repair": {"type": "bias", "_delete_": True}}
    shipped = changed(cfg, bias)
    assert shipped != fingerprint(cfg)
    path = tmp_path / "baked.safetensors"
    baked = BakedRegisters.of(REPAIRS["bias"].shipped(cfg.model.backbone.model))
    from_file = bias | {"model.backbone.repair.artifact": str(path)}
    for keys, equal in ((baked.keys, True), (baked.keys + 1e-3, False)):
        dataclasses.replace(baked, keys=keys).artifact.save(path)
        assert (changed(cfg, from_file) == shipped) == equal
