"""The config of a distillation: PH-Reg's published recipe on a folder of images."""

from __future__ import annotations

from typing import Any

from ttr_backbones.errors import InputError
from ttr_backbones.images.photos import photo_files
from ttr_backbones.recipes.axis_facts import backbone_facts

_PARTS = ("backbones", "datasets", "engine", "distillation")


def ph_reg_config(
    backbone: str,
    images: str,
    *,
    epochs: int = 100,
    batch_size: int = 8,
    gpus: int = 1,
    size: int = 518,
    lr: float = 1e-4,
    final_lr: float = 5e-6,
    weight_decay: float = 0.01,
    workers: int = 4,
    **options: Any,
) -> dict[str, Any]:
    """Return a config for `ttrb train`; the defaults are DINOv2's.

    As published for CLIP: batch_size=16, size=448, lr=3e-4, final_lr=1e-5, unlock_blocks=2,
    last_block="value", and a backbone with model_kwargs=dict(img_size=448).

    Args:
        backbone: file in `configs/backbones`, a timm name, or the path of such a file.
        images: folder of photographs.
        epochs: passes over them.
        batch_size: images per GPU.
        gpus: how many processes will train; one epoch takes fewer steps with more.
        size: side of the random squares that are cut out, after the short side was made as long.
        lr: learning rate at the start.
        final_lr: in the last epoch; in between it falls by one factor per epoch.
        weight_decay: of everything that is trained.
        workers: processes that read images.
        options: of `repairs.ph_reg.Distillation`, and `neurons` as in `PhRegDistiller`.

    Raises:
        MissingFileError: no such folder or backbone.
        InputError: fewer images than one step takes.
    """
    values = backbone_facts(backbone)
    count = len(photo_files(images))
    steps = count // (batch_size * gpus)
    if not steps or epochs < 1:
        raise InputError(
            f"{count} images in {images} and epochs={epochs}: expected at least one step of "
            f"{batch_size * gpus} images, and one epoch"
        )
    factor = (final_lr / lr) ** (1 / epochs)
    facts = values.facts
    return {
        "default_scope": "mmseg",
        "custom_imports": {"imports": [f"ttr_backbones.{part}" for part in _PARTS]},
        "model": {
            "type": "PhRegDistiller",
            "data_preprocessor": {
                "type": "ImgDataPreprocessor",
                "mean": list(facts["mean"]),
                "std": list(facts["std"]),
                "bgr_to_rgb": True,
            },
            "backbone": dict(values.backbone),
            **options,
        },
        "train_dataloader": {
            "batch_size": batch_size,
            "num_workers": workers,
            "persistent_workers": workers > 0,
            "sampler": {"type": "ResumableInfiniteSampler", "shuffle": True},
            "dataset": {
                "type": "ImageFolder",
                "data_root": images,
                "pipeline": [
                    {"type": "SeedSample"},
                    {"type": "LoadImage"},
                    {
                        "type": "Resize",
                        "scale": (99999999, size),
                        "keep_ratio": True,
                        "interpolation": "bicubic",
                    },
                    {"type": "RandomCrop", "crop_size": (size, size)},
                    {"type": "PackSegInputs"},
                ],
            },
        },
        "optim_wrapper": {
            "type": "OptimWrapper",
            "constructor": "TrainableOptimWrapperConstructor",
            "optimizer": {
                "type": "AdamW",
                "lr": lr * factor,  # of the first epoch
                "betas": (0.9, 0.999),
                "weight_decay": weight_decay,
            },
        },
        "param_scheduler": {
            "type": "MultiStepLR",
            "milestones": [steps * epoch for epoch in range(1, epochs)],
            "gamma": factor,
            "by_epoch": False,
        },
        "train_cfg": {"type": "ResumableTrainLoop", "max_iters": steps * epochs},
        "default_hooks": {
            "timer": {"type": "IterTimerHook"},
            "logger": {"type": "LoggerHook", "interval": 50, "log_metric_by_epoch": False},
            "param_scheduler": {"type": "ParamSchedulerHook"},
            "checkpoint": {
                "type": "HeadCheckpointHook",
                "by_epoch": False,
                "interval": max(1, min(steps, 1000)),
                "max_keep_ckpts": 2,
            },
            "sampler_seed": {"type": "DistSamplerSeedHook"},
        },
        "custom_hooks": [
            {"type": name}
            for name in ("SafeCheckpoint", "SaveOnSignal", "StopOnNaN", "SaveArtifact")
        ],
        "randomness": {"seed": 0},
        "log_processor": {"by_epoch": False},
        # The student's last block gives its values alone: its MLP is no part of the loss.
        "find_unused_parameters": options.get("last_block") == "value",
    }
