"""`SafeRunner`: mmengine's Runner; its checkpoints run no code, its tests are reported once."""

from __future__ import annotations

from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import LoggerHook
from mmengine.runner import Runner
from mmseg.registry import HOOKS, RUNNERS

from ttr_backbones.engine.safe_loading import safe_loaders


@HOOKS.register_module()
class SingleReportLoggerHook(LoggerHook):
    """mmengine's LoggerHook; one process writes the metrics of a test.

    In mmengine 0.10 all of them write into one file.
    """

    @master_only
    def after_test_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Write the metrics."""
        super().after_test_epoch(*args, **kwargs)


@RUNNERS.register_module()
class SafeRunner(Runner):
    """mmengine's Runner as this project runs it; mmengine itself is left as it is."""

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint without unpickling it.

        Raises:
            InputError: it holds more than tensors, containers and numbers.
        """
        with safe_loaders():
            return super().load_checkpoint(*args, **kwargs)

    def register_default_hooks(self, hooks: dict[str, Any] | None = None) -> None:
        """Register mmengine's default hooks, with `SingleReportLoggerHook` for `LoggerHook`."""
        hooks = dict(hooks or {})
        logger = hooks.setdefault("logger", {"type": "LoggerHook"})
        if isinstance(logger, dict) and logger.get("type") in ("LoggerHook", LoggerHook):
            hooks["logger"] = {**logger, "type": "SingleReportLoggerHook"}
        super().register_default_hooks(hooks)

    def _init_model_weights(self) -> None:
        """Initialise the weights; an `init_cfg` of type Pretrained reads a checkpoint."""
        with safe_loaders():
            super()._init_model_weights()
