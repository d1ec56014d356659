"""What the `ronda` command says to people: one catalogue, Spanish first, English selectable.

A text has a code, the sentence in both languages and, for errors, what to do next. The table of
sentences is `catalogue.py`; a command group may add its own with `add`. Nothing here decides an
outcome: programs read `--json` and exit codes, never these sentences.
"""

import os
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, NoReturn

import typer
from ronda_gateway.wording import SetupError, printable

LANGUAGES = ("es", "en")


class Text(NamedTuple):
    """One sentence in Spanish and English (`str.format` fields), and what to do about it."""

    es: str
    en: str
    do_es: str = ""
    do_en: str = ""


class UsedWrong(Exception):
    """A command cannot do what it was asked: a catalogue code, its fields, the exit code.

    Exit code 2 says "used wrong", 1 says "found wrong".
    """

    def __init__(self, code: str, /, *, exit_code: int = 2, **fields: object) -> None:
        super().__init__(code)
        self.code = code
        self.fields = fields
        self.exit_code = exit_code

    def __str__(self) -> str:
        return say(self.code, **self.fields)


_table: dict[str, Text] = {}


def add(texts: Mapping[str, Text]) -> None:
    """Add sentences to the catalogue; two texts under one code are a programming error."""
    for code, text in texts.items():
        if _table.get(code, text) != text:
            raise ValueError(f"two texts for {code}")
        _table[code] = text


def use(language: str) -> None:
    """Choose the language for this process and its children: "es" or "en" (also "en_US")."""
    os.environ["RONDA_LANG"] = _short(language)


def language() -> str:
    """The language in use: RONDA_LANG, Spanish unless it says English."""
    return _short(os.environ.get("RONDA_LANG", ""))


def use_from_arguments(arguments: Sequence[str]) -> None:
    """Choose the language from a global `--lang en` or `--lang=en`, before help texts are made."""
    for index, argument in enumerate(arguments):
        if argument == "--lang" and index + 1 < len(arguments):
            use(arguments[index + 1])
        elif argument.startswith("--lang="):
            use(argument.removeprefix("--lang="))


def _short(named: str) -> str:
    return "en" if named.strip().lower().startswith("en") else "es"


def say(code: str, /, **fields: object) -> str:
    """The sentence of a code in the language in use. KeyError for a code nobody wrote.

    What came from outside cannot move the cursor or scroll: control characters are replaced.
    """
    _load()
    text = _table[code]
    return _filled(text.en if language() == "en" else text.es, fields)


def _filled(sentence: str, fields: Mapping[str, object]) -> str:
    safe = {k: printable(v) if isinstance(v, str) else v for k, v in fields.items()}
    return sentence.format(**safe)


def remedy(code: str, /, **fields: object) -> str:
    """What to do about an error, or "" where there is nothing to add."""
    _load()
    text = _table[code]
    return _filled(text.do_en if language() == "en" else text.do_es, fields)


def codes() -> Mapping[str, Text]:
    """The whole catalogue (for tests and for the documentation of error codes)."""
    _load()
    return dict(_table)


def explain(code: str, /, **fields: object) -> str:
    """An error in two lines: what is wrong, then what to do."""
    todo = remedy(code, **fields)
    return f"ronda: {say(code, **fields)}" + (f"\n  -> {todo}" if todo else "")


def fail(code: str, /, *, exit_code: int = 2, **fields: object) -> NoReturn:
    """Print an error with its remedy on stderr and end the command."""
    print(explain(code, **fields), file=sys.stderr, flush=True)
    raise typer.Exit(exit_code)


@contextmanager
def reported() -> Generator[None]:
    """Turn a `UsedWrong` or a gateway's `SetupError` raised inside into lines and exit code."""
    try:
        yield
    except UsedWrong as wrong:
        fail(wrong.code, exit_code=wrong.exit_code, **wrong.fields)
    except SetupError as error:
        for problem in error.problems:
            print(f"ronda: {problem.text()}", file=sys.stderr, flush=True)
        raise typer.Exit(2) from None


def _load() -> None:
    if "cli.interrupted" not in _table:
        from ronda_tools import catalogue

        add(catalogue.TEXTS)
