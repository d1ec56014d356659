"""Entry point of the `ronda` script: ready for Ctrl-C before anything heavy is imported.

The program itself is `program.py`. Nothing but the standard library is imported here, and little
of it: the imports take a second on a slow machine, and Ctrl-C within it must be no traceback.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    import typer


def build(arguments: "Sequence[str]") -> "typer.Typer":
    """The program for these arguments (program.py)."""
    from ronda_tools import program

    return program.build(arguments)


def main() -> None:
    """Entry point of the `ronda` script."""
    try:
        from ronda_tools import program

        program.run(sys.argv[1:])
    except KeyboardInterrupt:  # while the imports run: the catalogue may not be there yet
        english = os.environ.get("RONDA_LANG", "").lower().startswith("en")
        print("Interrupted." if english else "Interrumpido.", file=sys.stderr)
        raise SystemExit(1) from None
