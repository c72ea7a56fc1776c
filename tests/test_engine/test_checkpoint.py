import pytest
import torch

from ttr_backbones.engine import latest_checkpoint


@pytest.fixture
def run_folder(tmp_path):
    for step in (8, 10, 9):
        torch.save({"step": step}, tmp_path / f"iter_{step}.pth")
    torch.save({}, tmp_path / "best_mIoU_iter_99.pth")
    return tmp_path


def test_latest__is_what_last_checkpoint_says(run_folder):
    (run_folder / "last_checkpoint").write_text(str(run_folder / "iter_9.pth"))
    assert latest_checkpoint(run_folder) == run_folder / "iter_9.pth"


@pytest.mark.parametrize("pointer", [None, "", "/elsewhere/iter_12.pth"])
def test_latest__without_a_usable_pointer_is_the_highest_number(run_folder, pointer):
    if pointer is not None:
        (run_folder / "last_checkpoint").write_text(pointer)
    assert latest_checkpoint(run_folder) == run_folder / "iter_10.pth"


def test_latest__of_a_moved_run_follows_the_name(run_folder):
    (run_folder / "last_checkpoint").write_text("/before/iter_9.pth")
    assert latest_checkpoint(run_folder) == run_folder / "iter_9.pth"


def test_latest__passes_over_a_truncated_file(run_folder):
    path = run_folder / "iter_10.pth"
    path.write_bytes(path.read_bytes()[:-30])
    (run_folder / "last_checkpoint").write_text(str(path))
    assert latest_checkpoint(run_folder) == run_folder / "iter_9.pth"


def test_latest__of_nothing_is_none(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "absent") is None
