"""What a checkpoint holds: plain data when written, checked against the model when read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from ttr_backbones.engine.plain_data import (
    NotPlainError,
    history_from_plain,
    history_to_plain,
    to_plain,
)
from ttr_backbones.engine.published_names import renamed
from ttr_backbones.engine.random_state import random_state, set_random_state
from ttr_backbones.engine.state_dict_check import check_fit, left_aside
from ttr_backbones.engine.unwrap import unwrapped
from ttr_backbones.errors import InputError

_RANDOM = "random_state"


@HOOKS.register_module()
class SafeCheckpoint(Hook):
    """Makes checkpoints load with `weights_only=True`, resume exactly, and fit or be refused.

    Also keeps torch's random generators apart from validation, which may run a different number
    of times in a resumed run.
    """

    def __init__(self) -> None:
        self._resumed: dict[str, torch.Tensor] | None = None
        self._training: dict[str, torch.Tensor] | None = None

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Turn everything into plain data and add the random state of training."""
        hub = checkpoint["message_hub"]
        hub["log_scalars"] = {k: history_to_plain(v) for k, v in hub["log_scalars"].items()}
        hub["runtime_info"] = self._plain_info(runner, hub["runtime_info"])
        for key in checkpoint.keys() - {"state_dict"}:
            checkpoint[key] = to_plain(checkpoint[key])
        checkpoint[_RANDOM] = self._training or random_state()

    def after_load_checkpoint(self, runner: Any, checkpoint: Any) -> None:
        """Check the file against the model and undo `before_save_checkpoint`."""
        source = f"the checkpoint {runner.cfg.get('load_from')}"
        if isinstance(checkpoint, dict) and (names := renamed(checkpoint)) is not None:
            checkpoint.clear()  # mmengine goes on with this very dict
            checkpoint.update(names)
        state = checkpoint.get("state_dict", checkpoint) if isinstance(checkpoint, Mapping) else {}
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
        if not state or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
            raise InputError(
                f"{source} holds no tensors by name: expected a state_dict, or a dict with one "
                f"under 'state_dict', got {_described(checkpoint)}."
            )
        aside = check_fit(unwrapped(runner.model), state, source)
        if aside:
            runner.logger.info(left_aside(aside, source))
        if runner.cfg.get("resume"):
            _check_resumable(checkpoint, source)
        for name, plain in checkpoint.get("message_hub", {}).get("log_scalars", {}).items():
            if isinstance(plain, dict):
                checkpoint["message_hub"]["log_scalars"][name] = history_from_plain(plain)
        self._resumed = checkpoint.get(_RANDOM)

    def before_train(self, runner: Any) -> None:
        """Continue the random sequence of the run that is resumed."""
        if runner.iter > 0 and self._resumed is not None:
            set_random_state(self._resumed)

    def before_val(self, runner: Any) -> None:  # noqa: ARG002
        """Set training's random state aside."""
        self._training = random_state()

    def after_val(self, runner: Any) -> None:  # noqa: ARG002
        """Go on where training stood before the validation."""
        if self._training is not None:
            set_random_state(self._training)
            self._training = None

    def _plain_info(self, runner: Any, info: Mapping[str, Any]) -> dict[str, Any]:
        plain = {}
        for key, value in info.items():
            try:
                plain[key] = to_plain(value)
            except NotPlainError as error:  # noqa: PERF203 -- one bad value must not cost the others
                runner.logger.warning(
                    f"message_hub[{key!r}] holds a {error}, which is not plain data; the "
                    "checkpoint is written without it."
                )
        return plain


def _described(checkpoint: Any) -> str:
    if isinstance(checkpoint, Mapping):
        return f"a dict with the keys {sorted(map(str, checkpoint))[:10]}"
    return f"a {type(checkpoint).__name__}"


def _check_resumable(checkpoint: Mapping[str, Any], source: str) -> None:
    absent = [key for key in ("meta", "message_hub", "optimizer") if key not in checkpoint]
    if absent:
        raise InputError(
            f"{source} cannot be resumed: it lacks {', '.join(absent)}, so it holds weights only "
            "(best_*.pth and released files do). Resume from an iter_*.pth, or start a new run "
            "from these weights with --cfg-options load_from=FILE and without --resume."
        )
