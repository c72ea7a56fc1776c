"""`ttrb prepare nyu` on small files of exactly the official formats."""

import shlex
import sys

import cv2
import numpy as np
import pytest
import scipy.io

from ttr_backbones.cli import main
from ttr_backbones.datasets import LoadDepth, LoadImage, NYUDepthV2

h5py = pytest.importorskip("h5py")


def write_labelled(folder, without=()):
    """Write the labelled file and splits of three images; return RGB [3, H, W, 3] and metres."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 480, 640, 3), dtype=np.uint8)
    metres = rng.uniform(0.7, 9.99, (3, 480, 640)).astype(np.float32)
    metres[:, :10] = 0
    held = {
        "images": images.transpose(0, 3, 2, 1),
        "rawDepths": metres.transpose(0, 2, 1),
        "depths": metres.transpose(0, 2, 1) + 1,  # the inpainted ones, which nobody scores on
    }
    with h5py.File(folder / "nyu.mat", "w") as file:
        for name in sorted(held.keys() - set(without)):
            file[name] = held[name]
        references = file.create_dataset("sceneTypes", (1, 3), dtype=h5py.ref_dtype)
        for number, scene in enumerate(("kitchen", "office", "bathroom")):
            characters = np.array([[ord(character)] for character in scene], dtype=np.uint16)
            file[f"#refs#/{number}"] = characters
            references[0, number] = file[f"#refs#/{number}"].ref
    write_splits(folder, [1, 3])
    return images, metres


def write_splits(folder, test):
    columns = {"trainNdxs": np.array([[2]]), "testNdxs": np.array(test)[:, None]}
    scipy.io.savemat(folder / "splits.mat", {k: v.astype(np.uint16) for k, v in columns.items()})


def prepare(folder, *more):
    source = ["--mat", str(folder / "nyu.mat"), "--splits", str(folder / "splits.mat")]
    return main(["prepare", "nyu", *source, "--out", str(folder / "out"), *more])


def loaded(root, name):
    data = NYUDepthV2(name, str(root), pipeline=[LoadImage(), LoadDepth()])
    return [data[index] for index in range(len(data))]


def test_mat__gives_the_pairs_of_bts(tmp_path, capsys):
    images, metres = write_labelled(tmp_path)
    assert prepare(tmp_path, "--train") == 0
    out = tmp_path / "out"
    assert (out / "nyu_test.txt").read_text() == (
        "/kitchen/rgb_00000.jpg /kitchen/sync_depth_00000.png 518.8579\n"
        "/bathroom/rgb_00002.jpg /bathroom/sync_depth_00002.png 518.8579\n"
    )
    for number, results in zip((0, 2), loaded(out, "nyu_test.txt"), strict=True):
        expected = (metres[number] * np.float32(1000)).astype(np.uint16)
        depth = cv2.imread(results["depth_map_path"], cv2.IMREAD_UNCHANGED)
        assert np.array_equal(depth, expected)
        frame = np.zeros((480, 640, 3), dtype=np.uint8)
        frame[7:474, 7:632] = images[number, 7:474, 7:632, ::-1]
        jpeg = cv2.imdecode(cv2.imencode(".jpg", frame)[1], cv2.IMREAD_COLOR)
        assert np.array_equal(results["img"], jpeg)
    (train,) = loaded(out, "nyu_labelled_train.txt")
    assert train["img_path"].endswith("office/rgb_00001.jpg")
    shown = capsys.readouterr().out
    assert "nyu_test.txt: 2 pairs (NOTE: 654 are published)" in shown
    _, command = shown.strip().splitlines()[-1].split("with: ttrb ")
    assert main(shlex.split(command)) == 0
    assert capsys.readouterr().out.count("0 problem(s)") == 2


def test_written_twice__changes_nothing_and_overwrites_nothing(tmp_path, capsys):
    write_labelled(tmp_path)
    assert prepare(tmp_path) == 0
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    before = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}
    assert prepare(tmp_path) == 0
    assert before == {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}
    changed = tmp_path / "out" / "bathroom" / "rgb_00002.jpg"
    changed.write_bytes(b"mine")
    assert prepare(tmp_path) == 2
    assert changed.read_bytes() == b"mine"
    assert "rgb_00002.jpg is there already and differs" in capsys.readouterr().err
    assert prepare(tmp_path, "--force") == 0
    assert changed.read_bytes() == before[changed][1]


def test_another_list__stops_before_anything_is_written(tmp_path, capsys):
    write_labelled(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "nyu_test.txt").write_text("mine\n")
    assert prepare(tmp_path) == 2
    assert "nyu_test.txt is there already and differs" in capsys.readouterr().err
    assert len(list((tmp_path / "out").rglob("*"))) == 1


def test_without_h5py(tmp_path, monkeypatch, capsys):
    write_labelled(tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert prepare(tmp_path) == 2
    assert "pip install 'ttr_backbones[nyu]'" in capsys.readouterr().err


def refused(folder, capsys):
    assert prepare(folder) == 2
    assert not (folder / "out").exists()
    return capsys.readouterr().err


def test_files_that_are_none(tmp_path, capsys):
    assert "nyu.mat does not exist" in refused(tmp_path, capsys)
    write_labelled(tmp_path)
    (tmp_path / "splits.mat").write_text("<html>")
    assert "cannot be read as the official splits.mat" in refused(tmp_path, capsys)
    (tmp_path / "nyu.mat").write_text("<html>")
    assert "nyu.mat (6 bytes) cannot be opened as HDF5" in refused(tmp_path, capsys)


def test_files_that_hold_something_else(tmp_path, capsys):
    write_labelled(tmp_path)
    write_splits(tmp_path, [1, 4])
    assert "names images 1 to 4, the labelled file holds 3" in refused(tmp_path, capsys)
    scipy.io.savemat(tmp_path / "splits.mat", {"train": [1]})
    assert "expected a MATLAB file with trainNdxs and testNdxs" in refused(tmp_path, capsys)
    write_labelled(tmp_path, without=["rawDepths"])
    assert "has no rawDepths, it holds #refs#, depths, images" in refused(tmp_path, capsys)
    write_labelled(tmp_path, without=["rawDepths", "images"])
    with h5py.File(tmp_path / "nyu.mat", "a") as file:
        file["images"], file["rawDepths"] = np.zeros((3, 4, 5, 6)), np.zeros((3, 5, 6))
    assert "holds images [3, 4, 5, 6] and rawDepths [3, 5, 6]" in refused(tmp_path, capsys)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "needs a source"),
        (["--mat", "a"], "--mat and --splits are used together"),
        (["--bts", "a", "--train"], "--train needs both"),
    ],
)
def test_options_that_do_not_fit(given, message, capsys):
    assert main(["prepare", "nyu", *given]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def bts(tmp_path):
    """BTS's training folder, with a list that takes one of its two pairs."""
    folder = tmp_path / "sync" / "study_0008"
    folder.mkdir(parents=True)
    for number in (1, 9):
        image = np.full((48, 64, 3), 20 * number, dtype=np.uint8)
        cv2.imwrite(str(folder / f"rgb_0000{number}.jpg"), image)
        depth = np.full((48, 64), 900 * number, dtype=np.uint16)
        cv2.imwrite(str(folder / f"sync_depth_0000{number}.png"), depth)
    (tmp_path / "nyu_train.txt").write_text(
        "study_0008/rgb_00009.jpg study_0008/sync_depth_00009.png 518.8579\n"
    )
    return tmp_path / "sync"


def test_bts_and_mat__make_one_folder(tmp_path, bts, capsys):
    write_labelled(tmp_path)
    assert prepare(tmp_path, "--bts", str(bts)) == 0
    out = tmp_path / "out"
    (train,) = loaded(out, "nyu_train.txt")
    assert train["gt_depth_map"][0, 0] == np.float32(8.1)
    source = bts / "study_0008" / "rgb_00009.jpg"
    assert (out / "study_0008" / "rgb_00009.jpg").read_bytes() == source.read_bytes()
    assert not (out / "study_0008" / "rgb_00001.jpg").exists()
    assert len(loaded(out, "nyu_test.txt")) == 2
    assert "nyu_train.txt: 1 pairs (NOTE: 24231 are published)" in capsys.readouterr().out


def test_bts__without_any_pair(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    arguments = ["--bts", str(tmp_path / "empty"), "--out", str(tmp_path / "out")]
    assert main(["prepare", "nyu", *arguments]) == 2
    assert "holds no pair of NYU Depth V2" in capsys.readouterr().err
