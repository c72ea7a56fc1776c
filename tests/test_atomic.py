import os

import pytest
from mmengine.fileio import get_file_backend

from ttr_backbones.atomic import remove_partial_files, write_atomically


class KilledError(Exception):
    pass


def test_write__a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.pth"
    write_atomically(path, b"old")

    def fail(fd):
        raise KilledError

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(KilledError):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    (partial,) = remove_partial_files(tmp_path)
    assert partial.name.startswith(".a.pth.")
    assert [file.name for file in tmp_path.iterdir()] == ["a.pth"]


def test_backend__writes_into_a_new_folder(tmp_path):
    backend = get_file_backend(backend_args={"backend": "atomic"})
    backend.put(b"content", str(tmp_path / "new" / "a.pth"))
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.pth"]
