"""The program's first moments, and the library's own words in the user's language."""

import os
import signal
import subprocess
import sys
from importlib.metadata import version

import pytest
from ronda_tools.click_words import spanish

START = "from ronda_tools.cli import main; main()"
# Says so on stdout when the program itself begins to be imported.
TOLD = """
import sys
class Told:
    def find_spec(self, name, path=None, target=None):
        if name == "ronda_tools.program":
            print("in", flush=True)
sys.meta_path.insert(0, Told())
"""


def ronda(*arguments: str, lang: str = "es") -> tuple[int, str]:
    environment = os.environ | {"RONDA_LANG": lang}
    done = subprocess.run(
        [sys.executable, "-c", START, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["demo", "--nada"], ["Uso: ", "Pruebe «", "no existe la opción --nada"]),
        (["nada"], ["no existe la orden 'nada'"]),
        (["demo", "--speed"], ["lleva un valor"]),
        (["feed", "tail", "--help"], ["Uso: ", "Opciones:", "Muestra esta ayuda y termina."]),
        (["handheld", "sim", "a"], ["sobran argumentos: a"]),
        (["demo", "--handhelds", "x"], ["valor incorrecto en '--handhelds'"]),
    ],
)
def test_wrong_use_is_told_in_spanish(arguments: list[str], told: list[str]) -> None:
    code, text = ronda(*arguments)
    assert code == (0 if "--help" in arguments else 2)
    for words in told:
        assert words in text, text
    assert "Usage" not in text and "Try '" not in text and "Options:" not in text


def test_the_version_needs_no_command() -> None:
    assert ronda("--version") == (0, version("ronda") + "\n")


def test_english_stays_english() -> None:
    _, text = ronda("demo", "--nada", lang="en")
    assert "Usage: " in text and "No such option: --nada" in text


def test_what_is_not_known_stays_as_it_is() -> None:
    assert spanish("Something new.") == "Something new."
    assert spanish("Missing option '--key'.") == "falta la opción '--key'."
    assert spanish("Aborted!") == "Interrumpido."


@pytest.mark.parametrize("lang", ["es", "en"])
def test_ctrl_c_while_it_starts_is_no_traceback(lang: str) -> None:
    """The signal comes as soon as our first line has run, while the imports go on."""
    child = subprocess.Popen(
        [sys.executable, "-c", TOLD + START, "feed", "tail", "--broker", "mqtt://127.0.0.1:1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"RONDA_LANG": lang},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "in\n"
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 1, err
    assert "Traceback" not in out + err
    assert ("Interrupted." if lang == "en" else "Interrumpido.") in err
