"""One simulated handheld replays a receiver's log: the real firmware, as fast as it can.

Says what the firmware made of the log, the visits it sealed (read back from its flash) and, with a
broker, how many of its segments the gateway signed for. Prints nothing: see cli_handheld.
"""

import base64
import errno
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ronda_gateway import site as sites
from ronda_gateway.site import Site
from ronda_protocol import correction, fence, reading, segment, track, visit

from ronda_tools import broker, provision, texts
from ronda_tools.conductor import Answer, Conductor, ConductorError, Handheld, Link
from ronda_tools.replay import Replay, first_date
from ronda_tools.texts import Text, UsedWrong
from ronda_tools.visit_script import Act, Case, perform, read_case, read_script
from ronda_tools.vm import Vm, build

texts.add(
    {
        "sim.broker_unprovisioned": Text(
            "con --broker hace falta un equipo provisionado para una sede",
            "--broker needs a handheld provisioned for a site",
            "añada --storage CARPETA --site SEDE --device ID (la sede se hace con "
            "`ronda site init`); la primera vez provisiona la carpeta",
            "add --storage DIR --site SITE_DIR --device ID (`ronda site init` makes the site); "
            "the first time it provisions the folder",
        ),
        "sim.together": Text(
            "--site, --device y --storage van juntos: falta {missing}",
            "--site, --device and --storage go together: {missing} is missing",
            "dé los tres, o ninguno para un equipo pasajero",
            "give all three, or none for a passing handheld",
        ),
        "sim.case_unsigned": Text(
            "para --case hace falta --site: el caso lo firma la pasarela de la sede",
            "--case needs --site: the site's gateway signs the case",
            "añada --site SEDE --device {device}",
            "add --site SITE_DIR --device {device}",
        ),
        "sim.no_broker": Text(
            "no hay ningún broker MQTT en {host}:{port}",
            "there is no MQTT broker at {host}:{port}",
            "arránquelo, o corrija --broker",
            "start it, or correct --broker",
        ),
        "sim.script_caseless": Text(
            "el guion registra una visita y no hay caso",
            "the script records a visit and there is no case",
            "añada --case ARCHIVO",
            "add --case FILE",
        ),
    }
)

DRAIN_LIMIT_S = 60.0
_CASE_DAYS = 30
_LOCAL_SITE = "local"
_PASSING_DEVICE = "sim-local"
_SHIFT = "shift_start"


@dataclass(frozen=True)
class Options:
    """What `ronda handheld sim` was asked for; `broker` is (host, port)."""

    nmea: Path
    storage: Path | None = None
    site: Path | None = None
    device: str | None = None
    case: Path | None = None
    script: Path | None = None
    broker: tuple[str, int] | None = None


@dataclass
class Outcome:
    """What happened: `data` is what --json prints, `failed` the text code of why the exit code is
    1, `log` the last lines that the firmware printed."""

    data: dict[str, Any]
    failed: str | None = None
    log: list[str] = field(default_factory=list[str])


def run(options: Options, progress: Callable[[int], None] | None = None) -> Outcome:
    """Replay the log. `progress` gets numbers of bytes read.

    Raises UsedWrong or the gateway's SetupError before anything is stored, VmDied when the
    firmware fails.
    """
    floor = first_date(options.nmea)
    case = read_case(options.case) if options.case else None
    acts = read_script(options.script) if options.script else []
    _check_combination(options, acts)
    if options.broker and not broker.port_taken(options.broker[1], options.broker[0]):
        raise UsedWrong("sim.no_broker", host=options.broker[0], port=options.broker[1])
    with ExitStack() as stack:
        storage = options.storage
        if storage is None:
            passing = tempfile.mkdtemp(prefix="ronda-sim-")
            stack.callback(shutil.rmtree, passing, ignore_errors=True)
            storage = Path(passing)
        device = _provision(options, storage, case, floor)
        here = _Run(options, storage, device, floor=floor, acts=acts, progress=progress)
        return here.go()


def _check_combination(options: Options, acts: list[Act]) -> None:
    """Refuse options that cannot work together, before anything is written."""
    if options.storage is not None:
        _check_storage(options.storage)
    given = {"--site": options.site, "--device": options.device}
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == 1:
        raise UsedWrong("sim.together", missing=missing[0])
    if not missing and options.storage is None:
        raise UsedWrong("sim.together", missing="--storage")
    if missing:
        at = provision.owner(options.storage) if options.storage else None
        local = options.storage is not None and _local_site(options.storage).exists()
        if options.broker and (at is None or local):
            raise UsedWrong("sim.broker_unprovisioned")
        if options.case and at is not None and not local:
            raise UsedWrong("sim.case_unsigned", device=at[0])
    visits = any(act.intent == "check_in" for act in acts)
    if (
        visits
        and not options.case
        and (options.storage is None or not provision.owner(options.storage))
    ):
        raise UsedWrong("sim.script_caseless")


def _check_storage(storage: Path) -> None:
    """UsedWrong unless the path is a folder that may be written, or can become one."""
    there = storage
    while not there.exists() and there != there.parent:
        there = there.parent
    wrong = None if os.access(there, os.W_OK | os.X_OK) else errno.EACCES
    if not there.is_dir():
        wrong = errno.ENOTDIR
    if wrong:
        raise UsedWrong("vm.storage", path=storage, error=os.strerror(wrong))


def _local_site(storage: Path) -> Path:
    """The site of a handheld that belongs to none: kept beside its flash, for later runs."""
    return storage / "site"


def _provision(options: Options, storage: Path, case: Case | None, floor: int | None) -> str:
    """Make the storage a handheld's, or bring it up to date; its device id."""
    now = int(time.time())
    device = options.device
    if options.site is not None:
        site: Site | None = sites.load(options.site)
    else:
        at = provision.owner(storage)
        device = at[0] if at else _PASSING_DEVICE
        folder = _local_site(storage)
        if folder.exists():
            site = sites.load(folder)
        elif at is None:
            storage.mkdir(parents=True, exist_ok=True)
            site = sites.init(folder, _LOCAL_SITE, now=now)
        else:
            site = None  # provisioned by somebody else, for a site that is not here
    assert device is not None
    if site is not None:
        provision.provision(
            storage,
            site,
            device,
            now=now,
            cases=[_row(case)] if case else None,
            # The log may be of another year: the pack must outlive both.
            expires_at=max(now, floor or 0) + _CASE_DAYS * 86400,
            broker=options.broker,
        )
    elif options.broker:
        provision.reconfigure(storage, options.broker)
    return device


def _row(case: Case) -> dict[str, Any]:
    return {
        "case_id": case.case_id,
        "portfolio": case.portfolio,
        "creditor": case.creditor,
        "place": case.place,
        "order": 1,
        "currency": "PEN",
    }


class _Run:
    """One replay on a provisioned storage folder."""

    def __init__(
        self,
        options: Options,
        storage: Path,
        device: str,
        *,
        floor: int | None,
        acts: list[Act],
        progress: Callable[[int], None] | None,
    ) -> None:
        self._storage = storage
        self._device = device
        self._broker = options.broker
        self._kept = options.storage is not None
        self._acts = acts
        if acts and not any(act.intent == _SHIFT for act in acts):
            self._acts = [Act(0, _SHIFT), *acts]  # no visit without a shift
        self._replay = Replay(options.nmea, progress)
        self._floor = floor
        self._done: list[tuple[int, Act, Answer]] = []
        self._journal = storage / "journal.jsonl"
        self._journal_at = self._journal.stat().st_size if self._journal.exists() else 0
        self._before = _log_head(storage)

    def go(self) -> Outcome:
        """Replay without a network, end the day, then bring the link up until all is received."""
        environment = {"RONDA_SIM_TIME_FLOOR": str(self._floor)} if self._floor else {}
        received = True
        with Conductor(self._floor or 0, wall_limit_s=DRAIN_LIMIT_S) as conductor:
            handheld = conductor.add(
                Handheld(
                    self._device,
                    Vm(self._storage, built=build(), environment=environment),
                    nmea=self._replay,
                    link=Link([]),
                    script=perform(self._acts, self._origin(), self._done),
                )
            )
            conductor.run()
            # Ends the shift, which seals refused attempts, and seals the open track.
            report: Answer = conductor.ask(handheld, "finish")
            if self._broker:
                try:
                    conductor.drain()
                except ConductorError:
                    received = False
            if received:
                report = conductor.finish()[0]
            log = list(handheld.vm.log)
        return self._outcome(report, log)

    def _origin(self) -> Iterator[int | None]:
        """When the log's first valid fix was said; ends if the log ends without one."""
        while self._replay.first_fix_ms is None and not self._replay.ended:
            yield None
        if self._replay.first_fix_ms is not None:
            yield self._replay.first_fix_ms

    def _outcome(self, report: Mapping[str, Any], log: list[str]) -> Outcome:
        known, seq = self._before
        sealed, chain = self._read_back(report["log"], seq if report["log"] == known else 0)
        data: dict[str, Any] = {"device": self._device, **report["gnss"]}
        pem = provision.public_pem(self._storage, self._device)
        if self._kept and pem.exists():
            data["public_key"] = str(pem)
        data["entries"] = self._entries()
        if self._acts:
            visits = [raw for raw in sealed if _body(raw) == segment.VISIT_BODY]
            data["visits"] = [_visit_row(raw) for raw in visits]
            data["corrections"] = [_correction_row(raw) for raw in sealed if raw not in visits]
            data["script"] = [_act_row(*done) for done in self._done]
        data["log"] = report["log"]
        for name in ("heap", "flash"):
            if name in report:
                data[name] = report[name]
        data["simulated_ms"] = self._replay.ms
        failed = None
        if len(self._done) < len(self._acts):
            failed = "sim.no_fix"
        if self._broker:
            unsent = chain["head"] - chain["released"]
            sync = {"segments": chain["head"], "received": chain["released"], "unsent": unsent}
            data["sync"] = sync
            failed = "sim.not_received" if unsent else failed
        return Outcome(data, failed, log)

    def _read_back(self, log: str, after: int) -> tuple[list[bytes], dict[str, Any]]:
        """The visits and corrections this run sealed, as they lie on flash, and where the log
        stands."""
        with tempfile.TemporaryDirectory(prefix="ronda-read-") as folder:
            file = Path(folder) / "visits"
            with provision.Seed(self._storage) as seed:
                chain = seed.do("visits", log=log, after=after, to=str(file))
            return [bytes.fromhex(line) for line in file.read_text().splitlines()], chain

    def _entries(self) -> dict[str, int]:
        """Entries by kind that this run recorded, by the simulator's own journal."""
        counts = Counter(dict.fromkeys(track.NAMES.values(), 0))
        if self._journal.exists():
            with self._journal.open("rb") as journal:
                journal.seek(self._journal_at)
                for line in journal:
                    counts[json.loads(line)["kind"]] += 1
        return dict(counts)


def _log_head(storage: Path) -> tuple[str, int]:
    """(log id in hex, last sealed seq) as `nv` has them; a handheld that never ran has none."""
    found: dict[str, bytes] = {}
    for name in ("log", "head"):
        path = storage / "nv" / name
        found[name] = path.read_bytes() if path.exists() else b""
    log, head = found["log"], found["head"]
    return log.hex(), int.from_bytes(head[:4], "big") if head[40:] == log else 0


def _act_row(ms: int, act: Act, answer: Answer) -> dict[str, Any]:
    return {"at_ms": act.at_ms, "ms": ms, "intent": act.intent, "result": answer}


def _body(raw: bytes) -> int:
    return reading.parse(raw).header.body


def _correction_row(raw: bytes) -> dict[str, Any]:
    """A sealed correction as data; `evidence` is the whole segment in base64."""
    sealed = reading.parse(raw)
    found = correction.decode(sealed.parts[segment.CORRECTION])[1]
    return {
        "visit_id": visit.visit_id(sealed.header.device, found["log_id"], found["seq"]),
        **{name: found[name] for name in ("field", "value", "reason", "gestor")},
        "evidence": base64.b64encode(raw).decode(),
    }


def _visit_row(raw: bytes) -> dict[str, Any]:
    """A sealed visit as data; `evidence` is the whole segment in base64."""
    sealed = reading.parse(raw)
    header = sealed.header
    fields = reading.decode_evidence(sealed.parts[segment.EVIDENCE])
    row: dict[str, Any] = {
        "visit_id": visit.visit_id(header.device, header.log_id, header.seq),
        "case_id": fields["case_id"],
        "portfolio": fields["portfolio"],
        "creditor": fields["creditor"],
        "ended": visit.ENDED_NAMES[fields["ended"]],
        "opened": visit.POLICY_NAMES[fields["opened"]],
        "check_in": _moment(fields, "check_in"),
        "close": _moment(fields, "close"),
        "dwell": fields.get("dwell"),
        "portal": _portal(fields.get("portal")),
        "no_signal": "no_signal" in fields,
        "outcome": fields.get("outcome"),
        "attempts": fields.get("attempts"),
        "parts": sorted(sealed.parts),
        "evidence": base64.b64encode(raw).decode(),
    }
    return row


def _moment(fields: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Check-in or close: when, and the fence verdict if one was asked for."""
    if name not in fields:
        return None
    return _seen(fields[name], fields.get(f"{name}_verdict"))


def _portal(portal: Sequence[Any] | None) -> dict[str, Any] | None:
    """What was registered at a building's entrance."""
    return None if portal is None else _seen(portal[0], portal[2]) | {"dwell_s": portal[3]}


def _seen(stamp: Sequence[Any], verdict: Sequence[Any] | None) -> dict[str, Any]:
    row: dict[str, Any] = {"stamp": stamp}
    if verdict:
        row["verdict"] = fence.VERDICT_NAMES[verdict[0]]
        row["d_dm"], row["r_dm"], row["used"] = verdict[1:4]
        row["reason"] = fence.REASON_NAMES[verdict[4]]
    return row
