"""The error message of a command that fails, also as one process of several."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import time
import traceback
from pathlib import Path

from ttr_backbones.errors import InputError, as_sentence

_PATIENCE = 5.0  # seconds that a launcher may take to end this process because another failed


def print_error(message: str) -> None:
    """Print the reason, with the process that it comes from, and hand it to torchrun."""
    message = as_sentence(message)
    print(f"ttrb: error{_process_number()}: {message}", file=sys.stderr)
    _report_to_torchrun(message)


def record_bug(error: Exception) -> None:
    """Hand the traceback of a bug to torchrun.

    Where the connection to another process broke, that one may have failed, and the launcher is
    about to end this one: it waits, so that it is not taken for the one that failed first.
    """
    if _is_communication_error(error):
        print(
            f"ttrb: error{_process_number()}: the connection to the other processes broke off; "
            "if one of them failed, its own error says why.",
            file=sys.stderr,
            flush=True,
        )
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(_PATIENCE)
    _report_to_torchrun(traceback.format_exc())


def original_message(error: InputError) -> str:
    """Return what the code that found the problem said.

    torch wraps an error of a DataLoader worker in that worker's traceback, and mmengine puts the
    class that it was building in front.
    """
    message = str(error)
    name = f"{type(error).__module__}.{type(error).__qualname__}: "
    if message.startswith("Caught ") and name in message:
        message = message.rpartition(name)[2]
    return re.sub(r"^(class `\w+` in [\w/]+\.py: )+", "", message).strip()


def _process_number() -> str:
    world_size = os.environ.get("WORLD_SIZE", "1")
    return "" if world_size == "1" else f" (process {os.environ.get('RANK')} of {world_size})"


def _is_communication_error(error: Exception) -> bool:
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return False
    # gloo raises plain RuntimeErrors, which name its source files.
    return isinstance(error, distributed.DistError) or "gloo" in str(error)


def _report_to_torchrun(message: str) -> None:
    """Write the file that torchrun's summary is made from, as torch's ErrorHandler does."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        record = {"message": message, "extraInfo": {"timestamp": str(int(time.time()))}}
        with contextlib.suppress(OSError):
            Path(path).write_text(json.dumps({"message": record}), encoding="utf-8")
