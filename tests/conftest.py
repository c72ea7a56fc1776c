"""How the suite is shared out among processes; what all tests use is in `shared_fixtures`."""

from __future__ import annotations

import atexit
import os

import pytest

IN_WORKER = "PYTEST_XDIST_WORKER" in os.environ
if IN_WORKER:
    # Registered first, it comes last: freeing object by object what was imported takes seconds.
    atexit.register(os._exit, 0)
# Files of which one worker takes all. Some open ports or start browsers, one after the other;
# torch's compiler takes seconds to start in a process; fixtures of a folder are made once.
TOGETHER = {
    "serial": ("tests/test_cli/test_torchrun.py", "tests/test_report/"),
    "compiler": (
        "tests/test_backbones/test_frozen_path.py",
        "tests/test_cli/test_export.py",
        "tests/test_export/",
        "tests/test_repairs/test_neighbours.py",
    ),
    "inference": ("tests/test_inference/",),
}


def pytest_plugin_registered(plugin, manager):
    """Import what tests need, unless this process only hands them out.

    Its seconds of imports would pass before a worker starts. pytest has no public way to leave the
    other conftest.py alone; without this one it would be slower, and nothing else.
    """
    if getattr(plugin, "__file__", None) != __file__:
        return
    options = manager.get_plugin("pytestconfig").known_args_namespace
    alone = not getattr(options, "numprocesses", None) or options.collectonly or options.usepdb
    if IN_WORKER or alone:
        manager.import_plugin("shared_fixtures")
    else:
        manager._noconftest = True


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give a worker whole files, and some folders, so that their fixtures are made once.

    xdist's own groups (`--dist loadgroup`) do nothing under pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class FileScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            path = nodeid.partition("::")[0]
            groups = (name for name, files in TOGETHER.items() if path.startswith(files))
            return next(groups, path)

    # By itself it begins with the files of the most tests, and ends with a long one alone.
    config.option.loadscopereorder = False
    return FileScheduling(config, log)


def pytest_collection_modifyitems(items):
    """Workers begin with the files that have slow tests."""
    if IN_WORKER:
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)
