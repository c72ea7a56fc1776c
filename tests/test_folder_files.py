import pytest

from ttr_backbones.errors import InputError
from ttr_backbones.folder_files import files_below
from ttr_backbones.images.photos import photo_files


def test_links__are_followed_once(tmp_path):
    photos, disk = tmp_path / "photos", tmp_path / "disk"
    for file in (photos / "a/1.jpg", disk / "b/2.jpg", disk / "3.JPG"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (photos / "disk").symlink_to(disk)
    (photos / "file.gif").symlink_to(disk / "3.JPG")
    (photos / "a/loop").symlink_to(photos)
    (disk / "b/loop").symlink_to(disk)
    (photos / "gone").symlink_to(tmp_path / "nowhere")
    (photos / "z").symlink_to(disk)  # the second way to it
    expected = ["a/1.jpg", "disk/3.JPG", "disk/b/2.jpg", "file.gif"]
    assert sorted(f.relative_to(photos).as_posix() for f in files_below(photos)) == expected
    assert [f.relative_to(photos).as_posix() for f in photo_files(photos)] == expected


def test_photo_files__of_every_suffix_that_people_have(tmp_path):
    names = {"a.JPEG", "b.gif", "c.avif", "d.heic", "e.webp", "f.tif", "g.TIFF", "h.jfif"}
    for name in names | {"i.txt", "j.json"}:
        (tmp_path / name).touch()
    assert {file.name for file in photo_files(tmp_path)} == names


def test_photo_files__whose_name_is_not_utf8(tmp_path):
    (tmp_path / "a.jpg").touch()
    open(bytes(tmp_path) + "/中.jpg".encode("gbk"), "wb").close()  # noqa: PTH123
    with pytest.raises(InputError, match=r"1 names .*encoding UTF-8.*convmv.*\n.*xd6\\xd0\.jpg"):
        photo_files(tmp_path)
