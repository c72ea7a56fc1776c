import errno
from types import SimpleNamespace

import numpy as np
import pytest
from soaking.faults import FAULTS, CorruptFiles, FullDisk, ReadOnly, Site, StopAll
from soaking.work import make_work

from ttr_backbones.atomic import unwritable
from ttr_backbones.datasets.decoding import decode, read_file
from ttr_backbones.errors import InputError


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path / "run", [], None, np.random.default_rng(0))


def error(number, path, size=None):
    return f"ttrb: error: {unwritable(OSError(number, ''), path, size)} The last complete"


def test_faults__have_names_of_their_own(site):
    names = [kind(site).name for kind in FAULTS]
    assert len(set(names)) == len(names) == 11


@pytest.mark.parametrize(
    ("kind", "number", "other"),
    [(FullDisk, errno.ENOSPC, errno.EROFS), (ReadOnly, errno.EROFS, errno.ENOSPC)],
)
def test_unwritten_file__counts_if_it_is_the_run_s_and_for_the_right_reason(
    site, tmp_path, kind, number, other
):
    fault, path = kind(site), site.work_dir / "iter_8.pth"
    assert fault.named_in(error(number, path))
    assert fault.named_in(error(number, path, size=1000))
    assert not fault.named_in(error(other, path))
    assert not fault.named_in(error(number, tmp_path / "elsewhere" / "iter_8.pth"))
    assert not fault.named_in("OSError: [Errno 28] No space left on device")


def test_stop__counts_if_its_signal_is_named(site):
    assert StopAll(site).named_in("ttrb: stopped by SIGTERM after iteration 7 of 12.")
    assert not StopAll(site).named_in("ttrb: stopped by SIGUSR1 after iteration 7 of 12.")
    assert not StopAll(site).named_in("Terminated")


@pytest.mark.parametrize("seed", range(8))
def test_corrupt_file__cannot_be_read_until_it_is_mended(tmp_path, seed):
    files = make_work(tmp_path, None).files
    fault = CorruptFiles(Site(tmp_path / "run", files, None, np.random.default_rng(seed)))
    fault.amid(SimpleNamespace(run_until=lambda count: True))
    bad = {path: told for path in files if (told := problem(path))}
    assert len(bad) == 2  # one in a hundred of 200 files
    for path, told in bad.items():
        assert str(path) in told
        assert fault.named_in(f"ttrb: error: {told}")
    fault.after()
    assert not any(map(problem, bad))


def problem(path):
    kind = "mask" if path.suffix == ".png" else "image"
    try:
        decode(read_file(str(path), kind, None), str(path), kind, "unchanged", "cv2")
    except InputError as error:
        return str(error)
    return None
