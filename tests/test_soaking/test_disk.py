import errno
import multiprocessing

import pytest
from soaking.disk import Disk


def outcome(function, *args):
    """The errno of what goes wrong, or 0."""
    try:
        function(*args)
    except OSError as error:
        return error.errno
    return 0


def use_disk(root, send):
    """Mounts stay in this process."""
    try:
        disk = Disk(root)
    except OSError as error:
        send(f"this process may not mount a disk: {error}")
        return
    run = root / "run"
    run.mkdir()
    file, small, large = run / "file", bytes(1000), bytes(100_000)
    told = [outcome(file.write_bytes, large)]
    disk.fill(50_000)
    told += [outcome((run / "small").write_bytes, small), outcome((run / "b").write_bytes, large)]
    disk.empty()
    told.append(outcome((run / "b").write_bytes, large))
    with file.open("a") as log:
        disk.protect(run)
        told += [outcome((run / "c").write_bytes, small), outcome(print, "open before", log)]
        disk.release(run)
    told.append(outcome((run / "c").write_bytes, small))
    disk.close()
    send([*told, sorted(path.name for path in root.iterdir())])


def test_disk__is_full_and_read_only_when_told(tmp_path):
    receiving, sending = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(
        target=use_disk, args=(tmp_path, sending.send)
    )
    process.start()
    told = receiving.recv()
    process.join()
    if isinstance(told, str):
        pytest.skip(told)
    full, protected = errno.ENOSPC, errno.EROFS
    assert told == [0, 0, full, 0, protected, 0, 0, []]
    assert not list(tmp_path.iterdir())  # nobody else has seen it
