"""A real handheld of a site, its gateway in this process, time and satellites in the suite's hand.

`Steered` is one VM running `vm/steered.py`; several may share a `GatewayHere`. What it publishes
is recorded at once and answered with receipts, unless its `deaf` is set. Leaves out MQTT over
sockets (`real_handheld.py` has it).
"""

from __future__ import annotations

from typing import Any

from gateway_here import GatewayHere
from ronda_gateway import packs
from ronda_protocol import reading, track
from vm_program import Talk

DOOR = (-121191427, -770349046)
DAY = 86400
YEAR = 365 * DAY
CASE = {
    "case_id": "c-1",
    "portfolio": "banco-a",
    "creditor": "banco-a",
    "place": [1, 1, 0, *DOOR, 500],
    "order": 1,
    "currency": "PEN",
}


class Steered(Talk):
    """One handheld. `private`: 32 bytes; the same for a clone."""

    def __init__(self, gateway: GatewayHere, device: str, private: bytes) -> None:
        super().__init__("steered", heap="3m")
        self.gateway, self.device = gateway, device
        self.deaf = False
        self.raws: list[bytes] = []
        self.downs: list[bytes] = []
        self.public = self.make(device, private)

    def make(self, device: str, private: bytes) -> bytes:
        """A bare handheld in place of the one that was here; its public key."""
        gateway, self.device = self.gateway, device
        self.raws, self.downs = [], []
        site, now = gateway.site, gateway.clock.now()
        cases = packs.cases_pack(gateway.signer, device, "r", [CASE], now, now + 5 * YEAR)
        config = {"root": site.root_thumbprint.hex()}
        trust = site.trust_pack.hex()
        public = self.do("make", device, private.hex(), trust, cases.hex(), config)
        return bytes.fromhex(public)

    def do(self, *words: object) -> Any:
        """A command's value; what is published meanwhile goes through the gateway."""
        answer = self.ask(*words)
        while answer[0] == "up":
            raw = bytes.fromhex(answer[1])
            self.raws.append(raw)
            downs = [] if self.deaf else self.gateway.send(self.device, raw)
            self.downs += downs
            answer = self.ask(*[down.hex() for down in downs])
        return answer[1]


def entries(raws: list[bytes]) -> dict[int, list[tuple[str, int, str, bytes]]]:
    """Every entry in these segments by number: (digest, ms, log id, chain hash of its segment)."""
    found: dict[int, list[tuple[str, int, str, bytes]]] = {}
    for raw in dict.fromkeys(raws):
        sealed = reading.parse(raw)
        for entry in sealed.entries():
            ms = entry[2] if sealed.header.body == 1 else sealed.header.stamp[1]
            told = (track.entry_digest(entry).hex(), ms, sealed.header.log_id.hex())
            found.setdefault(entry[1], []).append((*told, sealed.chain_hash()))
    return found
