"""Commands from the back office on cmd/…: flattened JWS (RFC 7515) under an office key, verified.

Reads and judges; what a command does is elsewhere. Whatever is refused is a Refused with one of
REASONS; any bytes at all give a Confirm or a Refused.
"""

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import sqlalchemy as sa
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from ronda_protocol import bodies, cose, pack
from ronda_protocol.bounds import MAX_UTC, is_uint

from ronda_gateway import keys, schema
from ronda_gateway.wording import setup_error

CONFIRM = "confirm"
"""cmd/confirm: events that the consumer has for good."""

MAX_BYTES = 65536
MAX_IDS = 500
MAX_ID = 160
MAX_LIFE_S = 86400
"""Longest time from `iat` to `exp`: a jti is remembered until then."""
LEEWAY_S = 60
"""How far the clocks of gateway and back office may differ."""

# Why a command is refused.
TOO_BIG = "too_big"
RETAINED = "retained"
NOT_JSON = "not_json"
FORM = "form"
UNSIGNED = "unsigned"
ALGORITHM = "algorithm"
UNKNOWN_KEY = "unknown_key"
ROLE = "role"
KEY_TIME = "key_time"
REVOKED = "revoked"
SIGNATURE = "signature"
CLAIMS = "claims"
AUDIENCE = "audience"
EXPIRED = "expired"
FUTURE = "future"
LIFE = "life"
REPLAYED = "replayed"
REASONS = (
    *(TOO_BIG, RETAINED, NOT_JSON, FORM, UNSIGNED, ALGORITHM, UNKNOWN_KEY, ROLE, KEY_TIME),
    *(REVOKED, SIGNATURE, CLAIMS, AUDIENCE, EXPIRED, FUTURE, LIFE, REPLAYED),
)

_HEADER = {"alg", "kid", "typ"}
_JTI = re.compile("[!-~]{8,64}")
_MAX_PACK = 65536


class Refused(Exception):
    """A command that is not obeyed; `reason` is one of REASONS, `kid` the key it named, in hex."""

    def __init__(self, reason: str, kid: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.kid = kid


class Confirm(NamedTuple):
    """Event ids that the consumer has; `kid` and `jti` are empty when it was not signed."""

    ids: tuple[str, ...]
    kid: str
    jti: str
    exp: int


class OfficeKeys:
    """Who may sign commands, as the site's trust pack says; read again when the file changes.

    The file is the operator's own and is verified against the root key inside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._listed: dict[str, tuple[ECKey, int, int, int, bool]] = {}
        self._load(self._mark())

    def key(self, kid: str, now: int) -> ECKey:
        """The office key of that kid, valid at `now`; Refused."""
        mark = self._mark()
        if mark is not None and mark != self._seen:
            self._load(mark)
        if kid not in self._listed:
            raise Refused(UNKNOWN_KEY, kid)
        found, role, start, end, revoked = self._listed[kid]
        if role != pack.OFFICE:
            raise Refused(ROLE, kid)
        if revoked:
            raise Refused(REVOKED, kid)
        if not start <= now <= end:
            raise Refused(KEY_TIME, kid)
        return found

    @property
    def offices(self) -> int:
        """How many office keys are listed and not revoked."""
        return sum(row[1] == pack.OFFICE and not row[4] for row in self._listed.values())

    def _mark(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None  # a moment without the file changes nothing
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _load(self, mark: tuple[int, int, int] | None) -> None:
        try:
            with self._path.open("rb") as file:
                sealed = pack.parse(file.read(_MAX_PACK))
            root, listed = bodies.decode_trust(sealed.body)
            if sealed.manifest.pack_type != pack.TRUST:
                raise pack.PackError("type")
            if not cose.verify(sealed.sign1, root, keys.verify_digest):
                raise pack.PackError("signature")
        except (OSError, pack.PackError, cose.CoseError):
            if self._seen is None:
                raise setup_error("trust-unreadable", path=self._path) from None
            return  # what was good before stays in force
        self._seen = mark
        self._listed = {row[0].hex(): (_jwk(row[1]), *row[2:]) for row in listed}


def _jwk(public: bytes) -> ECKey:
    return ECKey.import_key(cast(Any, keys.public_jwk(public)))


def read_confirm(
    raw: bytes, root: str, office: OfficeKeys | None, now: int, *, unsigned: bool
) -> Confirm:
    """The command in a message on cmd/confirm; Refused. `root` is the root of all topics.

    Whether its jti was seen before is `remember`'s to say. `unsigned`: plain claims will do.
    """
    if len(raw) > MAX_BYTES:
        raise Refused(TOO_BIG)
    told = _object(raw, NOT_JSON)
    if not {"payload", "protected", "signature"} & set(told):
        if not unsigned:
            raise Refused(UNSIGNED)
        return Confirm(_ids(told, ""), "", "", 0)
    if office is None:
        raise Refused(UNKNOWN_KEY)
    kid, claims = _verified(told, office, now)
    exp = _times(claims, now, kid)
    jti = claims.get("jti")
    if claims.get("cmd") != CONFIRM or not isinstance(jti, str) or not _JTI.fullmatch(jti):
        raise Refused(CLAIMS, kid)
    if claims.get("aud") != root:
        raise Refused(AUDIENCE, kid)
    return Confirm(_ids(claims, kid), kid, jti, exp)


def _object(raw: bytes, reason: str, kid: str = "") -> dict[str, Any]:
    try:
        value: object = json.loads(raw)
    except (ValueError, RecursionError):
        raise Refused(reason, kid) from None
    if not isinstance(value, dict):
        raise Refused(reason, kid)
    return cast(dict[str, Any], value)


def _verified(told: Mapping[str, Any], office: OfficeKeys, now: int) -> tuple[str, dict[str, Any]]:
    """(kid, claims) of a flattened JWS whose protected header says everything."""
    if set(told) != {"payload", "protected", "signature"}:
        raise Refused(FORM)
    if not all(isinstance(part, str) and part.isascii() for part in told.values()):
        raise Refused(FORM)
    protected = told["protected"]
    try:
        padded = protected + "=" * (-len(protected) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
    except ValueError:
        raise Refused(FORM) from None
    header = _object(raw, FORM)
    # Nothing else: no jwk, jku, x5u or crit can talk us into another key or rule.
    if not {"alg", "kid"} <= set(header) <= _HEADER or not isinstance(header["kid"], str):
        raise Refused(FORM)
    kid = header["kid"]
    if not re.fullmatch("[0-9a-f]{16}", kid):  # it is told to people
        raise Refused(UNKNOWN_KEY)
    if header["alg"] != "ES256":
        raise Refused(ALGORITHM, kid)
    key = office.key(kid, now)
    try:
        signed = cast(Any, jws.deserialize_json(cast(Any, dict(told)), key, algorithms=["ES256"]))
    except (JoseError, ValueError, TypeError):
        raise Refused(SIGNATURE, kid) from None
    return kid, _object(signed.payload or b"", CLAIMS, kid)


def _times(claims: Mapping[str, Any], now: int, kid: str) -> int:
    iat: Any = claims.get("iat")
    exp: Any = claims.get("exp")
    if not (is_uint(iat, MAX_UTC) and is_uint(exp, MAX_UTC)):
        raise Refused(CLAIMS, kid)
    if not 0 < exp - iat <= MAX_LIFE_S:
        raise Refused(LIFE, kid)
    if iat > now + LEEWAY_S:
        raise Refused(FUTURE, kid)
    if exp < now - LEEWAY_S:
        raise Refused(EXPIRED, kid)
    return exp


def _ids(claims: Mapping[str, Any], kid: str) -> tuple[str, ...]:
    ids = claims.get("ids")
    if not isinstance(ids, list) or not 1 <= len(cast(list[Any], ids)) <= MAX_IDS:
        raise Refused(CLAIMS, kid)
    found = cast(list[Any], ids)
    if not all(isinstance(id, str) and 1 <= len(id) <= MAX_ID for id in found):
        raise Refused(CLAIMS, kid)
    try:
        "".join(found).encode()
    except UnicodeEncodeError:  # half of a surrogate pair: no database takes it
        raise Refused(CLAIMS, kid) from None
    return tuple(dict.fromkeys(found))


def remember(connection: sa.Connection, command: Confirm, now: int) -> None:
    """Take note of a signed command's jti, in the transaction that obeys it. Refused: seen."""
    if not command.jti:
        return
    table = schema.command_ids
    connection.execute(table.delete().where(table.c.exp < now - LEEWAY_S))
    here = sa.and_(table.c.kid == command.kid, table.c.jti == command.jti)
    if connection.scalar(sa.select(sa.literal(1)).where(here)):
        raise Refused(REPLAYED, command.kid)
    row = {"kid": command.kid, "jti": command.jti, "exp": command.exp}
    connection.execute(table.insert().values(row))
