"""Options that many commands have: the settings file, and data instead of sentences."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ronda_tools import catalogue_gateway, texts
from ronda_tools.texts import say

texts.add(catalogue_gateway.TEXTS)

Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help=say("gw.help.config"))
]
Json = Annotated[bool, typer.Option("--json", help=say("cli.json"))]


def config_path(config: Path | None) -> Path:
    """The settings file that was named, or the default."""
    return config or Path(os.environ.get("RONDA_CONFIG") or "gateway.toml")
