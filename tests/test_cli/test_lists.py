"""`ttrb lists` shows every list that ships."""

from ttr_backbones.cli import main
from ttr_backbones.package_data import NEURON_LISTS
from ttr_backbones.registers import RegisterNeurons
from ttr_backbones.repairs import REPAIRS

FILES = sorted(NEURON_LISTS.glob("*.json"))


def test_lists__shows_every_list_with_its_source_and_doubts(capsys):
    assert main(["lists"]) == 0
    shown = capsys.readouterr().out
    assert FILES
    for file in FILES:
        neurons = RegisterNeurons.bundled(file.stem)
        (row,) = (line.split() for line in shown.splitlines() if line.startswith(f"{file.stem} "))
        assert row[1] == str(len(neurons))
        for key in ("source", "doubt"):
            told = neurons.provenance.get(key, "").split()
            assert " ".join(told) in " ".join(shown.split())


def test_lists__tells_for_which_models_constants_ship(capsys):
    main(["lists"])
    entries = capsys.readouterr().out.split("repair=dict(type='bias', artifact='auto') ships too")
    with_constants = list(REPAIRS["bias"].shipped_files())
    assert len(entries) - 1 == len(with_constants) > 0
    for entry, model in zip(entries[:-1], with_constants, strict=True):
        *_, last = (line for line in entry.splitlines() if line.startswith("vit_"))
        assert last.startswith(f"{model} ")


def test_lists__published_list(capsys):
    main(["lists"])
    shown = capsys.readouterr().out.splitlines()
    (row,) = (line for line in shown if line.startswith("vit_large_patch14_dinov2.lvd142m"))
    assert row.split()[1:3] == ["45", "12..17"]
