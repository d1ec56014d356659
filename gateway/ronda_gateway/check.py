"""Everything a gateway's settings point to, looked at at once: keys, database, broker, secrets.

Changes nothing. Problems keep the gateway from running; warnings do not.
"""

import socket
from pathlib import Path
from typing import NamedTuple

from ronda_gateway import embedded, keys, store
from ronda_gateway.commands import OfficeKeys
from ronda_gateway.settings import EMBEDDED_MAX, Settings
from ronda_gateway.wording import Problem, SetupError, problem


class Findings(NamedTuple):
    """What is wrong, and what is merely unwise."""

    problems: list[Problem]
    warnings: list[Problem]


def check(settings: Settings) -> Findings:
    """Look at everything; every problem and warning found."""
    problems = _broker(settings) + _feed(settings)
    warnings: list[Problem] = []
    for look in (_key, _database, _secrets, _commands):
        try:
            warnings += look(settings)
        except SetupError as error:
            problems += error.problems
    return Findings(problems, warnings)


def around(settings: Settings, wrong: list[Problem]) -> Findings:
    """Wrong settings, and what else is wrong where the others point to, the port included.

    `settings` has a default in place of each wrong one: what that points to is not looked at.
    """
    bad = {str(found.fields["where"]) for found in wrong}
    findings = check(settings)
    warnings = findings.warnings + probe(settings)
    problems = wrong + [p for p in findings.problems if not _rests_on(p, bad)]
    return Findings(problems, [p for p in warnings if not _rests_on(p, bad)])


def _rests_on(found: Problem, bad: set[str]) -> bool:
    """Whether a problem is about a setting that is wrong itself, or its section."""
    where = str(found.fields.get("where", ""))
    if not where:
        where = _ABOUT.get(found.code.split("-", maxsplit=1)[0], "")
    return any(name in (where, where.partition(".")[0]) for name in bad) or (
        where == "broker" and any(name.startswith("broker.") for name in bad)
    )


# First word of a problem's code -> the setting it is about, where the problem names none.
_ABOUT = {"db": "database.file", "embedded": "broker", "port": "broker", "broker": "broker"}


def probe(settings: Settings) -> list[Problem]:
    """Whether the broker's port is as it should be just now; only ever a warning.

    A broker may come later, and an embedded broker's port is taken while its gateway runs.
    """
    host, port = settings.broker.host, settings.broker.port
    try:
        with socket.create_connection((host, port), timeout=2.0):
            answers = True
    except OSError:
        answers = False
    if answers == settings.broker.embedded:
        code = "port-in-use" if answers else "broker-silent"
        return [problem(code, host=host, port=port)]
    return []


def credentials(settings: Settings, section: str) -> tuple[str, str] | None:
    """The user name and password of [broker] or [feed]; SetupError if the file is no use."""
    found = settings.broker if section == "broker" else settings.feed
    if not found.username:
        return None
    if not found.password_file:
        return found.username, ""
    path = settings.folder / found.password_file
    try:
        with path.open("rb") as file:
            line = file.read(4096).split(b"\n", 1)[0].strip().decode()
    except (OSError, ValueError) as error:
        where = f"{section}.password_file"
        why = getattr(error, "strerror", None) or error
        raise SetupError(problem("secret-unreadable", where=where, path=path, why=why)) from None
    return found.username, line


def _broker(settings: Settings) -> list[Problem]:
    found: list[Problem] = []
    if settings.broker.embedded:
        if not embedded.is_loopback(settings.broker.host):
            found.append(problem("embedded-not-loopback", host=settings.broker.host))
        if not embedded.installed():
            found.append(problem("embedded-not-installed"))
    return found


def _feed(settings: Settings) -> list[Problem]:
    found: list[Problem] = []
    feed = settings.feed
    if bool(feed.host) != bool(feed.port):
        found.append(problem("feed-half-set"))
    if settings.broker.embedded and not feed.host and feed.max_bytes > EMBEDDED_MAX:
        found.append(problem("outbox-too-big", value=feed.max_bytes, limit=EMBEDDED_MAX))
    return found


def _commands(settings: Settings) -> list[Problem]:
    """Who may command: nobody unsigned from another machine, and somebody where it is needed."""
    if settings.commands.unsigned:
        for host in (settings.broker.host, settings.feed.host or settings.broker.host):
            if not embedded.is_loopback(host):
                raise SetupError(problem("commands-not-loopback", host=host))
    if settings.feed.confirm and not settings.commands.unsigned:
        path = settings.trust_path
        if not OfficeKeys(path).offices:
            raise SetupError(problem("trust-no-office", path=path))
    return []


def _key(settings: Settings) -> list[Problem]:
    keys.load_private(settings.key_path, where="keys.gateway")
    return _exposed(settings.key_path, "keys.gateway")


def _database(settings: Settings) -> list[Problem]:
    store.open_store(settings.database_path, settings.database.busy_ms).close()
    return []


def _secrets(settings: Settings) -> list[Problem]:
    found: list[Problem] = []
    for section, name in (
        ("broker", settings.broker.password_file),
        ("feed", settings.feed.password_file),
    ):
        credentials(settings, section)
        if name:
            found += _exposed(settings.folder / name, f"{section}.password_file")
    return found


def _exposed(path: Path, where: str) -> list[Problem]:
    return [problem("key-exposed", where=where, path=path)] if keys.exposed(path) else []
