"""All steps, in the order of their worth: what is short and tells much comes first."""

from __future__ import annotations

from gpu_steps import (
    classes,
    counts,
    environment,
    export,
    families,
    gpu_tests,
    heads,
    lost,
    memory,
    processes,
    register,
    resume,
    search,
    sinder,
)
from gpu_steps.step import Goal, Step

_NONE = Goal(0, "exactly", on_cpu=True)

STEPS = (
    Step("environment", environment.run, 60),
    Step("tests", gpu_tests.run, 90, {"failed": _NONE}),
    Step(
        "resume",
        resume.run,
        120,
        {"different": _NONE, "exit code": _NONE, "mIoU": _NONE},
    ),
    Step(
        "waits and graphs", counts.run, 90, {"reads": _NONE, "breaks": _NONE, "recompiled": _NONE}
    ),
    Step(
        "register",
        register.smaller,
        150,
        {"batch 1": Goal(1.05, "at most"), "larger batches": Goal(1.02, "at most")},
    ),
    Step("larger ViT", register.larger, 120, {"share": Goal(0.5, "at least")}),
    Step(
        "search",
        search.run,
        60,
        {
            "forwards": Goal(1.3, "at most"),
            "as fast": Goal(10, "at least"),
            "same": Goal(1, "exactly", on_cpu=True),
        },
    ),
    Step("LOST", lost.run, 60, {"as fast": Goal(5, "at least"), "share": Goal(0.15, "at most")}),
    Step(
        "families",
        families.run,
        45,
        {"difference": Goal(1e-3, "at most", on_cpu=True), "off": _NONE},
    ),
    Step("SINDER", sinder.run, 60, {"off": _NONE}),
    Step(
        "classes",
        classes.run,
        60,
        {
            "same classes": Goal(0.99, "at least", on_cpu=True),
            "same pixels": Goal(0.99, "at least", on_cpu=True),
        },
    ),
    Step("heads", heads.run, 60, {"heads": Goal(1.3, "at most")}),
    Step("memory", memory.run, 60, {"memory": Goal(0.1, "at most", on_cpu=True)}),
    Step(
        "processes",
        processes.run,
        90,
        {
            "difference": Goal(0.01, "at most", on_cpu=True),
            "nccl": Goal(0.01, "at most"),
        },
    ),
    Step("export", export.run, 60, {"difference": Goal(1e-2, "at most", on_cpu=True)}),
    Step("everything else", register.everything, 300),
)
