"""`SafeRunner`: mmengine's Runner; its checkpoints run no code, its tests are reported once."""

from __future__ import annotations

from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import LoggerHook
from mmengine.runner import BaseLoop, Runner
from mmengine.runner.loops import _InfiniteDataloaderIterator
from mmseg.registry import HOOKS, RUNNERS
from torch import nn

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

    def train(self) -> nn.Module:
        """Train, and let the loaders' processes end."""
        loop: Any = self._train_loop
        if getattr(loop, "dataloader_iterator", "not made yet") is None:
            # After an earlier call, which was interrupted or to which iterations were added.
            loop.dataloader_iterator = _InfiniteDataloaderIterator(loop.dataloader)
        try:
            return super().train()
        finally:
            self._end_workers()

    def test(self) -> dict[str, float]:
        """Test, and let the loaders' processes end."""
        try:
            return super().test()
        finally:
            self._end_workers()

    def _end_workers(self) -> None:
        """Let go of the iterators over data that outlive their epoch, so that torch ends them now.

        A Runner is part of reference cycles. The garbage collector closes the queues of a loader in
        them before torch can tell its processes to end, and torch waits five seconds for each.
        """
        for loop in (self._train_loop, self._val_loop, self._test_loop):
            if isinstance(loop, BaseLoop):
                if hasattr(loop, "dataloader_iterator"):
                    loop.dataloader_iterator = None
                loop.dataloader._iterator = None  # noqa: SLF001 -- with persistent_workers

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
