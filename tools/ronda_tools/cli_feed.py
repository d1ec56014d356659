"""`ronda feed tail|confirm|schema`: what the back office sees and says, and its form. Arguments
and printing."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from queue import Empty
from typing import Annotated

import typer
from ronda_gateway import commands, keys, schemas, settings
from ronda_gateway.keys import Signer
from ronda_gateway.wording import setup_error

from ronda_tools import catalogue_feed, feed_confirm, texts
from ronda_tools.feed_tail import Address, Tail, address, parse
from ronda_tools.feed_words import sentence
from ronda_tools.texts import fail, reported, say

texts.add(catalogue_feed.TEXTS)

app = typer.Typer(no_args_is_help=True, help=say("feed.help"))


@app.command(help=say("feed.help.tail"))
def tail(  # noqa: PLR0917
    broker: Annotated[
        str | None, typer.Option("--broker", metavar="URL", help=say("feed.help.broker"))
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help=say("feed.help.config"))
    ] = None,
    count: Annotated[
        int, typer.Option("--count", min=0, metavar="N", help=say("feed.help.count"))
    ] = 0,
    confirming: Annotated[
        bool, typer.Option("--confirm", help=say("feed.help.tail_confirm"))
    ] = False,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help=say("feed.help.key"))
    ] = None,
    unsigned: Annotated[bool, typer.Option("--unsigned", help=say("feed.help.unsigned"))] = False,
    as_data: Annotated[bool, typer.Option("--json", help=say("feed.help.json"))] = False,
) -> None:
    """Print events as they come; exit 0 after N of them, or on Ctrl-C."""
    with reported():
        where = _where(broker, config)
        signer = _signer(key, broker, config, unsigned=unsigned) if confirming else None
    follower = Tail(where, lambda line: typer.echo(line, err=True))
    shown = dropped = 0
    seen: list[tuple[str, str]] = []
    try:
        follower.start()
        while not count or shown < count:
            if follower.dropped > dropped:
                dropped = follower.dropped
                typer.echo(say("feed.dropped", count=dropped), err=True)
            try:
                topic, payload = follower.next(0.5 if not seen else 0.05)
            except Empty:
                seen = _confirm_seen(follower, signer, seen)
                continue
            event_id = _show(payload, as_data)
            shown += 1
            if confirming and event_id:
                sys.stdout.flush()
                seen.append((topic.partition("/feed/")[0], event_id))
                if len(seen) >= _CONFIRM_AT:
                    seen = _confirm_seen(follower, signer, seen)
        seen = _confirm_seen(follower, signer, seen)
    except KeyboardInterrupt:
        typer.echo(say("cli.interrupted"), err=True)
    except BrokenPipeError:  # the reader of our output went away: nothing is left to do
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    finally:
        follower.stop()


_CONFIRM_AT = 100


def _confirm_seen(
    follower: Tail, signer: Signer | None, seen: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Confirm (root, event id); what cannot be sent now is given back, as far as it fits: the
    gateway publishes the rest again."""
    left: list[tuple[str, str]] = []
    for root in dict.fromkeys(root for root, _ in seen):
        for ids in feed_confirm.batches(id for at, id in seen if at == root):
            message = feed_confirm.command(signer, root, ids)
            if not follower.publish(feed_confirm.topic(root), message):
                left += [(root, id) for id in ids]
    return left[-10 * _CONFIRM_AT :]


@app.command(help=say("feed.help.confirm"))
def confirm(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID...", help=say("feed.help.confirm_ids"))
    ] = None,
    broker: Annotated[
        str | None, typer.Option("--broker", metavar="URL", help=say("feed.help.broker"))
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help=say("feed.help.config"))
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help=say("feed.help.key"))
    ] = None,
    unsigned: Annotated[bool, typer.Option("--unsigned", help=say("feed.help.unsigned"))] = False,
) -> None:
    """Publish confirmations; exit 0 when the broker has them."""
    with reported():
        where = _where(broker, config)
        if "+" in where.root:
            fail("feed.confirm_root")
        found = [id for id in _ids(ids or []) if id]
        if not found:
            fail("feed.confirm_none")
        for id in found:
            if len(id) > commands.MAX_ID:
                fail("feed.confirm_long", id=id[:40])
        signer = _signer(key, broker, config, unsigned=unsigned)
        topic = feed_confirm.topic(where.root)
        messages = [
            (topic, feed_confirm.command(signer, where.root, batch))
            for batch in feed_confirm.batches(found)
        ]
        feed_confirm.send(where, messages)
    typer.echo(say("feed.confirmed", count=len(dict.fromkeys(found))))


def _ids(told: Sequence[str]) -> list[str]:
    found: list[str] = []
    for id in told:
        found += [line.strip() for line in sys.stdin] if id == "-" else [id]
    return found


def _signer(
    key: Path | None, broker: str | None, config: Path | None, *, unsigned: bool
) -> Signer | None:
    """The office key; None when the command is to go unsigned."""
    if unsigned:
        return None
    if key is None:
        if broker is not None:
            fail("feed.confirm_key")
        folder = (config or Path(os.environ.get("RONDA_CONFIG") or "gateway.toml")).parent
        key = folder / "keys" / "office.pem"
    return keys.load_private(key, where="--key")


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


def _show(payload: bytes, as_data: bool) -> str:
    """Print an event; its id, or "" for what has none."""
    event = parse(payload)
    if as_data:
        # Again encoded: one line an event, whatever its publisher's taste.
        shown = event if event is not None else {"unreadable": payload.hex()}
        typer.echo(json.dumps(shown))
    elif event is None:
        typer.echo(say("feed.unreadable", size=len(payload)))
    else:
        typer.echo(sentence(event))
    found = event.get("id") if event else None
    return found if isinstance(found, str) and len(found) <= commands.MAX_ID else ""
