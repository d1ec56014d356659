"""`ronda feed tail|schema`: what the back office sees, and its form. Arguments and printing."""

import json
import os
from pathlib import Path
from queue import Empty
from typing import Annotated

import typer
from ronda_gateway import schemas, settings
from ronda_gateway.wording import setup_error

from ronda_tools.feed_tail import Address, Tail, address, parse
from ronda_tools.feed_words import sentence
from ronda_tools.texts import fail, reported, say

app = typer.Typer(no_args_is_help=True, help=say("feed.help"))


@app.command(help=say("feed.help.tail"))
def tail(
    broker: Annotated[
        str | None, typer.Option("--broker", metavar="URL", help=say("feed.help.broker"))
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help=say("feed.help.config"))
    ] = None,
    count: Annotated[
        int, typer.Option("--count", min=0, metavar="N", help=say("feed.help.count"))
    ] = 0,
    as_data: Annotated[bool, typer.Option("--json", help=say("feed.help.json"))] = False,
) -> None:
    """Print events as they come; exit 0 after N of them, or on Ctrl-C."""
    with reported():
        where = _where(broker, config)
    follower = Tail(where, lambda line: typer.echo(line, err=True))
    shown = dropped = 0
    try:
        follower.start()
        while not count or shown < count:
            if follower.dropped > dropped:
                dropped = follower.dropped
                typer.echo(say("feed.dropped", count=dropped), err=True)
            try:
                _, payload = follower.next(0.5)
            except Empty:
                continue
            _show(payload, as_data)
            shown += 1
    except KeyboardInterrupt:
        typer.echo(say("cli.interrupted"), err=True)
    except BrokenPipeError:  # the reader of our output went away: nothing is left to do
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    finally:
        follower.stop()


@app.command(help=say("feed.help.schema"))
def schema(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help=say("feed.help.schema_name"))
    ] = None,
    every: Annotated[bool, typer.Option("--list", help=say("feed.help.schema_list"))] = False,
) -> None:
    """Print the JSON Schema of an event type, or the names of all."""
    names = schemas.names()
    if every:
        for known in names:
            typer.echo(known)
    elif name in names:
        typer.echo(json.dumps(schemas.schema(name), ensure_ascii=False, indent=2))
    else:
        fail("feed.no_schema", name=name or "", known=", ".join(names))


def _where(broker: str | None, config: Path | None) -> Address:
    """The broker that was named; else the one the gateway's settings name for the feed."""
    if broker is not None and config is not None:
        fail("feed.one_of_two")
    if broker is not None:
        return address(broker)
    path = config or Path(os.environ.get("RONDA_CONFIG") or "gateway.toml")
    if config is None and not path.exists():
        fail("feed.no_broker")
    found = settings.load(path)
    own = bool(found.feed.host)
    login = found.feed if own else found.broker
    return Address(
        found.feed.host if own else found.broker.host,
        found.feed.port if own else found.broker.port,
        login.username,
        _password(found.folder, login.password_file),
        found.topic_root,
    )


def _password(folder: Path, file: str) -> str:
    if not file:
        return ""
    try:
        lines = (folder / file).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise setup_error(
            "secret-unreadable", where="password_file", path=file, why=str(error)
        ) from None
    return lines[0] if lines else ""


def _show(payload: bytes, as_data: bool) -> None:
    event = parse(payload)
    if as_data:
        # Again encoded: one line an event, whatever its publisher's taste.
        shown = event if event is not None else {"unreadable": payload.hex()}
        typer.echo(json.dumps(shown))
    elif event is None:
        typer.echo(say("feed.unreadable", size=len(payload)))
    else:
        typer.echo(sentence(event))
