"""What is left in the output folder of a command that fails."""

from argparse import Namespace

import pytest

from ttr_backbones.atomic import check_writable
from ttr_backbones.cli import predict, show, sweep
from ttr_backbones.errors import InputError


@pytest.mark.parametrize("command", [show, predict, sweep])
def test_a_failed_run__leaves_no_empty_folder_that_was_not_there(command, tmp_path, monkeypatch):
    def fail(args):
        check_writable(args.out)
        (args.out / "picture.png").write_bytes(b"") if args.draws else None
        raise InputError("no")

    monkeypatch.setattr(command, "_run", fail)
    (tmp_path / "there").mkdir()
    for name, draws, left in (("new", False, False), ("new", True, True), ("there", False, True)):
        out = tmp_path / name
        with pytest.raises(InputError, match="no"):
            command.run(Namespace(out=out, draws=draws))
        assert out.is_dir() == left
