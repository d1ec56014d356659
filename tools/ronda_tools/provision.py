"""Provisions a simulated handheld's storage for a site: key, root, settings, packs, enrolment.

The handheld's own firmware makes the key and verifies the packs (boards/sim/seed.py, in the VM);
the private key never leaves its `nv` folder. A second run finds what is there and changes only
what differs. Hardware boards are provisioned by the bench, not here.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Self

from ronda_gateway import fleet, keys, packs, store
from ronda_gateway.site import Site
from ronda_gateway.wording import SetupError
from ronda_protocol.bounds import is_device

from ronda_tools import texts
from ronda_tools.texts import Text, UsedWrong
from ronda_tools.vm import Build, Vm

texts.add(
    {
        "provision.device": Text(
            "el id de equipo «{device}» no sirve",
            "the device id “{device}” will not do",
            "use de 3 a 24 letras minúsculas, cifras o guiones",
            "use 3 to 24 lower-case letters, digits or hyphens",
        ),
        "provision.other_device": Text(
            "{storage} ya es del equipo {found}, no de {device}",
            "{storage} belongs to the handheld {found} already, not to {device}",
            "use --device {found}, o indique otra carpeta con --storage",
            "use --device {found}, or name another folder with --storage",
        ),
        "provision.other_site": Text(
            "{storage} está provisionado para otra sede: fija otra clave raíz",
            "{storage} is provisioned for another site: it pins another root key",
            "use la carpeta de su sede con --site, o indique otra carpeta con --storage",
            "use its own site's folder with --site, or name another folder with --storage",
        ),
        "provision.refused": Text(
            "el equipo rechazó su provisión en {storage} ({why})",
            "the handheld refused its provisioning in {storage} ({why})",
            "indique una carpeta nueva con --storage; si se repite, la sede está dañada",
            "name a new folder with --storage; if it happens again the site is damaged",
        ),
    }
)

_SEED_HEAP = "1m"  # packs are read whole: the bench's side, not what a handheld has
_WAIT_S = 60


class Seed:
    """The bench's program in the VM on a storage folder; see boards/sim/seed.py."""

    def __init__(self, storage: Path, built: Build | None = None) -> None:
        self._storage = storage
        self._vm = Vm(storage, built=built, program="seed", heap=_SEED_HEAP)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._vm.close()

    def do(self, what: str, **wanted: object) -> dict[str, Any]:
        """One command's result; UsedWrong `provision.refused` with the firmware's code."""
        line = json.dumps({"do": what, **wanted}, ensure_ascii=False)
        result: dict[str, Any] = self._vm.ask(line.encode() + b"\n", "P", _WAIT_S)
        if "error" in result:
            raise UsedWrong("provision.refused", storage=self._storage, why=result["error"])
        return result


def owner(storage: Path) -> tuple[str, bytes] | None:
    """(device id, pinned root's thumbprint) of a provisioned storage folder, else None.

    Raises UsedWrong `vm.storage` when the folder cannot be read.
    """
    found: dict[str, bytes] = {}
    for name in ("dev", "root", "key"):
        try:
            found[name] = (storage / "nv" / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UsedWrong("vm.storage", path=storage, error=error.strerror) from None
    return found["dev"].decode("ascii", "replace"), found["root"]


def provision(
    storage: Path,
    site: Site,
    device: str,
    *,
    now: int,
    cases: Sequence[Mapping[str, Any]] | None = None,
    expires_at: int = 0,
    broker: tuple[str, int] | None = None,
    built: Build | None = None,
) -> bytes:
    """Make a storage folder the handheld `device` of a site, or bring it up to date.

    Returns its public key (64 bytes), also in `public_pem(storage, device)`, enrolled and enabled
    in the site's database. `cases` become one signed pack valid until `expires_at` (unix seconds);
    None leaves what is there. `broker` (host, port) replaces the site's own. Raises UsedWrong, or
    the gateway's SetupError.
    """
    if not is_device(device):
        raise UsedWrong("provision.device", device=device)
    at = owner(storage)
    if at is not None and at[0] != device:
        raise UsedWrong("provision.other_device", storage=storage, found=at[0], device=device)
    if at is not None and at[1] != site.root_thumbprint:
        raise UsedWrong("provision.other_site", storage=storage)
    with Seed(storage, built) as seed:
        found = seed.do("describe")
        if not found["public"]:
            root = site.root_thumbprint.hex()
            found = seed.do("provision", device=device, root=root)
        host, port = broker or (site.settings.broker.host, site.settings.broker.port)
        seed.do("configure", config=[[1, host], [2, port], [3, site.settings.topic_root]])
        _install(seed, site, device, cases=cases, now=now, expires_at=expires_at)
    public = bytes.fromhex(found["public"])
    public_pem(storage, device).write_bytes(keys.public_pem(public))
    enrol(site, device, public, now)
    return public


def public_pem(storage: Path, device: str) -> Path:
    """The file with a provisioned handheld's public key, for `ronda evidence verify --key`."""
    return storage / f"{device}.pub.pem"


def _install(
    seed: Seed,
    site: Site,
    device: str,
    *,
    cases: Sequence[Mapping[str, Any]] | None,
    now: int,
    expires_at: int,
) -> None:
    with tempfile.TemporaryDirectory(prefix="ronda-packs-") as folder:
        trust, round_ = Path(folder) / "trust", Path(folder) / "cases"
        trust.write_bytes(site.trust_pack)
        if cases is None:
            seed.do("install", trust=str(trust))
            return
        listed = [dict(case) for case in cases]
        signer = site.signer("gateway")
        round_.write_bytes(packs.cases_pack(signer, device, "sim", listed, now, expires_at))
        seed.do("install", trust=str(trust), cases=str(round_))


def enrol(site: Site, device: str, public: bytes, now: int) -> None:
    """Make the device known to the site's gateway, and enabled, unless it is so already.

    A revoked device stays revoked. SetupError: the id or the key is somebody else's.
    """
    with closing(store.open_store(site.settings.database_path)) as database:
        try:
            state = fleet.show(database, device).state
        except SetupError:
            state = ""
        if state != fleet.REVOKED:
            fleet.enrol(database, device, public, now, site.kids)
            fleet.enable(database, device, now)


def reconfigure(storage: Path, broker: tuple[str, int], built: Build | None = None) -> None:
    """Give a provisioned handheld another broker."""
    with Seed(storage, built) as seed:
        seed.do("configure", config=[[1, broker[0]], [2, broker[1]]])
