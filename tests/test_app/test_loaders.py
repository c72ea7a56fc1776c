"""Pinned batches, lasting workers and copies that nobody waits for: on a GPU, unless told else."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from mmseg.models import SegDataPreProcessor
from torch import nn

from ttr_backbones.app.loaders import copy_without_waiting, pin_loaders
from ttr_backbones.object_discovery.preprocessor import EachSizePreProcessor


def config():
    return Config(
        {
            "train_dataloader": {"batch_size": 2, "num_workers": 4},
            "val_dataloader": {"num_workers": 0},
            "test_dataloader": {"num_workers": 2, "pin_memory": False, "persistent_workers": False},
        }
    )


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def test_on_a_gpu_loaders_pin_and_keep_their_workers(gpu):
    cfg = config()
    pin_loaders(cfg)
    told = {name: (one.pin_memory, one.get("persistent_workers")) for name, one in cfg.items()}
    assert told == {
        "train_dataloader": (True, True),
        "val_dataloader": (True, None),  # torch refuses to keep workers that there are not
        "test_dataloader": (False, False),
    }


def test_a_config_without_loaders_stays_one(gpu):
    cfg = Config({"train_dataloader": None})
    pin_loaders(cfg)
    assert cfg.to_dict() == {"train_dataloader": None}


def test_on_a_cpu_nothing_changes(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cfg = config()
    pin_loaders(cfg)
    assert cfg.to_dict() == config().to_dict()


class Recorded(torch.Tensor):
    """Notes how it is copied."""

    copies: list

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is torch.Tensor.to:
            cls.copies.append((kwargs or {}).get("non_blocking"))
        return super().__torch_function__(func, types, args, kwargs or {})


@pytest.mark.parametrize("kind", [SegDataPreProcessor, EachSizePreProcessor])
def test_on_a_gpu_nobody_waits_for_a_copy(monkeypatch, kind):
    for available in (True, False):
        model = nn.Module()
        model.data_preprocessor = kind(mean=[0.0] * 3, std=[1.0] * 3)
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        copy_without_waiting(model)
        Recorded.copies = []
        model.data_preprocessor.cast_data(torch.zeros(3, 8, 8).as_subclass(Recorded))
        assert Recorded.copies == [available]
