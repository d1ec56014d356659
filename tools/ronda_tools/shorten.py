"""Shortens private names of device code for a build: every name costs a handheld heap, for ever.

MicroPython interns each attribute, function and global name once for the whole program and never
gives it back (about 22 bytes each, and the table doubles when it is full). Names that begin with
one underscore mean nothing outside their file, so all files can share `_a`, `_b`, … Lines stay
where they are, so a traceback's line numbers hold. Constants made by `const()` are not names any
more after compilation. Public names and strings are left alone.
"""

import ast
import io
import string
import tokenize
from collections.abc import Iterator, Mapping


def shorten(sources: Mapping[str, str]) -> dict[str, str]:
    """The sources (by module) of one program, with their private names shortened.

    A name stays when another file uses it, when it is imported, or when it stands in a string
    (`getattr`, an f-string).
    """
    trees = {module: ast.parse(source) for module, source in sources.items()}
    owned = {module: _defined(tree) for module, tree in trees.items()}
    foreign: set[str] = set()
    for module, tree in trees.items():
        foreign |= _used(tree) - owned[module]
        foreign |= _imported(tree)
        # Of another object's attribute nobody can tell from the text whose class it is.
        others = [names for name, names in owned.items() if name != module]
        foreign |= _reached(tree) & set[str]().union(*others)
    return {
        module: _renamed(source, owned[module] - foreign) for module, source in sources.items()
    }


def _private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and len(name) > 1


def _defined(tree: ast.AST) -> set[str]:
    """Private names that a file makes: functions, classes, variables, attributes it assigns."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and _is_self(node.value)
        ):
            found.add(node.attr)
    return {name for name in found if _private(name)}


def _is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _reached(tree: ast.AST) -> set[str]:
    """Private attributes of something else than `self`."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and _private(node.attr) and not _is_self(node.value)
    }


def _used(tree: ast.AST) -> set[str]:
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg}
    return {name for name in names if _private(name)}


def _imported(tree: ast.AST) -> set[str]:
    return {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom | ast.Import)
        for alias in node.names
        for name in (alias.name, alias.asname or "")
        if _private(name)
    }


def _renamed(source: str, names: set[str]) -> str:
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    said = "".join(t.string for t in tokens if t.type not in {tokenize.NAME, tokenize.COMMENT})
    taken = {t.string for t in tokens if t.type == tokenize.NAME}
    order = [t.string for t in tokens if t.type == tokenize.NAME]
    fresh = _short_names(taken)
    short: dict[str, str] = {}
    for name in order:
        if name in names and name not in short and name not in said:
            short[name] = next(fresh)
    lines = source.splitlines(keepends=True)
    for token in reversed(tokens):
        if token.type == tokenize.NAME and token.string in short:
            row, begin = token.start
            line = lines[row - 1]
            lines[row - 1] = line[:begin] + short[token.string] + line[token.end[1] :]
    return "".join(lines)


def _short_names(taken: set[str]) -> Iterator[str]:
    letters = string.ascii_lowercase
    for name in [*letters, *(a + b for a in letters for b in letters)]:
        if f"_{name}" not in taken:
            yield f"_{name}"
