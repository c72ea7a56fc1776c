"""The table and the JSON file of the check, which are whole after every fact."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from gpu_steps.in_time import StepOutcome
from gpu_steps.step import Fact
from ttr_backbones.atomic import write_atomically

_VERDICTS = {True: "met", False: "MISSED", None: ""}


class Report:
    """What has been found so far; printed line by line, and written to two files.

    Args:
        folder: for `gpu_check.md` and `gpu_check.json`.
        setting: what the check was asked for.
    """

    def __init__(self, folder: Path, setting: dict[str, Any]) -> None:
        self._folder = folder
        self._start = time.monotonic()
        began = time.strftime("%Y-%m-%d %H:%M:%S %Z")
        self._record: dict[str, Any] = {"began": began, **setting, "steps": []}
        self._lines: list[str] = []
        line = ", ".join(f"{name} {value}" for name, value in setting.items())
        self._print(f"GPU check of {began}: {line}", "", "| step | what | found | goal | |")
        self._print("|---|---|---|---|---|")

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._start

    def begin(self, step: str) -> None:
        """Open the part of a step."""
        self._record["steps"].append({"name": step, "state": "running", "facts": []})

    def add(self, fact: Fact) -> None:
        """Add a fact of the step that was begun last."""
        step = self._record["steps"][-1]
        step["facts"].append(fact)
        self._row(step["name"], fact["what"], fact["text"], fact["goal"], _VERDICTS[fact["met"]])
        self._write()

    def end(self, outcome: StepOutcome) -> None:
        """Say how the step that was begun last has ended."""
        step = self._record["steps"][-1]
        step.update(state=outcome.state, why=outcome.why, seconds=round(outcome.seconds, 1))
        why = f": {outcome.why}" if outcome.why else ""
        self._row(step["name"], f"**{outcome.state}**{why}", f"{outcome.seconds:.0f} s", None, "")
        self._write()

    def close(self) -> bool:
        """Say what is not as it should be; return whether everything is."""
        steps = self._record["steps"]
        states = [f"{step['name']} ({step['state']})" for step in steps if step["state"] != "ok"]
        judged = [(step["name"], fact) for step in steps for fact in step["facts"] if fact["goal"]]
        missed = [
            f"{name}: {fact['what']}: {fact['text']}, {fact['goal']}"
            for name, fact in judged
            if not fact["met"]
        ]
        not_ok = ", ".join(states) or "none"
        self._print("", f"{len(steps)} steps in {self.seconds:.0f} s; not ok: {not_ok}.")
        self._print(f"{len(judged)} values had a goal, {len(missed)} missed it.")
        self._print(*(f"- {line}" for line in missed))
        self._record["seconds"] = round(self.seconds, 1)
        self._write()
        bad = {"failed", "cut", "no time"}
        return not missed and not any(step["state"] in bad for step in steps)

    def _row(self, *cells: str | None) -> None:
        shown = [(cell or "").replace("|", "\\|").replace("\n", " ") for cell in cells]
        self._print(f"| {' | '.join(shown)} |")

    def _print(self, *lines: str) -> None:
        self._lines += lines
        for line in lines:
            print(line, flush=True)

    def _write(self) -> None:
        text = json.dumps(self._record, indent=1) + "\n"
        write_atomically(self._folder / "gpu_check.json", text.encode())
        table = "\n".join(self._lines) + "\n"
        write_atomically(self._folder / "gpu_check.md", table.encode())
