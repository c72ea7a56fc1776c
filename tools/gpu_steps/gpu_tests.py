"""The tests that are marked `gpu`; without a GPU they are collected only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gpu_steps.step import Check

_ROOT = Path(__file__).resolve().parents[2]
_MARK = "pytest.mark.gpu"


class _Outcomes:
    """Tells the outcome of each test as it comes, and counts."""

    def __init__(self, check: Check) -> None:
        self._check, self.collected, self.failed = check, 0, 0

    def pytest_collection_finish(self, session: Any) -> None:
        self.collected = len(session.items)

    def pytest_runtest_logreport(self, report: Any) -> None:
        done = report.when == "call" or (report.when == "setup" and not report.passed)
        if done or report.failed:
            self.failed += report.failed
            why = str(report.longrepr).strip().splitlines() if not report.passed else []
            text = f"{report.outcome}: {why[-1]}" if why else report.outcome
            self._check.record(report.nodeid.partition("/")[2], report.outcome, text)


def run(check: Check) -> None:
    """Run those files that hold such tests."""
    os.chdir(_ROOT)
    if check.shared is not None:
        os.environ["TTRB_SHARED"] = str(check.shared)
    files = [
        str(path.relative_to(_ROOT))
        for path in sorted((_ROOT / "tests").rglob("test_*.py"))
        if _MARK in path.read_text(encoding="utf-8")
    ]
    outcomes = _Outcomes(check)
    options = ["-m", "gpu", "-p", "no:cacheprovider", "--tb=short", "-q"]
    if check.device.type != "cuda":
        options.append("--collect-only")
    code = pytest.main([*options, *files], plugins=[outcomes])
    check.record(
        "tests that need a GPU", outcomes.collected, f"{outcomes.collected} in {len(files)} files"
    )
    check.record("failed", outcomes.failed, goal="failed")
    if not outcomes.collected or code not in {0, 1}:
        raise RuntimeError(f"pytest ended with {code!r} after {outcomes.collected} tests")
