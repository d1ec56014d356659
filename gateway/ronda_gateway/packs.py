"""Signed packs that a site makes: its trust pack and a round's cases pack. Sends none.

A pack file is the COSE_Sign1 of its manifest and then its body (WIRE.md, Packs).
"""

from collections.abc import Sequence
from typing import Any

from ronda_protocol import issuing, pack

from ronda_gateway.keys import Signer

DAY = 86400
TRUST_YEARS = 10
"""Validity of the trust pack and of the keys in it; a newer trust pack replaces it at any time."""


def trust_pack(
    root: Signer, keys: Sequence[tuple[bytes, int]], now: int, last_version: int = 0
) -> bytes:
    """The trust pack naming `keys` as (public key x || y, role), signed by the root.

    Valid from a day before `now` (clocks differ), unix seconds.
    """
    start, end = max(0, now - DAY), now + TRUST_YEARS * 365 * DAY
    rows = [[public, role, start, end, False] for public, role in keys]
    return renewed_trust(root, rows, now, last_version)


def renewed_trust(
    root: Signer, rows: Sequence[list[Any]], now: int, last_version: int = 0
) -> bytes:
    """The trust pack of `rows`, [public key, role, not before, not after, revoked] each: another
    one to replace that of version `last_version`."""
    start, end = max(0, now - DAY), now + TRUST_YEARS * 365 * DAY
    body = issuing.encode_trust(root.public, list(rows))
    version = issuing.next_version(last_version, now)
    manifest = pack.Manifest(pack.TRUST, pack.SITE, "trust", version, start, end)
    return issuing.seal(manifest, body, root)


def cases_pack(  # noqa: PLR0917
    signer: Signer,
    scope: str,
    round_id: str,
    cases: Sequence[dict[str, Any]],
    now: int,
    expires_at: int,
    *,
    last_version: int = 0,
) -> bytes:
    """The whole set of a round's cases for a device (`scope` is its id), or "site".

    A case is a dict as `ronda_protocol.pack.encode_cases` takes it. Times in unix seconds.
    """
    body = issuing.encode_cases(round_id, now, expires_at, list(cases))
    version = issuing.next_version(last_version, now)
    manifest = pack.Manifest(pack.CASES, scope, "cases", version, max(0, now - DAY), expires_at)
    return issuing.seal(manifest, body, signer)


def config_pack(
    signer: Signer,
    scope: str,
    values: dict[str, int],
    now: int,
    until: int,
    *,
    last_version: int = 0,
) -> bytes:
    """Settings for a device or "site", by the names of bodies.CONFIG; valid until `until`."""
    body = issuing.encode_config(values)
    version = issuing.next_version(last_version, now)
    manifest = pack.Manifest(pack.CONFIG, scope, "config", version, max(0, now - DAY), until)
    return issuing.seal(manifest, body, signer)
