import pytest
from mmengine.config import Config

from ttr_backbones.app.data_folders import check_dataset_folders, check_folders
from ttr_backbones.errors import InputError, MissingFileError


def loader(root, kind="ADE20KDataset", **more):
    prefix = {"img_path": "images", "seg_map_path": "masks"}
    dataset = {"type": kind, "data_root": str(root), "data_prefix": prefix, **more}
    return Config({"train_dataloader": {"dataset": dataset}})


@pytest.fixture
def data(tmp_path):
    for name in ("images/a.jpg", "masks/a.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_text("a\n")
    return tmp_path


def test_folders__complete(data):
    check_folders(loader(data, ann_file="list.txt"), "train_dataloader", "val_dataloader")
    check_folders(loader("s3://bucket"), "train_dataloader")


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("ADE20KDataset", "ADEChallengeData2016.zip"),
        ("PascalVOCDataset", "VOCtrainval_11-May-2012"),
        ("NYUDepthV2", "ttrb prepare nyu --mat"),
        ("KITTIDepth", "kitti_eigen_{train,test}.txt"),
    ],
)
def test_folders__missing_root_says_where_to_get_it(tmp_path, kind, source):
    with pytest.raises(MissingFileError) as caught:
        check_folders(loader(tmp_path / "absent", kind), "train_dataloader")
    message = str(caught.value)
    assert f"train_dataloader: {kind} expects a folder at {tmp_path / 'absent'}" in message
    assert "which does not exist" in message
    assert source in message
    assert "--data-root" in message


def test_folders__of_a_command_without_the_option_do_not_advise_it(data):
    dataset = loader(data / "absent").train_dataloader.dataset
    with pytest.raises(MissingFileError) as caught:
        check_dataset_folders("train_dataloader", dataset, data_root_option=False)
    assert f"which does not exist. {data} has all of it. Get ADE20K" in str(caught.value)
    assert "--data-root" not in str(caught.value)


def test_folders__empty_one(data):
    (data / "masks" / "a.png").unlink()
    with pytest.raises(MissingFileError, match=r"masks \(data_prefix.seg_map_path .*is empty"):
        check_folders(loader(data), "train_dataloader")


def test_folders__missing_list(data):
    with pytest.raises(MissingFileError, match=r"expects a list at .*val.txt \(ann_file"):
        check_folders(loader(data, ann_file="val.txt"), "train_dataloader")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gbk"])
def test_folders__list_that_mmseg_would_misread(data, encoding):
    (data / "list.txt").write_bytes("中\n".encode(encoding))
    with pytest.raises(InputError, match=r"list\.txt.* UTF-8"):
        check_folders(loader(data, ann_file="list.txt"), "train_dataloader")


@pytest.mark.parametrize("root", ["..", "../..", "images", "../dat"])
def test_folders__suggest_the_root_that_fits(tmp_path, root):
    """Of a folder around the right one, inside it, or beside it."""
    right = tmp_path / "work" / "data"
    for name in ("images/a.jpg", "masks/a.png"):
        (right / name).parent.mkdir(parents=True)
        (right / name).touch()
    wrong = right / root
    with pytest.raises(MissingFileError) as caught:
        check_folders(loader(wrong.resolve()), "train_dataloader")
    assert f"did you mean --data-root {right}? " in str(caught.value)


def test_folders__suggest_no_root_that_only_exists(tmp_path):
    """Where a data set asks for nothing inside its root, every folder around it would do."""
    data = loader(tmp_path / "absent", data_prefix={"img_path": ""})
    (tmp_path / "other").mkdir()
    with pytest.raises(MissingFileError) as caught:
        check_folders(data, "train_dataloader")
    assert "did you mean" not in str(caught.value)
