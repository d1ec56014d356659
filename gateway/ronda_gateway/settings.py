"""The gateway's settings: gateway.toml, overridden by the environment; opens no file it names.

An environment variable is RONDA_ + section + __ + setting, as RONDA_BROKER__HOST. Paths are
relative to the folder of gateway.toml. `check.py` looks at what the settings point to.
"""

import json
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from ronda_gateway.settings_words import SPANISH, reason
from ronda_gateway.wording import Either, Problem, SetupError, problem, setup_error

_MAX_CONFIG = 1 << 20
# What the embedded broker is started with, and so the largest message it takes.
EMBEDDED_MAX = 1048576

_Name = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,24}$")]
_Port = Annotated[int, Field(ge=1, le=65535)]
_Host = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9._:%-]+$")]
_Path = Annotated[str, Field(min_length=1, max_length=1024)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SiteSettings(_Section):
    """[site]"""

    name: _Name = Field(description="Name of the site: part of every topic and of event sources.")


class BrokerSettings(_Section):
    """[broker]"""

    host: _Host = Field(
        default="127.0.0.1", description="Host of the MQTT broker the handhelds use."
    )
    port: _Port = Field(default=1883, description="TCP port of that broker.")
    topic_root: str = Field(
        default="",
        max_length=120,
        pattern=r"^([^/+#\s\x00$][^/+#\s\x00]*(/[^/+#\s\x00]+)*)?$",
        description="Root of all topics; empty means ronda/<site name>.",
    )
    embedded: bool = Field(
        default=False,
        description="Run the embedded broker (package iotcore) on host:port. Loopback only; it "
        "keeps nothing over a restart, which end-to-end receipts make harmless.",
    )
    client_id: str = Field(
        default="",
        max_length=64,
        pattern=r"^[A-Za-z0-9_.-]*$",
        description="MQTT client id; empty means ronda-gateway-<site name>. One gateway each.",
    )
    username: str = Field(default="", max_length=256, description="MQTT user name; empty: none.")
    password_file: str = Field(
        default="",
        max_length=1024,
        description="File whose first line is the MQTT password; empty: none.",
    )
    keepalive_s: int = Field(default=30, ge=5, le=600, description="MQTT keep-alive in seconds.")


class DatabaseSettings(_Section):
    """[database]"""

    file: _Path = Field(
        default="gateway.db", description="SQLite database file (WAL, synchronous FULL)."
    )
    busy_ms: int = Field(
        default=5000,
        ge=100,
        le=60000,
        description="How long to wait for another writer, milliseconds.",
    )


class KeySettings(_Section):
    """[keys]"""

    gateway: _Path = Field(
        default="keys/gateway.pem",
        description="Private key (P-256, PEM, mode 0600) that signs receipts and packs.",
    )
    trust: _Path = Field(
        default="trust.pack",
        description="The site's trust pack: it names the office keys that may sign commands.",
    )


class IngestSettings(_Section):
    """[ingest]"""

    group: int = Field(
        default=100, ge=1, le=1000, description="Most messages committed in one transaction."
    )
    queue: int = Field(
        default=2000,
        ge=10,
        le=100000,
        description="Most messages waiting; then reading from MQTT stops.",
    )


class FenceSettings(_Section):
    """[fence]"""

    uere_dm: int = Field(
        default=50,
        ge=10,
        le=500,
        description="Receiver error per unit of HDOP, in decimetres, with which verdicts are "
        "recomputed; the same as in the boards' board.toml.",
    )
    search_m: int = Field(
        default=300,
        ge=0,
        le=5000,
        description="Metres outside a merely geocoded place within which a check-in may open as "
        "an address to confirm.",
    )
    dwell_s: int = Field(
        default=0,
        ge=0,
        le=600,
        description="Seconds that the fixes must have stayed inside before a check-in, or at a "
        "building's entrance, that opened as inside; with less the visit is an exception.",
    )


class QuarantineSettings(_Section):
    """[quarantine]"""

    per_hour: int = Field(
        default=100,
        ge=1,
        le=100000,
        description="Messages kept with raw bytes per device, reason and hour; more are counted.",
    )
    rows: int = Field(
        default=5000,
        ge=10,
        le=10000000,
        description="Most unauthenticated messages kept; the oldest go first, with an alert.",
    )
    held_per_device: int = Field(
        default=1000,
        ge=1,
        le=100000,
        description="Most segments held for a device that is enrolled and not yet enabled.",
    )


class ResendSettings(_Section):
    """[resend]"""

    after_s: int = Field(
        default=300,
        ge=1,
        le=604800,
        description="Seconds that a gap in a log stays open before its segments are asked for "
        "again.",
    )
    again_s: int = Field(
        default=86400,
        ge=60,
        le=31536000,
        description="Seconds before the same segments are asked for once more.",
    )


class FeedSettings(_Section):
    """[feed]"""

    host: str = Field(
        default="",
        max_length=253,
        pattern=r"^[A-Za-z0-9._:%-]*$",
        description="Host of the back office's broker; empty: the handhelds' broker.",
    )
    port: int = Field(default=0, ge=0, le=65535, description="Port of the back office's broker.")
    username: str = Field(
        default="", max_length=256, description="MQTT user name there; empty: none."
    )
    password_file: str = Field(
        default="", max_length=1024, description="File whose first line is the password there."
    )
    window: int = Field(
        default=100,
        ge=1,
        le=1000,
        description="Events published and not yet acknowledged by the broker.",
    )
    max_bytes: int = Field(
        default=1000000,
        ge=1024,
        le=268000000,
        description="Largest event the feed's broker takes, in bytes; larger ones are set aside "
        "with an alert.",
    )
    keep_days: int = Field(
        default=7,
        ge=0,
        le=3650,
        description="Days an event stays in the outbox after it was delivered.",
    )
    confirm: bool = Field(
        default=False,
        description="An event leaves the outbox only when the consumer has confirmed its id on "
        "cmd/confirm; until then it is published again.",
    )
    confirm_s: int = Field(
        default=60,
        ge=1,
        le=86400,
        description="Seconds to wait for a confirmation before an event is published again; "
        "doubled each time, up to an hour.",
    )
    confirm_alert_s: int = Field(
        default=3600,
        ge=10,
        le=2592000,
        description="Seconds without a confirmation of the oldest event after which an alert is "
        "raised.",
    )


class CommandSettings(_Section):
    """[commands]"""

    unsigned: bool = Field(
        default=False,
        description="Obey commands on cmd/ that nobody signed; only where every broker is on "
        "loopback.",
    )


class LogSettings(_Section):
    """[log]"""

    format: Literal["auto", "human", "json"] = Field(
        default="auto", description="human: sentences; json: one object a line; auto: by terminal."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least serious line that is written."
    )


class Settings(BaseSettings):
    """All settings of one gateway."""

    model_config = SettingsConfigDict(
        env_prefix="RONDA_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    site: SiteSettings = Field(description="The site.")
    broker: BrokerSettings = Field(default=BrokerSettings(), description="MQTT, handhelds' side.")
    database: DatabaseSettings = Field(default=DatabaseSettings(), description="Where it stores.")
    keys: KeySettings = Field(default=KeySettings(), description="The gateway's key.")
    ingest: IngestSettings = Field(default=IngestSettings(), description="Groups and queue.")
    fence: FenceSettings = Field(default=FenceSettings(), description="Recomputed verdicts.")
    quarantine: QuarantineSettings = Field(
        default=QuarantineSettings(), description="Bounds on what could not be accepted."
    )
    resend: ResendSettings = Field(
        default=ResendSettings(), description="Asking handhelds again for what is missing."
    )
    feed: FeedSettings = Field(default=FeedSettings(), description="The back office's side.")
    commands: CommandSettings = Field(
        default=CommandSettings(), description="Commands from the back office."
    )
    log: LogSettings = Field(default=LogSettings(), description="Log lines.")

    _folder: Path = PrivateAttr(Path())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file; there are no other sources."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings

    @property
    def topic_root(self) -> str:
        """Root of all topics, without a final slash."""
        return self.broker.topic_root or f"ronda/{self.site.name}"

    @property
    def client_id(self) -> str:
        """MQTT client id of the gateway on the handhelds' broker."""
        return self.broker.client_id or f"ronda-gateway-{self.site.name}"

    @property
    def database_path(self) -> Path:
        """The database file."""
        return self._folder / self.database.file

    @property
    def key_path(self) -> Path:
        """The gateway's private key."""
        return self._folder / self.keys.gateway

    @property
    def trust_path(self) -> Path:
        """The site's trust pack."""
        return self._folder / self.keys.trust

    @property
    def folder(self) -> Path:
        """The folder that paths are relative to."""
        return self._folder

    def at(self, folder: Path) -> "Settings":
        """These settings with paths relative to `folder`."""
        self._folder = folder
        return self


def load(path: Path) -> Settings:
    """Settings of a gateway.toml and the environment; SetupError names every wrong one."""
    return parse(_read(path), path.parent)


def parse(values: dict[str, object], folder: Path) -> Settings:
    """Settings of a parsed TOML document; SetupError names every wrong one."""
    try:
        return Settings(**cast(dict[str, Any], values)).at(folder)
    except ValidationError as error:
        raise SetupError(*[_explain(e) for e in error.errors()]) from None
    except SettingsError:
        raise SetupError(*_not_json()) from None


def _not_json() -> list[Problem]:
    """The variables of whole sections, RONDA_BROKER and so on, that hold no JSON."""
    found: list[Problem] = []
    for section in Settings.model_fields:
        name = f"RONDA_{section.upper()}"
        try:
            json.loads(os.environ.get(name) or "{}")
        except ValueError:
            found.append(problem("environment-wrong", where=name))
    return found or [problem("environment-wrong", where="RONDA_…")]


def load_around(path: Path) -> tuple[Settings | None, list[Problem]]:
    """Like `load`, but with every wrong setting left at its default, and the problems found.

    None when not even that can be read; SetupError when the file is no TOML. For looking at the
    rest of a configuration, never for running with it.
    """
    values = _read(path)
    try:
        return parse(values, path.parent), []
    except SetupError as error:
        problems = error.problems
    for found in problems:
        if found.code == "environment-wrong":
            return None, problems
        section, _, name = str(found.fields["where"]).partition(".")
        inner = values.get(section)
        if name and isinstance(inner, dict):
            cast(dict[str, object], inner).pop(name, None)
        else:
            values.pop(section, None)
    named = values.setdefault("site", {})
    if isinstance(named, dict):
        cast(dict[str, object], named).setdefault("name", "site")
    try:
        return parse(values, path.parent), problems
    except SetupError:  # the environment says it
        return None, problems


def _read(path: Path) -> dict[str, object]:
    try:
        if path.stat().st_size > _MAX_CONFIG:
            raise setup_error("config-too-big", path=path)
        raw = path.read_bytes()
    except FileNotFoundError:
        raise setup_error("config-missing", path=path) from None
    except OSError as error:
        raise setup_error("config-unreadable", path=path, why=error.strerror) from None
    try:
        return tomllib.loads(raw.decode())
    except UnicodeDecodeError:
        raise setup_error("config-not-text", path=path) from None
    except (ValueError, RecursionError) as error:  # an integer of 5,000 digits is no TOML error
        raise setup_error("config-not-toml", path=path, why=error) from None


def _explain(error: ErrorDetails) -> Problem:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return problem("setting-missing", where="site.name" if where == "site" else where)
    if error["type"] == "extra_forbidden":
        return problem("setting-unknown", where=where)
    value = repr(error["input"])
    return problem(
        "setting-wrong",
        where=where,
        value=value if len(value) < 60 else value[:57] + "...",
        why=reason(error["type"], error["msg"], where, error.get("ctx") or {}),
        wanted=Either(SPANISH.get(where, describe(where)), describe(where)),
    )


def describe(where: str) -> str:
    """The description of a setting, as "broker.port"; "" when there is none."""
    section, _, name = where.partition(".")
    field = Settings.model_fields.get(section)
    if field is None or not name:
        return field.description or "" if field else ""
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        inner = kind.model_fields.get(name)
        return inner.description or "" if inner else ""
    return ""
