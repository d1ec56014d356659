"""Packs: the signed manifest and its body; the trust pack's and the cases pack's contents.

Knows which role may sign which type; verifying the signature, validity in time and newest-wins
are the caller's. Making packs is in `issuing`, which this imports on first use.
"""

import hashlib

from ronda_protocol import cbor, cose, signed
from ronda_protocol.bounds import (
    MAX_UTC,
    U16,
    WireError,
    is_bytes,
    is_device,
    is_list,
    is_map,
    is_place,
    is_portfolio,
    is_text,
    is_uint,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Pack types.
TRUST = 1
CASES = 2
ROUND = 3
CONFIG = 4
CUSTODY = 5
MESSAGE = 6
WIPE = 7
FIRMWARE = 8
RULES = 9
FORM = 10
TYPE_NAMES = (
    "",
    "trust",
    "cases",
    "round",
    "config",
    "custody",
    "message",
    "wipe",
    "firmware",
    "rules",
    "form",
)

# Roles of keys.
ROOT = 0
GATEWAY = 1
OFFICE = 2
RELEASE = 3
BENCH = 4
ROLE_NAMES = ("root", "gateway", "office", "release", "bench")

# The one role that may sign each pack type, by type from 1.
_ROLES = bytes((ROOT, GATEWAY, GATEWAY, GATEWAY, GATEWAY, GATEWAY, GATEWAY, 3, 3, 3))

SITE = "site"
"""The scope of a pack for every device of the site."""

MAX_CASES = 200
MAX_KEYS = 64


class PackError(WireError):
    """Codes: too-big, cose-…, cbor-…, kind, version, key, manifest, body, length, hash, trust,
    cases."""


def role_for(pack_type: int) -> int:
    """The role that may sign packs of a type; PackError("manifest") for an unknown type."""
    if not is_uint(pack_type, FORM, TRUST):
        raise PackError("manifest")
    return _ROLES[pack_type - 1]


class Manifest:
    """The signed payload of a pack; times in unix seconds, validity ends at `not_after`.

    `requires` lists what must be applied before: [[type, name, lowest version]...].
    """

    def __init__(  # noqa: PLR0917
        self,
        pack_type: int,
        scope: str,
        name: str,
        version: int,
        not_before: int,
        not_after: int,
        length: int = 0,
        sha256: bytes = bytes(32),
        requires: "list[Any] | None" = None,
    ) -> None:
        self.pack_type = pack_type
        self.scope = scope
        self.name = name
        self.version = version
        self.not_before = not_before
        self.not_after = not_after
        self.length = length
        self.sha256 = sha256
        self.requires = requires or []

    @staticmethod
    def parse(payload: bytes) -> "Manifest":
        """The manifest in a payload."""
        value = signed.read(payload, signed.MANIFEST, 10, (), PackError)
        manifest = Manifest(*[value[key] for key in range(2, 10)])
        manifest.requires = value[10]
        manifest.check()
        return manifest

    def check(self) -> None:
        """PackError("manifest") when a field is out of bounds."""
        ok = (
            is_uint(self.pack_type, FORM, TRUST)
            and is_device(self.scope)
            and is_text(self.name, 32)
            and is_uint(self.version, MAX_UTC, 1)
            and is_uint(self.not_before, MAX_UTC)
            and is_uint(self.not_after, MAX_UTC, self.not_before)
            and is_uint(self.length)
            and is_bytes(self.sha256, 32)
            and is_list(self.requires, 8)
        )
        if ok:
            for item in self.requires:
                ok = ok and is_list(item, 3, 3) and is_uint(item[0], FORM, TRUST)
                ok = ok and is_text(item[1], 32) and is_uint(item[2], MAX_UTC)
        if not ok:
            raise PackError("manifest")


class Pack:
    """A parsed pack file: `sign1` (not yet verified), `manifest`, `body` (hash checked)."""

    def __init__(self, sign1: cose.Sign1, manifest: Manifest, body: bytes) -> None:
        self.sign1 = sign1
        self.manifest = manifest
        self.body = body


def parse(data: bytes, max_len: int = cbor.MAX_LEN) -> Pack:
    """The pack in a file: form, length and hash checked, signature not."""
    if len(data) > max_len:
        raise PackError("too-big")
    try:
        sign1, at = cose.parse_first(data, 0, max_len)
    except cose.CoseError as error:
        raise PackError("cose-" + error.code)
    manifest = Manifest.parse(sign1.payload)
    try:
        body, at = cbor.decode_first(data, at, max_len, 0, 1)
    except cbor.CborError as error:
        raise PackError("cbor-" + error.code)
    if type(body) is not bytes or at != len(data):
        raise PackError("body")
    if len(body) != manifest.length:
        raise PackError("length")
    if hashlib.sha256(body).digest() != manifest.sha256:
        raise PackError("hash")
    return Pack(sign1, manifest, body)


def _body(data: bytes, code: str) -> "dict[int, Any]":
    try:
        value = cbor.decode(data)
    except cbor.CborError as error:
        raise PackError("cbor-" + error.code)
    if not is_map(value):
        raise PackError(code)
    return value


def decode_trust(body: bytes) -> "tuple[bytes, list[list[Any]]]":
    """(root's public key, keys) of a trust pack's body.

    Each key is [kid, public key, role, not before, not after, revoked]; kids are recomputed.
    """
    value = _body(body, "trust")
    keys = value.get(2)
    if not is_list(keys, MAX_KEYS):
        raise PackError("trust")
    found: list[list[Any]] = []
    kids: set[bytes] = set()
    try:
        root = cose.parse_key(value.get(1) or b"")
        for key in keys or ():
            if not (
                is_list(key, 6, 6)
                and is_uint(key[2], BENCH, GATEWAY)
                and is_uint(key[3], MAX_UTC)
                and is_uint(key[4], MAX_UTC, key[3])
                and type(key[5]) is bool
                and type(key[1]) is bytes
            ):
                raise PackError("trust")
            public = cose.parse_key(key[1])
            if key[0] != cose.kid(public) or key[0] in kids:
                raise PackError("trust")
            kids.add(key[0])
            found.append([key[0], public] + key[2:])
    except cose.CoseError:
        raise PackError("trust")
    return root, found


def _is_case(case: "dict[int, Any]") -> bool:
    return (
        is_map(case)
        and is_text(case.get(1), 32)
        and is_portfolio(case.get(2))
        and is_text(case.get(3), 32)
        and is_place(case.get(4))
        and is_uint(case.get(5), U16)
        and is_text(case.get(6), 3, 3)
    )


# Names of a case's keys, from 1.
CASE = ("case_id", "portfolio", "creditor", "place", "order", "currency")


def decode_cases(body: bytes) -> "tuple[str, int, int, list[dict[str, Any]]]":
    """(round id, as of, expires at, cases) of a cases pack's body; case ids are distinct."""
    value = _body(body, "cases")
    if not (
        is_text(value.get(1), 32)
        and is_uint(value.get(2), MAX_UTC)
        and is_uint(value.get(3), MAX_UTC)
        and is_list(value.get(4), MAX_CASES)
    ):
        raise PackError("cases")
    cases: list[dict[str, Any]] = []
    ids: set[str] = set()
    for case in value[4]:
        if not _is_case(case) or case[1] in ids:
            raise PackError("cases")
        ids.add(case[1])
        cases.append({CASE[i]: case[i + 1] for i in range(6)})
    return value[1], value[2], value[3], cases


# What follows is the signers' side; a handheld loads none of it.


def next_version(last: int, now: int) -> int:
    """The version after `last`, signed at unix time `now`: a restored signer never goes back."""
    return max(last + 1, now)


def seal(manifest: Manifest, body: bytes, signer: "cose.DigestSigner") -> bytes:
    """A pack file; writes the body's length and hash into the manifest first."""
    from ronda_protocol import issuing

    return issuing.seal(manifest, body, signer)


def encode_trust(root: bytes, keys: "list[Any]") -> bytes:
    """The body of a trust pack.

    `root` is the root's public key (x || y); `keys` [public key, role, not before, not after,
    revoked] each.
    """
    from ronda_protocol import issuing

    return issuing.encode_trust(root, keys)


def encode_cases(
    round_id: str, as_of: int, expires_at: int, cases: "list[dict[str, Any]]"
) -> bytes:
    """The body of a cases pack: the whole set of a round; times in unix seconds.

    A case has case_id, portfolio, creditor, place [version, quality, 0, lat_e7, lon_e7,
    radius_dm], order (u16) and currency (three letters).
    """
    from ronda_protocol import issuing

    return issuing.encode_cases(round_id, as_of, expires_at, cases)
