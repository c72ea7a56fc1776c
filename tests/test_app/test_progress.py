"""The progress bar."""

import sys

from ttr_backbones.app.progress import ProgressBar, rate_and_eta


def test_bar__counts_passes(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    bar = ProgressBar()
    for done, total in ((8, 16), (16, 16), (8, 16), (3, None)):
        bar(done, total)
    bar.close()
    shown = capsys.readouterr().err.split("\r")
    assert shown[1].startswith("pass 1 [############............] 8/16 images\x1b[K")
    assert shown[2].startswith("pass 1 [########################] 16/16 images, ")
    assert shown[3].startswith("pass 2 [############............] 8/16")
    assert shown[4].startswith("pass 3 [........................] 3 images")
    assert shown[5] == "\x1b[K"


def test_bar__is_silent_without_a_terminal(capsys):
    bar = ProgressBar()
    bar(8, 16)
    bar.close()
    assert capsys.readouterr().err == ""


def test_rate_and_eta():
    assert rate_and_eta(20.0, 100) == "20/s, 0:00:05 left"
    assert rate_and_eta(0.5, 1900) == "0.5/s, 1:03:20 left"
    assert rate_and_eta(0.25, None) == "0.25/s"
    assert rate_and_eta(12.3, 0) == "12/s"
