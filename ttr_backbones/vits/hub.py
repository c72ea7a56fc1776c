"""The Hugging Face hub, where it cannot be reached: known within seconds."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import huggingface_hub
from huggingface_hub import constants

_PATIENCE = 6.0  # seconds; its client would retry for over half a minute per file


@contextlib.contextmanager
def bounded_hub() -> Iterator[None]:
    """Within the block an unreachable hub counts as offline: what is cached is used, at once."""
    before = constants.HF_HUB_OFFLINE
    if not before and not _is_reachable():
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _is_reachable() -> bool:
    """Ask once, through the hub's own client, which knows proxies and certificates."""
    answers: list[bool] = []

    def ask() -> None:
        with contextlib.suppress(Exception):  # requests or httpx, many kinds
            huggingface_hub.get_session().head(constants.ENDPOINT, timeout=_PATIENCE)
            answers.append(True)

    # A thread, for a name server that does not answer keeps to no timeout.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return bool(answers)
