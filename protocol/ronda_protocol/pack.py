"""Packs: the signed manifest, and the file that it and the body make.

Knows which role may sign which type; verifying the signature, validity in time and newest-wins
are the caller's. What the bodies hold is in `rounds` (cases) and `bodies` (trust, config), making
packs in `issuing`.
"""

import hashlib

from ronda_protocol import cbor, cose, rounds, signed
from ronda_protocol.bounds import (
    MAX_UTC,
    PackError,
    is_bytes,
    is_device,
    is_list,
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

MAX_CASES = rounds.MAX_CASES
MAX_KEYS = 64

CASE = rounds.CASE


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


def manifest_hash(sign1: cose.Sign1) -> bytes:
    """What a pack's chunks name it by: 32 bytes, of the manifest whatever its signature."""
    return hashlib.sha256(cbor.encode([sign1.protected, sign1.payload])).digest()


def decode_cases(body: bytes) -> "tuple[str, int, int, list[dict[str, Any]]]":
    """(round id, as of, expires at, cases) of a cases pack's body; case ids are distinct.

    A handheld reads them one by one instead: rounds.read_cases."""
    left = memoryview(body)

    def read(count: int) -> bytes:
        nonlocal left
        piece = bytes(left[:count])
        left = left[count:]
        return piece

    found = rounds.read_cases(read, len(body))
    head = next(found)
    return head[0], head[1], head[2], list(found)
