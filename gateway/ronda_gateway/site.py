"""The folder of a site: keys, trust pack, settings and database; made once, loaded by tools.

The offline keys are made into a folder of their own that the operator is told to take away.
"""

import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ronda_protocol import bodies, cose, pack

from ronda_gateway import keys, packs, settings, store
from ronda_gateway.clock import SystemClock
from ronda_gateway.keys import Signer
from ronda_gateway.settings import Settings
from ronda_gateway.wording import setup_error

CONFIG = "gateway.toml"
DATABASE = "gateway.db"
TRUST_PACK = "trust.pack"
ONLINE = {"gateway": pack.GATEWAY, "office": pack.OFFICE}
OFFLINE = {"root": pack.ROOT, "release": pack.RELEASE}
# What a key of a trust pack may be for.
ROLES = ONLINE | {"release": pack.RELEASE, "bench": pack.BENCH}

_TOML = """\
# Settings of this site's gateway. `ronda gateway check` explains what is wrong with them.
# Paths are relative to this file. An environment variable wins: RONDA_BROKER__HOST and so on.

[site]
name = "{name}"

[broker]
host = "{host}"
port = {port}
# true runs the embedded broker here, for a bench or a demo: loopback only, keeps nothing.
embedded = {embedded}

[database]
file = "{database}"

[keys]
gateway = "keys/gateway.pem"
"""


@dataclass(frozen=True)
class Site:
    """A site's folder, opened: public things at hand, private keys on request."""

    folder: Path
    settings: Settings
    root_public: bytes
    trust_pack: bytes

    @property
    def name(self) -> str:
        """The site's name, part of every topic."""
        return self.settings.site.name

    @property
    def config(self) -> Path:
        """Its gateway.toml."""
        return self.folder / CONFIG

    @property
    def root_thumbprint(self) -> bytes:
        """What a handheld pins at provisioning: 32 bytes."""
        return cose.thumbprint(self.root_public)

    @property
    def kids(self) -> tuple[bytes, ...]:
        """The kids of the site's own keys: none of them may be a device's."""
        sealed = pack.parse(self.trust_pack)
        listed = bodies.decode_trust(sealed.body)[1]
        return (cose.kid(self.root_public), *(key[0] for key in listed))

    def signer(self, name: str = "gateway") -> Signer:
        """A private key of the site: gateway, office, or the offline root and release."""
        kind = "offline" if name in OFFLINE else "keys"
        return keys.load_private(self.folder / kind / f"{name}.pem", where=name)


def init(
    folder: Path,
    name: str,
    host: str = "127.0.0.1",
    port: int = 1883,
    now: int | None = None,
    *,
    embedded: bool = False,
) -> Site:
    """Make a site: all of it appears in `folder`, or nothing. SetupError if it is in use.

    `now` (unix seconds, the system's if not told) begins the validity of its keys.
    """
    if not re.fullmatch(r"[a-z0-9-]{1,24}", name):
        raise setup_error("site-name", value=name)
    # Refuses a host or port that is none before anything is made.
    settings.parse({"site": {"name": name}, "broker": {"host": host, "port": port}}, folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise setup_error("site-exists", path=folder)
    draft: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        began = SystemClock().now() if now is None else now
        _fill(draft, name, host, port, began, embedded=embedded)
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    except OSError as error:
        raise setup_error("site-cannot-write", path=folder, why=error.strerror) from None
    finally:
        if draft:
            shutil.rmtree(draft, ignore_errors=True)
    return load(folder)


def _fill(folder: Path, name: str, host: str, port: int, now: int, *, embedded: bool) -> None:
    text = _TOML.format(
        name=name,
        host=host,
        port=port,
        embedded=str(embedded).lower(),
        database=DATABASE,
    )
    (folder / CONFIG).write_text(text)
    made: dict[str, Signer] = {}
    for kind, names in (("keys", ONLINE), ("offline", OFFLINE)):
        (folder / kind).mkdir(mode=0o700)
        for key_name in names:
            made[key_name] = keys.make()
            _write_key(folder / kind / key_name, made[key_name])
    listed = [(made[n].public, role) for n, role in (ONLINE | OFFLINE).items() if n != "root"]
    (folder / TRUST_PACK).write_bytes(packs.trust_pack(made["root"], listed, now))
    store.migrate(folder / DATABASE)


def renew_trust(
    folder: Path, now: int, add: Sequence[tuple[str, Path]] = (), revoke: Sequence[bytes] = ()
) -> Site:
    """Sign another trust pack with the offline root and put it in place of the site's; the site.

    `add` names keys, (role, file of the public key) each, from now on in force; `revoke` kids that
    are no more. SetupError: no root key here, a role or kid that is none, a key named twice.
    """
    found = load(folder)
    root = found.signer("root")
    if root.public != found.root_public:
        raise setup_error("site-broken", path=folder, what="offline/root.pem")
    sealed = pack.parse(found.trust_pack)
    rows = {key[0]: key[1:] for key in bodies.decode_trust(sealed.body)[1]}
    for kid in revoke:
        if kid not in rows:
            raise setup_error("trust-kid", kid=kid.hex())
        rows[kid][4] = True
    start, end = max(0, now - packs.DAY), now + packs.TRUST_YEARS * 365 * packs.DAY
    for role, path in add:
        if role not in ROLES:
            raise setup_error("trust-role", role=role)
        public = keys.load_public(path, where="--add")
        if cose.kid(public) in rows or public == root.public:
            raise setup_error("trust-twice", kid=cose.kid(public).hex())
        rows[cose.kid(public)] = [public, ROLES[role], start, end, False]
    version = sealed.manifest.version
    try:
        raw = packs.renewed_trust(root, list(rows.values()), now, version)
    except pack.PackError:
        raise setup_error("trust-too-many", count=len(rows)) from None
    try:
        draft = folder / f"{TRUST_PACK}.new"
        draft.write_bytes(raw)
        draft.replace(folder / TRUST_PACK)
    except OSError as error:
        raise setup_error("site-cannot-write", path=folder, why=error.strerror) from None
    return load(folder)


def _write_key(stem: Path, signer: Signer) -> None:
    private = stem.with_name(f"{stem.name}.pem")
    private.touch(mode=0o600)
    private.write_bytes(signer.pem())
    stem.with_name(f"{stem.name}.pub.pem").write_bytes(keys.public_pem(signer.public))


def load(folder: Path) -> Site:
    """The site in a folder; SetupError names what is missing or damaged.

    The offline keys need not be there; their public halves are in the trust pack.
    """
    found = settings.load(folder / CONFIG)
    try:
        raw = (folder / TRUST_PACK).read_bytes()
        sealed = pack.parse(raw)
        root = bodies.decode_trust(sealed.body)[0]
        if not cose.verify(sealed.sign1, root, keys.verify_digest):
            raise pack.PackError("signature")
    except (OSError, pack.PackError):
        raise setup_error("site-broken", path=folder, what=TRUST_PACK) from None
    return Site(folder, found, root, raw)
