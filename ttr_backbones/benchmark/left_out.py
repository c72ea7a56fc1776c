"""What is left out, as short lines for a terminal; the page has every reason in full."""

from __future__ import annotations

from ttr_backbones.benchmark.plan import BenchmarkPlan, BenchmarkRequest
from ttr_backbones.recipes import protocol_files

_LONGEST = 100  # characters of a reason


def left_out_lines(plan: BenchmarkPlan, request: BenchmarkRequest) -> list[str]:
    """Gather what is left out by reason, a line each.

    Args:
        plan: what is run, and what is not.
        request: of the user.
    """
    lines = []
    if plan.missing:
        folder = f"{request.data}/"
        by_path: dict[str, list[str]] = {}
        for protocol, path in plan.missing.items():
            by_path.setdefault(path.removeprefix(folder), []).append(protocol)
        found = [f"{path} ({', '.join(names)})" for path, names in by_path.items()]
        lines.append(f"not in {request.data}: {', '.join(found)}")
    others = request.suite.others
    protocols = [name for name in others if name in protocol_files()]
    if protocols:
        lines.append(f"no part of this --suite: {', '.join(protocols)}")
    for what, why in plan.left_out:
        if what not in plan.missing and what not in protocols:
            short = why if len(why) <= _LONGEST else f"{why[:_LONGEST].rstrip()} ..."
            lines.append(f"{what}: {short}")
    return [f"left out: {line}" for line in lines]
