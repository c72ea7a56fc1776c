import zipfile

import pytest

from ttr_backbones.datasets.bts_archive import BTSArchive
from ttr_backbones.errors import InputError, MissingFileError

LIST = """/study_0008/rgb_00009.jpg /study_0008/sync_depth_00009.png 518.8579
/kitchen_0028b/rgb_00045.jpg /kitchen_0028b/sync_depth_00045.png 518.8579
"""
TRAIN = [
    ("study_0008/rgb_00009.jpg", "study_0008/sync_depth_00009.png"),
    ("kitchen_0028b/rgb_00045.jpg", "kitchen_0028b/sync_depth_00045.png"),
]
TEST = [(f"{s}/rgb_{n}.jpg", f"{s}/sync_depth_{n}.png") for s, n in [("attic", 2), ("bath", 45)]]


@pytest.fixture
def folder(tmp_path):
    """Three training pairs, two of them listed, and two test pairs; files hold their own names."""
    scenes = ["sync/study_0008/{}_00009", "sync/study_0008/{}_00001", "sync/kitchen_0028b/{}_00045"]
    scenes += ["official_splits/test/bath/{}_45", "official_splits/test/attic/{}_2"]
    root = tmp_path / "bts"
    for scene in scenes:
        for kind, suffix in (("rgb", ".jpg"), ("sync_depth", ".png")):
            path = root / (scene.format(kind) + suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(path.name)
    (root / "nyudepthv2_train_files_with_gt.txt").write_text(LIST)
    return root


def zipped(folder):
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    return path


@pytest.mark.parametrize("form", [lambda folder: folder, zipped], ids=["folder", "zip"])
def test_pairs__of_the_list_and_of_the_test_folder(folder, form):
    archive = BTSArchive(form(folder))
    assert archive.pairs("train") == TRAIN  # in the list's order, and what it leaves out is out
    assert archive.pairs("test") == TEST
    assert archive.read("study_0008/sync_depth_00009.png") == b"sync_depth_00009.png"


@pytest.mark.parametrize("given", [False, True])
def test_lists__beside_the_archive_or_in_their_own_folder(folder, tmp_path, given):
    (folder / "nyudepthv2_train_files_with_gt.txt").unlink()
    lists = tmp_path / "lists" if given else tmp_path
    lists.mkdir(exist_ok=True)
    (lists / "nyu_train.txt").write_text(LIST)
    (lists / "nyu_test.txt").write_text("/bath/rgb_45.jpg /bath/sync_depth_45.png 518.8579\n")
    archive = BTSArchive(folder, lists if given else None)
    assert archive.pairs("train") == TRAIN
    assert archive.pairs("test") == TEST[1:]  # a list goes before the folder


def test_one_split_only(folder):
    assert BTSArchive(folder / "sync", folder).pairs("test") == []
    assert BTSArchive(folder / "official_splits", folder).pairs("train") == []
    assert BTSArchive(folder / "official_splits").pairs("train") == TRAIN[:0]


def test_training_images_without_a_list(folder):
    (folder / "nyudepthv2_train_files_with_gt.txt").unlink()
    with pytest.raises(InputError, match=r"no list of the 24,231 .*--lists"):
        BTSArchive(folder).pairs("train")


def test_missing_files__are_named(folder):
    (folder / "sync/study_0008/sync_depth_00009.png").unlink()
    (folder / "official_splits/test/bath/sync_depth_45.png").unlink()
    archive = BTSArchive(folder)
    with pytest.raises(InputError, match="lacks 1 of the 4 files of the train set: study_00"):
        archive.pairs("train")
    with pytest.raises(InputError, match="lacks 1 of the 4 files of the test set: bath/sync_depth"):
        archive.pairs("test")


def test_empty_file(folder):
    (folder / "sync/study_0008/rgb_00009.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"study_0008/rgb_00009.jpg in .* is empty"):
        BTSArchive(folder).read("study_0008/rgb_00009.jpg")


def test_damaged_zip(folder):
    path, name = zipped(folder), b"sync_depth_00009.png"
    content = path.read_bytes()
    path.write_bytes(content.replace(name + name, name + name[::-1]))  # the file holds its name
    archive = BTSArchive(path)
    with pytest.raises(InputError, match=r"is damaged .*Download the archive again"):
        archive.read("study_0008/sync_depth_00009.png")


def test_no_archive(folder, tmp_path):
    with pytest.raises(MissingFileError, match="does not exist"):
        BTSArchive(tmp_path / "absent")
    (tmp_path / "sync.zip").write_text("<html>")
    with pytest.raises(InputError, match="is no complete zip archive"):
        BTSArchive(tmp_path / "sync.zip")


def test_paths_that_climb_out__are_never_read(tmp_path):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("test/../rgb_1.jpg", "x")
        archive.writestr("test/../sync_depth_1.png", "x")
    assert BTSArchive(path).pairs("test") == []
