import math

import pytest

from ttr_backbones.app.option_value import read_value
from ttr_backbones.errors import InputError

LISTS = ([1, 2], (1, 2), [])


@pytest.mark.parametrize("current", [None, "old.pth", 3, [1]])
def test_literals__whatever_the_config_has(current):
    expected = {
        "3": 3, "-1": -1, "1e-3": 1e-3, ".5": 0.5, "True": True, "false": False, "None": None,
        " 3": 3, "'3'": "3", '"a, b"': "a, b", "'None'": "None",
        "[1,2]": [1, 2], "[8, 11]": [8, 11], "(8,11)": (8, 11), "(8)": (8,), "(8,)": (8,),
        "[]": [], "()": (), "8,11": [8, 11], "1.5,2": [1.5, 2], "[[1,2],[3]]": [[1, 2], [3]],
        "[a,b]": ["a", "b"], "(a, b c)": ("a", "b c"), "[a,1,None,true]": ["a", 1, None, True],
        "['a,b',c]": ["a,b", "c"], "[(0.5,1),(x,y)]": [(0.5, 1), ("x", "y")], "[a]": ["a"],
        "{'a': 1}": {"a": 1},
    }  # fmt: skip
    for text, value in expected.items():
        read = read_value(text, current)
        assert read == value, text
        assert type(read) is type(value), text


PATHS = [
    *("/data/my run/w.pth", "/data/run (1)/w.pth", "/data/vit,v2/w.pth", "/data/a=b/w.pth"),
    *("a, b", " a", "a ", "it's/w.pth", 'say "x"/w', "[draft] v1/w.pth", "(old)/w.pth", "(a) (b)"),
    *("/data/run(1/w.pth", "/data/1],2/w.pth", "1#2", "1j", "b'x'", "1:2", "~/w.pth", "$HOME/x"),
    *("https://a.b/c?d=1,2&e=[3]", "C:\\data\\new", "x{1}", "", ",", "truely", "1,a", "a,"),
]


@pytest.mark.parametrize("current", [None, "old.pth"])
def test_everything_else__stays_as_typed(current):
    assert [read_value(text, current) for text in PATHS] == PATHS


@pytest.mark.parametrize("current", LISTS)
def test_commas__make_a_list_where_the_config_has_one(current):
    assert read_value("a,b c,3", current) == ["a", "b c", 3]
    assert read_value("a,[1,2],(x,y)", current) == ["a", [1, 2], ("x", "y")]
    assert read_value("a", current) == "a"


def test_numbers_that_python_writes_otherwise():
    assert (read_value("007", 3), read_value("007", "x")) == (7, "007")
    assert read_value("inf", 1.0) == math.inf
    assert math.isnan(read_value("nan"))


@pytest.mark.parametrize(
    "text", ["[1,2", "(a", "[1,2)", "dict(a=1, b=2)", "{a: 1}", "{1, 2}", "[" * 3000]
)
def test_what_cannot_be_read(text):
    with pytest.raises(InputError, match=r"cannot be read.*brackets closed; write a dict key by k"):
        read_value(text)
