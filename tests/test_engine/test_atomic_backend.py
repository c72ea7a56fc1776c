from mmengine.fileio import get_file_backend

import ttr_backbones.engine  # noqa: F401 -- registers the backend


def test_backend__writes_into_a_new_folder(tmp_path):
    backend = get_file_backend(backend_args={"backend": "atomic"})
    backend.put(b"content", str(tmp_path / "new" / "a.pth"))
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.pth"]
