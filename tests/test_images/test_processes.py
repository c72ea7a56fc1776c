"""Two processes that share the images know what one knows."""

import dataclasses
import shutil

import pytest
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import image_batches
from ttr_backbones.images.photos import Photos
from ttr_backbones.images.processes import add_up, process_batches
from ttr_backbones.neuron_search.onset import block_norms, find_onset
from ttr_backbones.neuron_search.search import NoOutliersError
from ttr_backbones.registers import find_register_neurons, verify_neurons
from ttr_backbones.vits.neurons import RegisterNeurons


@pytest.fixture
def images():
    made = torch.randn(7, 3, 64, 48, generator=torch.Generator().manual_seed(3))
    made[1:, :, 16:32, :16] *= 300  # the residual stream carries such a patch to the end
    return made


def both(outcomes):
    """What both processes gave, if it is the same."""
    first, second = (outcome.value for outcome in outcomes)
    assert first == second
    return first


def searched(vit, images, batch_size, **options):
    found = find_register_neurons(vit, images, batch_size=batch_size, **options)
    scores = {(block, unit): score for block, unit, score in found.ranking}
    return list(scores), scores, (found.num_images, found.num_outliers), found.threshold


def assert_found_the_same(outcomes, alone):
    order, scores, counts, threshold = both(outcomes)
    assert (order, counts, threshold) == (alone[0], *alone[2:])
    assert scores == pytest.approx(alone[1], rel=1e-9)


@pytest.mark.parametrize("batch_size", [2, 4, 8], ids=["four batches", "two", "one"])
def test_search__finds_the_same(two_processes, make_vit, images, batch_size):
    """With one batch the second process has none."""
    vit = make_vit()
    alone = searched(vit, images, batch_size)
    assert alone[2] == (7, 6)
    assert_found_the_same(two_processes(searched, vit, images, batch_size), alone)


def test_search__of_an_iterator_and_of_batches(two_processes, make_vit, images):
    vit = make_vit()
    alone = searched(vit, images, 2, threshold=20.0)

    def of(source):
        return searched(vit, source, 2, threshold=20.0)

    for make in (lambda: iter(images), lambda: list(images.split(3))):
        assert_found_the_same(two_processes(lambda make=make: of(make())), alone)


def onset_and_norms(vit, images):
    batches = image_batches(images, vit, batch_size=2)
    norms = block_norms(vit, batches)
    return find_onset(vit, batches), [(each.counts.tolist(), each.moments[0]) for each in norms]


def test_onset__is_the_same(two_processes, make_vit, images):
    vit = make_vit()
    assert both(two_processes(onset_and_norms, vit, images)) == onset_and_norms(vit, images)


def verified(vit, images):
    neurons = RegisterNeurons("", {1: [3, 5], 2: [7]})
    seen = dataclasses.asdict(verify_neurons(vit, neurons, images, batch_size=2))
    return dict(numbers(seen))


def numbers(value, path=""):
    """Every number of nested dicts and lists by its path."""
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from numbers(inner, f"{path}/{key}")
    else:
        yield path, value


def test_verification__is_the_same(two_processes, make_vit, images):
    vit = make_vit()
    alone = verified(vit, images)
    assert (alone["/num_images"], alone["/num_patches"]) == (7, 7 * 12)
    assert both(two_processes(verified, vit, images)) == pytest.approx(alone, rel=1e-9)


def no_outliers(vit):
    with pytest.raises(NoOutliersError, match="none of 7 images"):
        find_register_neurons(vit, torch.randn(7, 3, 64, 48), threshold=1e6, batch_size=2)


def test_no_outliers__is_said_by_all(two_processes, make_vit):
    two_processes(no_outliers, make_vit())


@pytest.fixture
def files(shared, tmp_path):
    """Seven photographs, of which number 2 and 3 are cut."""
    for number, file in enumerate(sorted((shared / "data" / "photos").iterdir())[:7]):
        shutil.copy(file, tmp_path / f"{number}{file.suffix}")
    for path in sorted(tmp_path.iterdir())[2:4]:
        path.write_bytes(path.read_bytes()[:3000])
    return sorted(tmp_path.iterdir())


def two_passes(vit, files):
    """Names of the files read and images given, in each of two passes; and the bad files."""
    told = []
    read = Photos._read

    def telling(self, file):
        told[-1][0].append(file.stem)
        return read(self, file)

    Photos._read = telling
    batches = image_batches(files, vit, batch_size=2, size=64, on_bad="skip")
    for _ in range(2):
        told.append([[], 0])
        told[-1][1] = sum(len(batch) for batch in process_batches(batches))
    return told, [path.stem for path, _ in batches.bad]


def test_files__are_read_by_one_process_and_what_one_finds_bad_both_know(
    two_processes, make_vit, files
):
    """The second process's first batch is bad, which leaves it none; then the others are dealt."""
    (first, bad), (second, same) = (o.value for o in two_processes(two_passes, make_vit(), files))
    assert first == [[["0", "1", "4", "5"], 4], [["0", "1", "6"], 3]]
    assert second == [[["2", "3", "6"], 1], [["4", "5"], 2]]
    assert bad == same == ["2", "3"]


def test_files__that_are_all_bad_for_one_process(two_processes, make_vit, files):
    outcomes = two_processes(two_passes, make_vit(), files[:4])
    assert [outcome.value[0][0] for outcome in outcomes] == [[["0", "1"], 2], [["2", "3"], 0]]
    with pytest.raises(InputError, match="none is left"):
        list(image_batches(files[2:4], make_vit(), size=64, on_bad="skip"))


def added():
    sums = torch.tensor([1.0, torch.distributed.get_rank()])
    add_up([sums], "cpu")
    return sums.tolist()


def test_add_up__sums_over_processes(two_processes):
    assert both(two_processes(added)) == [2.0, 1.0]
    alone = torch.tensor([1.0])
    add_up([alone], "cpu")
    assert alone.tolist() == [1.0]
