"""Whose word a message is: topic, header and key must name one device (trust.md, threat 19)."""

from desk_device import DeskDevice
from ronda_gateway import pipeline
from ronda_gateway.pipeline import Accepted, Device, Rejected
from ronda_protocol import cose


def known(*devices: DeskDevice) -> dict[str, Device]:
    """The enrolled devices, each with its own key."""
    return {d.id: Device(d.id, "enabled", {cose.kid(d.public): d.public}) for d in devices}


def test_ones_own_word_on_ones_own_topic() -> None:
    ana = DeskDevice("ana-01")
    raw = ana.seal_track(ana.entries())
    assert isinstance(pipeline.judge_bytes("ana-01", raw, known(ana).get), Accepted)


def test_anothers_segment_on_ones_own_topic() -> None:
    ana, bea = DeskDevice("ana-01"), DeskDevice("bea-01")
    raw = bea.seal_track(bea.entries())
    found = pipeline.judge_bytes("ana-01", raw, known(ana, bea).get)
    assert found == Rejected(pipeline.WRONG_TOPIC, "the header names bea-01")


def test_ones_own_key_under_anothers_name() -> None:
    """A valid signature of ana's, over a header that says bea: nobody's word, on either topic."""
    ana, bea = DeskDevice("ana-01"), DeskDevice("bea-01")
    ana.id = "bea-01"
    raw = ana.seal_track(ana.entries())
    ana.id = "ana-01"
    for topic in ("ana-01", "bea-01"):
        found = pipeline.judge_bytes(topic, raw, known(ana, bea).get)
        assert isinstance(found, Rejected) and found.reason == pipeline.WRONG_TOPIC


def test_the_right_kid_over_anothers_signature() -> None:
    ana, bea = DeskDevice("ana-01"), DeskDevice("bea-01")
    ana.signer = _Masked(ana, bea)  # type: ignore[assignment]
    raw = ana.seal_track(ana.entries())
    found = pipeline.judge_bytes("ana-01", raw, known(bea).get)
    assert isinstance(found, Rejected) and found.reason == pipeline.UNKNOWN_DEVICE
    devices = {"ana-01": Device("ana-01", "enabled", {cose.kid(bea.public): bea.public})}
    found = pipeline.judge_bytes("ana-01", raw, devices.get)
    assert isinstance(found, Rejected) and found.reason == pipeline.BAD_SIGNATURE


class _Masked:
    """Signs with one device's key under another's kid."""

    def __init__(self, signing: DeskDevice, named: DeskDevice) -> None:
        self._signer = signing.signer
        self.kid = cose.kid(named.public)

    def sign(self, digest: bytes) -> bytes:
        return self._signer.sign(digest)
