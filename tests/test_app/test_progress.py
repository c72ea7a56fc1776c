"""Progress on a terminal, and in a log file."""

import sys

import pytest

from ttr_backbones.app import progress
from ttr_backbones.app.progress import ProgressBar, StatusLine, rate_and_eta


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def use_terminal(monkeypatch, kind="xterm"):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", kind)


def test_bar__counts_passes_on_a_terminal(monkeypatch, capsys, clock):
    use_terminal(monkeypatch)
    bar = ProgressBar()
    for done, total in ((8, 16), (16, 16), (8, 16), (3, None)):
        bar(done, total)
        clock.now += 4
    bar.close()
    written = capsys.readouterr().err
    shown = [part for part in written.split("\r") if "images" in part]
    texts = ["8/16 images", "16/16 images, 2/s", "pass 2: 8/16 images", "pass 3: 3 images"]
    assert all(part.endswith(text) for part, text in zip(shown[:4], texts, strict=True))
    assert "━" in shown[0]
    assert "━" not in shown[3]
    assert written.endswith("\x1b[1A\x1b[2K"), "the line is gone at the end"


def test_bar__without_colour(monkeypatch, capsys):
    def drawn():
        bar = ProgressBar()
        bar(8, 16)
        bar.close()
        return capsys.readouterr().err

    use_terminal(monkeypatch)
    assert "\x1b[91m" in drawn()
    monkeypatch.setenv("NO_COLOR", "1")
    plain = drawn()
    assert "━" in plain
    assert "\x1b[91m" not in plain


@pytest.mark.parametrize("dumb", [False, True])
def test_line__in_a_log_file(capsys, monkeypatch, clock, dumb):
    monkeypatch.setenv("FORCE_COLOR", "1")  # of rich: it would write codes into a pipe
    if dumb:
        use_terminal(monkeypatch, "dumb")
    line = StatusLine()
    for second in range(65):
        clock.now = 100.0 + second
        line.show(f"training {second}/65 " + 100 * "x", second / 65)
    line.keep("done")
    line.close()
    lines = capsys.readouterr().err.splitlines()
    assert [text.split()[:2] for text in lines[:2]] == [
        ["training", "30/65"],
        ["training", "60/65"],
    ]
    assert all(text.endswith(100 * "x") for text in lines[:2])
    assert lines[2:] == ["done"]


def test_line__of_another_process_is_silent(monkeypatch, capsys):
    use_terminal(monkeypatch)
    monkeypatch.setenv("RANK", "1")
    line = StatusLine()
    line.show("a")
    line.keep("b")
    assert capsys.readouterr().err == ""


def test_line__lets_prints_to_a_pipe_through(monkeypatch, capsys):
    use_terminal(monkeypatch)
    line = StatusLine()
    line.show("working")
    sys.stdout.write("a path\n")
    line.close()
    shown = capsys.readouterr()
    assert shown.out == "a path\n"
    assert "a path" not in shown.err


def test_rate_and_eta():
    assert rate_and_eta(20.0, 100) == "20/s, 0:00:05 left"
    assert rate_and_eta(0.5, 1900) == "0.5/s, 1:03:20 left"
    assert rate_and_eta(0.25, None) == "0.25/s"
    assert rate_and_eta(12.3, 0) == "12/s"
