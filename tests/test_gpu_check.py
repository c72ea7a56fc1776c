"""`tools/gpu_check.py` on a CPU: it must not fail for a reason of its own on the day it counts."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

TOOLS = Path(__file__).resolve().parent.parent / "tools"
CPU = torch.device("cpu")
sys.path.append(str(TOOLS))

import gpu_check  # noqa: E402
from gpu_steps.in_time import run_in_time  # noqa: E402
from gpu_steps.requirements import requirements  # noqa: E402
from gpu_steps.step import Check, Goal, NotPossibleError, Step  # noqa: E402

# What compiles, exports and trains takes minutes: that is rehearsed nightly, with everything else.
QUICK = ["environment", "search", "LOST", "families", "SINDER", "classes", "heads"]


def as_command(arguments, printed, start_forked):
    """Run the command as a user does; give its exit code."""
    command = [sys.executable, TOOLS / "gpu_check.py", *arguments]
    with printed.open("w") as file:
        return subprocess.run(command, check=False, stdout=file).returncode


def in_a_fork(arguments, printed, start_forked):
    """Run it without the seconds that imports take in a new process."""
    process = start_forked(_printing_to, printed, arguments)
    process.join()
    return process.exitcode


def _printing_to(printed, arguments):
    os.environ.pop("PYTEST_XDIST_WORKER", None)  # one step runs pytest
    file = printed.open("w", buffering=1)
    os.dup2(file.fileno(), 1)
    sys.stdout = file
    return gpu_check.main(arguments)


def rehearsed(start, start_forked, folder, *more):
    """Rehearse the check, which misses no goal; give its steps and its facts."""
    printed = folder / "printed.txt"
    code = start(["--device", "cpu", "--out", str(folder), *more], printed, start_forked)
    told = printed.read_text()
    said = (folder / "log.txt").read_text() if code else ""
    assert code == 0, f"{told}{said}"
    found = json.loads((folder / "gpu_check.json").read_text())
    assert {step["state"] for step in found["steps"]} == {"ok"}
    facts = [fact for step in found["steps"] for fact in step["facts"]]
    # The table that is printed is the one in the file, with a row for each fact.
    assert (folder / "gpu_check.md").read_text() == told
    assert told.count("\n| ") == 1 + len(facts) + len(found["steps"])
    return [step["name"] for step in found["steps"]], facts


@pytest.mark.slow
def test_rehearsal__of_the_quick_steps_misses_no_goal(start_forked, tmp_path):
    steps, facts = rehearsed(in_a_fork, start_forked, tmp_path, "--steps", ",".join(QUICK))
    assert steps == QUICK
    judged = {fact["what"] for fact in facts if fact["met"]}
    assert "CLIPVisionModel: features that differ after it was taken off" in judged


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_rehearsal__runs_every_step_and_misses_no_goal(start_forked, tmp_path):
    steps, facts = rehearsed(as_command, start_forked, tmp_path)
    assert steps == [
        "environment",
        "tests",
        "resume",
        "waits and graphs",
        "register",
        "larger ViT",
        "search",
        "LOST",
        "families",
        "SINDER",
        "classes",
        "heads",
        "memory",
        "processes",
        "export",
        "everything else",
    ]
    judged = {fact["what"] for fact in facts if fact["met"]}
    assert "different after the resume" in judged
    assert "values that Python waits for: ours, test-time register" in judged


@pytest.fixture
def run(tmp_path):
    """Run a function as a step; give how it ended and the facts that it told."""

    def run(function, seconds=30.0, device=CPU, again=()):
        facts = []
        goals = {"few": Goal(2, "at most", on_cpu=True), "fast": Goal(2, "at least")}
        check = Check(device, None, tmp_path, None, goals, facts.append)
        step = Step("tried", function, seconds, goals)
        return run_in_time(step, check, seconds, tmp_path / "log.txt", list(again)), facts

    return run


def test_step__that_hangs_is_killed_with_all_it_started_and_keeps_its_facts(run, tmp_path):
    def hang(check):
        check.record("before", 1)
        sleeper = subprocess.Popen(["sleep", "60"])
        (tmp_path / "pid").write_text(str(sleeper.pid))
        time.sleep(60)

    outcome, facts = run(hang, seconds=1.0)
    assert outcome.state == "cut"
    assert [fact["what"] for fact in facts] == ["before"]
    state = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_step__that_fails_or_dies_says_why(run, tmp_path):
    def fail(check):
        raise ValueError("no such thing\nand more of it")

    def die(check):
        check.record("before", 1)
        os._exit(3)

    def impossible(check):
        raise NotPossibleError("needs torch 9")

    outcome, _ = run(fail)
    assert (outcome.state, outcome.why) == ("failed", "ValueError: no such thing")
    assert "and more of it" in (tmp_path / "log.txt").read_text()
    outcome, facts = run(die)
    assert (outcome.state, outcome.why) == ("failed", "the process ended with 3")
    assert len(facts) == 1
    outcome, _ = run(impossible)
    assert (outcome.state, outcome.why) == ("not possible", "needs torch 9")


def test_step__is_started_anew_where_a_fork_must_not_use_cuda(run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    code = 'import os, sys; os.write(int(sys.argv[1]), b\'{"ended": "ok", "why": "anew"}\\n\')'
    again = [sys.executable, "-c", code]
    outcome, _ = run(None, device=torch.device("cuda"), again=again)
    assert (outcome.state, outcome.why) == ("ok", "anew")


def test_goals__speeds_are_judged_on_a_gpu_only(run):
    def record(check):
        check.record("a", 3, goal="few")
        check.record("b", 3, goal="fast")
        check.record("c", float("nan"), goal="few")

    _, facts = run(record)
    assert [fact["met"] for fact in facts] == [False, None, False]
    assert facts[0]["goal"] == "at most 2"


def test_requirements__are_what_a_machine_for_deep_learning_lacks():
    names = {line.partition("==")[0] for line in requirements()}
    wanted = {"timm", "mmengine", "mmcv-lite", "mmsegmentation", "albumentations", "ftfy"}
    assert wanted | {"opencv-python-headless", "addict", "albucore", "yapf"} <= names
    assert not names & {"torch", "numpy", "opencv-python", "matplotlib"}
