"""The command line library's own words in Spanish: usage, headings, what is wrong with arguments.

It knows English alone; what it prints is translated on its way out. Another version of it may say
something else: that stays English, never wrong.
"""

import importlib
import re
from types import ModuleType
from typing import Any

from ronda_tools.texts import language

# (pattern of a whole line or of its beginning, Spanish); the first that fits wins, but headings
# and the rest of a line are looked at as well.
_PATTERNS = [
    (r"^Usage: ", "Uso: "),
    (r"^Options:$", "Opciones:"),
    (r"^Commands:$", "Órdenes:"),
    (r"^Arguments:$", "Argumentos:"),
    (r"\[OPTIONS\]", "[OPCIONES]"),
    (r"\bCOMMAND \[ARGS\]\.\.\.", "ORDEN [ARGUMENTOS]..."),
    (r"Show this message and exit\.", "Muestra esta ayuda y termina."),
    (r"\[required\]", "[obligatorio]"),
    (r"\[default: ", "[por defecto: "),
    (r"^Try '(.*)' for help\.$", r"Pruebe «\1» para ver la ayuda."),
    (r"^Error: ", "Error: "),
    (r"Missing command\.", "falta la orden."),
    (r"Missing option (.*)\.$", r"falta la opción \1."),
    (r"Missing argument (.*)\.$", r"falta el argumento \1."),
    (r"No such option: (\S+)", r"no existe la opción \1"),
    (r"No such command (.*)\.$", r"no existe la orden \1."),
    (r"Did you mean (.*)\?", r"¿Quiso decir \1?"),
    (r"Possible options: ", "Opciones parecidas: "),
    (r"Option (\S+) requires an argument\.", r"la opción \1 lleva un valor."),
    (r"Option (\S+) requires (\d+) arguments\.", r"la opción \1 lleva \2 valores."),
    (r"Option (\S+) does not take a value\.", r"la opción \1 no lleva valor."),
    (r"Got unexpected extra arguments? ?\(?s?\)? ?\((.*)\)", r"sobran argumentos: \1"),
    (r"Input should be a valid integer.*", "debe ser un entero"),
    (r"Input should be a valid number.*", "debe ser un número"),
    (r"^Aborted[!.]$", "Interrumpido."),
    (r"Invalid value for (.*?): ", r"valor incorrecto en \1: "),
    (r"Invalid value: ", "valor incorrecto: "),
    (r"(\S+) is not a valid integer\.", r"\1 no es un entero."),
    (r"(\S+) is not a valid float\.", r"\1 no es un número."),
    (r"(\S+) is not in the range (.*)\.$", r"\1 no está en \2."),
]
_TABLE = [(re.compile(pattern, re.MULTILINE), spanish) for pattern, spanish in _PATTERNS]


def spanish(text: str) -> str:
    """A text of the library in Spanish, as far as it is known."""
    for pattern, told in _TABLE:
        text = pattern.sub(told, text)
    return text


def install() -> None:
    """Translate what it prints from now on, if the language is Spanish then."""
    for home in ("typer._click", "click"):  # newer typers bring their own copy
        try:
            formatting = importlib.import_module(f"{home}.formatting")
            exceptions = importlib.import_module(f"{home}.exceptions")
        except ImportError:
            continue
        _wrap(formatting.HelpFormatter, "getvalue")
        _wrap_echo(exceptions)


def _wrap(owner: Any, name: str) -> None:
    plain = getattr(owner, name)
    if hasattr(plain, "ronda"):
        return

    def told(self: Any) -> str:
        text: str = plain(self)
        return text if language() == "en" else spanish(text)

    told.ronda = True  # type: ignore[attr-defined]
    setattr(owner, name, told)


def _wrap_echo(module: ModuleType) -> None:
    plain: Any = getattr(module, "echo", None)
    if plain is None or hasattr(plain, "ronda"):
        return

    def told(message: Any = None, *more: Any, **named: Any) -> None:
        if isinstance(message, str) and language() != "en":
            message = spanish(message)
        plain(message, *more, **named)

    told.ronda = True  # type: ignore[attr-defined]
    module.echo = told  # type: ignore[attr-defined]
