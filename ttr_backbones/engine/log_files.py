"""The files that a run logs to: each line whole, and the run stops where none can be written."""

from __future__ import annotations

import functools
import logging
import sys
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.fileio import dump
from mmengine.visualization import LocalVisBackend
from mmengine.visualization.vis_backend import force_init_env
from mmseg.registry import VISBACKENDS

from ttr_backbones.atomic import append_atomically, discard, unwritable, write_atomically


@VISBACKENDS.register_module()
class SafeVisBackend(LocalVisBackend):
    """mmengine's LocalVisBackend whose files are whole.

    OpenCV, which writes mmengine's pictures, does not tell that a disk is full.
    """

    @force_init_env
    def add_config(self, config: Config, **kwargs: Any) -> None:  # noqa: ARG002
        """Write the config."""
        write_atomically(self._config_save_file, config.pretty_text.encode())

    @force_init_env
    def add_image(
        self,
        name: str,
        image: np.ndarray,
        step: int = 0,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Write an RGB image, uint8 [H, W, 3], as a PNG."""
        _, content = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        write_atomically(f"{self._img_save_dir}/{name}_{step}.png", content.tobytes())

    def _dump(self, value_dict: dict[str, Any], file_path: str, file_format: str) -> None:
        line = dump(value_dict, file_format=file_format)
        append_atomically(file_path, f"{line}\n".encode())


def stop_on_log_errors(logger: logging.Logger) -> None:
    """Let a log that cannot be written end the run: logging prints a traceback and goes on.

    Raises:
        UnwritableError: Later, when something is logged.
    """
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.handleError = functools.partial(_raise, handler)  # type: ignore[method-assign]


def _raise(handler: logging.StreamHandler[Any], record: logging.LogRecord) -> None:
    error = sys.exc_info()[1]
    problem = error and unwritable(error)
    if not problem:
        logging.StreamHandler.handleError(handler, record)
        return
    discard(handler.stream)
    raise problem from error
