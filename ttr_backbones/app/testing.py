"""Changes to a config for a Runner that only tests."""

from __future__ import annotations

from mmengine.config import Config

from ttr_backbones.app.config import datasets, type_name
from ttr_backbones.errors import InputError

# What a Runner makes its loops of training and validation from.
_TRAINING = (
    *("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler"),
    *("val_dataloader", "val_cfg", "val_evaluator"),
)


def only_test(cfg: Config) -> None:
    """Take training and validation out of `cfg`: a test needs neither, nor their images.

    mmengine's Runner has its hooks read the number of the iteration, for which it would make the
    training loop with its data set.
    """
    for key in _TRAINING:
        if key in cfg:
            cfg[key] = None
    if cfg.get("custom_hooks"):
        cfg.custom_hooks = [h for h in cfg.custom_hooks if type_name(h) != "EarlyStoppingHook"]


def use_tta(cfg: Config) -> None:
    """Test on several scales and flips, with the config's `tta_model` and `tta_pipeline`."""
    absent = [key for key in ("tta_model", "tta_pipeline") if key not in cfg]
    if absent:
        raise InputError(
            f"--tta needs {' and '.join(absent)}, which the config does not have. Take a config "
            "with them, for example a packaged _ms config, or leave --tta out."
        )
    for _, dataset in datasets(cfg, ("test_dataloader",)):
        dataset["pipeline"] = cfg.tta_pipeline
    cfg.tta_model.module = cfg.model
    cfg.model = cfg.tta_model
