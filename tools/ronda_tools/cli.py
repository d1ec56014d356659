"""The `ronda` command: one program, its groups in files of their own."""

import typer

app = typer.Typer(no_args_is_help=True)


def main() -> None:
    """Entry point of the `ronda` script."""
    app()
