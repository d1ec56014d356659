"""Private names of a build are shortened and mean the same; everything else is left alone."""

import ast

from ronda_tools import vm
from ronda_tools.shorten import shorten

ONE = '''"""One."""
from two import _shared

_table = {"_kept": 1}


class Thing:
    def __init__(self, _given):
        self._kept = _given
        self._value = 2
        self.public = f"{self._told()}"

    def _told(self):
        return self._value + _shared() + _table["_kept"]


def _hidden(x):
    _kept = x
    return _kept


def show():
    return Thing(3)._told() + _hidden(1)
'''
TWO = '''"""Two."""
def _shared():
    return 10
def _alone():
    return 5
def show():
    return _alone()
'''


def test_private_names_are_short_and_mean_the_same() -> None:
    short = shorten({"one": ONE, "two": TWO})
    scope: dict[str, object] = {}
    exec(short["one"].replace("from two import _shared", "_shared = lambda: 10"), scope)
    assert scope["show"]() == 14  # type: ignore[operator]
    assert "_value" not in short["one"] and "_hidden" not in short["one"]
    assert "_alone" not in short["two"]


def test_what_others_use_or_a_string_names_stays() -> None:
    """An import, an argument, a key, an f-string's field: those have a meaning."""
    short = shorten({"one": ONE, "two": TWO})
    assert "import _shared" in short["one"] and "def _shared" in short["two"]
    assert "_given" in short["one"]
    assert '"_kept"' in short["one"] and "self._kept" in short["one"]
    assert "{self._told()}" in short["one"] and "def _told" in short["one"]


def test_another_objects_attribute_stays() -> None:
    """Whose class it is cannot be told from the text, so it must be one name in both files."""
    owner = "class A:\n    def __init__(self):\n        self._peak = 1\n"
    user = "class B:\n    def see(self, a):\n        a._peak = 2\n        self._peak = a._peak\n"
    short = shorten({"owner": owner, "user": user})
    assert "self._peak" in short["owner"]
    assert "a._peak = 2" in short["user"] and "self._peak = a._peak" in short["user"]


def test_the_device_keeps_its_lines_and_its_public_names() -> None:
    sources = {name: path.read_text() for name, path in vm.sources("sim").items()}
    for name, text in shorten(sources).items():
        before, after = ast.parse(sources[name]), ast.parse(text)
        assert sources[name].count("\n") == text.count("\n"), name
        assert _public(before) == _public(after), name


def test_files_share_their_short_names() -> None:
    """That is what the heap is saved by: fewer than half as many private names."""
    sources = {name: path.read_text() for name, path in vm.sources("sim").items()}
    before = set[str]().union(*map(_private, sources.values()))
    after = set[str]().union(*map(_private, shorten(sources).values()))
    assert len(after) < len(before) // 2


def _names(tree: ast.AST) -> set[str]:
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return names | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _public(tree: ast.AST) -> set[str]:
    return {name for name in _names(tree) if not name.startswith("_")}


def _private(source: str) -> set[str]:
    return {name for name in _names(ast.parse(source)) if name.startswith("_")}
