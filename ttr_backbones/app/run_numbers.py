"""Numbers of a config with which no run can do anything."""

from __future__ import annotations

import math
from typing import Any

from mmengine.config import Config

from ttr_backbones.app.config import LOADERS
from ttr_backbones.app.messages import note
from ttr_backbones.errors import InputError

_AT_LEAST_ONE = (
    *(f"{loader}.batch_size" for loader in LOADERS),
    *(f"train_cfg.{key}" for key in ("max_iters", "max_epochs", "val_interval")),
)
_NOT_NEGATIVE = tuple(f"{loader}.num_workers" for loader in LOADERS)
_RATES = ("optim_wrapper.optimizer.lr", "optim_wrapper.optimizer.weight_decay")


def check_run_numbers(cfg: Config) -> None:
    """Refuse sizes, lengths and rates that torch would trace back or that train nothing.

    A loader without workers does not keep them either, whatever the config says of those it had.

    Raises:
        InputError: with the key and what is expected there.
    """
    for key in (*_AT_LEAST_ONE, *_NOT_NEGATIVE):
        least = 1 if key in _AT_LEAST_ONE else 0
        value = _value(cfg, key)
        if isinstance(value, int | float) and not (isinstance(value, int) and value >= least):
            raise InputError(f"{key}={value}: expected a whole number of at least {least}")
    for key in _RATES:
        value = _value(cfg, key)
        if isinstance(value, int | float) and not (math.isfinite(value) and value >= 0):
            raise InputError(f"{key}={value}: expected a finite number of at least 0")
    for loader in LOADERS:
        if _value(cfg, f"{loader}.num_workers") == 0 and _value(
            cfg, f"{loader}.persistent_workers"
        ):
            cfg.merge_from_dict({f"{loader}.persistent_workers": False})
            note(
                f"{loader}.num_workers=0: there are no workers to keep (persistent_workers=False)."
            )


def _value(cfg: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(cfg, dict | Config):
            return None
        cfg = cfg.get(part)
    return cfg
