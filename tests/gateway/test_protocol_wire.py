"""Segments, visits, receipts and packs against the reference, and that no bytes break them."""

import re
from pathlib import Path
from typing import Any

import make_wire_vectors
import pytest
import segment_cases
import visit_cases
import wire_reference as ref
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st
from p256_cases import accepts
from ronda_protocol import (
    bodies,
    cbor,
    chunk,
    correction,
    cose,
    fence,
    issuing,
    pack,
    reading,
    receipt,
    segment,
    track,
    visit,
)
from ronda_protocol.bounds import WireError

WIRE = Path(__file__).resolve().parents[2] / "protocol" / "WIRE.md"
MINE = (
    "Signed payloads",
    "Segment",
    "Track",
    "Visit",
    "Correction",
    "Receipt",
    "Pack",
    "Chunk",
    "Fence",
    "Sizes",
)
TOP_MS = 90071992547409


@pytest.mark.parametrize("path", sorted(make_wire_vectors.files()), ids=lambda path: path.name)
def test_committed_files_are_what_the_reference_says(path: Path) -> None:
    """Vectors equal what tests/make_wire_vectors.py computes without our code."""
    assert path.read_text(encoding="utf-8") == make_wire_vectors.files()[path]


# --- what entries may be ---

uints = st.integers(0, 2**32 - 1)
latitudes, longitudes = st.integers(-900000000, 900000000), st.integers(-1800000000, 1800000000)
motion = st.tuples(st.integers(0, 65535), st.integers(0, 359), st.integers(-99999, 99999))
signal = st.tuples(*[st.integers(0, 255)] * 3)
nothing = st.just((None, None, None))
qualities = st.none() | st.builds(
    lambda a, b, flags: [*a, *b, flags], nothing | motion, nothing | signal, st.integers(0, 65535)
)
quantities = st.tuples(st.integers(1, 255), st.integers(0, 15), st.integers(1, 3))
near = st.tuples(st.integers(7, 9), st.integers(9, 11), st.just(3))
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
data = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=9) | texts,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
).filter(lambda value: depth(value) < 5)
steps = st.integers(0, 3) | st.just(150) | st.integers(0, 10**6)
moves = st.tuples(st.integers(-2000, 2000), st.integers(-2000, 2000)) | st.tuples(
    latitudes, longitudes
)


def depth(value: Any) -> int:
    """How many lists are nested."""
    return 1 + max([0, *map(depth, value)]) if isinstance(value, list) else 0


@st.composite
def fixes(draw: st.DrawFn, most: int = 12) -> tuple[int, list[ref.Fix]]:
    """A base and fixes that walk, jump and stand."""
    base = draw(st.integers(0, TOP_MS - 10**8)) * 100
    ms, lat, lon = base, draw(latitudes), draw(longitudes)
    out: list[ref.Fix] = []
    for _ in range(draw(st.integers(0, most))):
        ms += 100 * draw(steps)
        dlat, dlon = draw(moves)
        lat = max(-900000000, min(900000000, lat + dlat))
        lon = max(-1800000000, min(1800000000, lon + dlon))
        out.append([1, 0, ms, lat, lon, *draw(near | quantities), draw(qualities)])
    return base, out


@st.composite
def entries(draw: st.DrawFn) -> tuple[int, list[ref.Fix]]:
    """A base and entries of every kind, numbered with gaps."""
    base, found = draw(fixes(6))
    for _ in range(draw(st.integers(0 if found else 1, 4))):
        ms = base + 100 * draw(st.integers(0, 2**20))
        if draw(st.booleans()):
            percent = draw(st.none() | st.integers(0, 100))
            row = [2, 0, ms, draw(st.integers(0, 65535)), percent, draw(st.integers(0, 255))]
        else:
            row = [3, 0, ms, draw(st.integers(1, 65535)), draw(data)]
        found.insert(draw(st.integers(0, len(found))), row)
    number = draw(st.integers(0, 2**31))
    for entry in found:
        number += 1 + draw(st.just(0) | st.integers(0, 1000))
        entry[1] = number
    return base, found


@settings(max_examples=500, deadline=None)
@given(fixes())
def test_fixes_pack_as_the_reference_does(drawn: tuple[int, list[ref.Fix]]) -> None:
    """The same bytes, and back."""
    base, found = drawn
    packed = track.pack_fixes(found, base)
    assert packed == ref.fixes_string(found, base)
    assert reading.unpack_fixes(packed, base) == found


@settings(max_examples=300, deadline=None)
@given(entries())
def test_tracks_encode_as_the_reference_does(drawn: tuple[int, list[ref.Fix]]) -> None:
    """The same bytes, back in order of number, and digests of the canonical CBOR."""
    base, found = drawn
    part = track.encode_track(found, base)
    assert part == ref.track_part(found, base)
    numbers = [entry[1] for entry in found]
    assert reading.decode_track(part, numbers, base) == found
    assert segment.ranges(numbers) == ref.flat(numbers)
    assert segment.expand(segment.ranges(numbers)) == numbers
    assert track.entry_digest(found[0]) == ref.sha256(ref.dumps(found[0]))


# --- segments ---


class Signer:
    """cryptography behind the contract of cose.sign."""

    kid = ref.DEVICE.kid
    key = ec.derive_private_key(ref.DEVICE.private, ec.SECP256R1())

    def sign(self, digest: bytes) -> bytes:
        """r || s, high half of the time."""
        r, s = decode_dss_signature(self.key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify_digest(public: bytes, digest: bytes, signature: bytes) -> bool:
    """cryptography's verification."""
    return accepts(
        public,
        digest,
        int.from_bytes(signature[:32], "big"),
        int.from_bytes(signature[32:], "big"),
    )


ids = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=3, max_size=24)
stamps = st.builds(
    lambda boot, ds, utc, uncertainty: [
        boot,
        ds * 100,
        utc and utc[0],
        utc[1] if utc else 0,
        uncertainty,
    ],
    uints,
    st.integers(0, TOP_MS),
    st.none() | st.tuples(st.integers(0, 2**34 - 1), st.integers(1, 3)),
    uints,
)
hashes32 = st.binary(min_size=32, max_size=32)
octets8 = st.binary(min_size=8, max_size=8)


@settings(max_examples=100, deadline=None)
@given(
    ids,
    texts,
    octets8,
    st.integers(2, 2**32 - 1),
    hashes32,
    stamps,
    st.integers(1, 2**32 - 1),
    st.dictionaries(st.sampled_from([3, 4]), st.binary(max_size=60)),
    st.integers(0, 10**6),
)
def test_segments_round_trip_and_no_flipped_bit_passes(  # noqa: PLR0917
    device: str,
    version: str,
    log_id: bytes,
    seq: int,
    prev: bytes,
    stamp: list[Any],
    number: int,
    more: dict[int, bytes],
    bit: int,
) -> None:
    """Sealed with a random-k signer; changed in one bit it is refused or does not verify."""
    parts = {2: b"evidence", **more}
    numbers = [number, 1]
    header = segment.Header(device, version, bytes(16), log_id, seq, prev, stamp, numbers, 2)
    sealed = segment.seal(header, parts, Signer())
    found = reading.parse(sealed)
    assert cose.verify(found.sign1, ref.DEVICE.public, verify_digest)
    assert found.parts == parts
    fields: dict[str, Any] = {
        "device": device,
        "fw_version": version,
        "fw_hash": bytes(16),
        "log_id": log_id,
        "seq": seq,
        "prev": prev,
        "stamp": stamp,
        "numbers": numbers,
        "body": 2,
        "parts": {n: ref.sha256(part) for n, part in parts.items()},
        "previous_log": "absent",
    }
    assert found.sign1.payload == ref.dumps(ref.header_map(**fields))
    assert found.chain_hash() == ref.DEVICE.chain_hash(found.sign1.payload)
    assert reading.outline(found.sign1.payload) == (1, device, log_id, seq, prev)
    at = bit % (8 * len(sealed))
    flipped = bytearray(sealed)
    flipped[at >> 3] ^= 1 << (at & 7)
    try:
        changed = reading.parse(bytes(flipped))
    except segment.SegmentError:
        return
    assert not cose.verify(changed.sign1, ref.DEVICE.public, verify_digest)


# --- no bytes break a decoder ---


def seeds() -> list[bytes]:
    """Valid bytes of every kind."""
    chain = segment_cases.chain()
    found = [bytes.fromhex(case["sealed"]) for case in chain]
    found += [bytes.fromhex(case["payload"]) for case in chain]
    for case in chain:
        found += [bytes.fromhex(part) for part in case["parts"].values()]
    for name in ("correction", "receipt", "pack", "chunk"):
        text = (make_wire_vectors.VECTORS / f"{name}.json").read_text(encoding="utf-8")
        found += [bytes.fromhex(item) for item in re.findall(r'"([0-9a-f]{60,900})"', text)]
    return found


SEEDS = seeds()


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Valid bytes with a slice replaced, doubled or moved; or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    raw = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 3))):
        i = draw(st.integers(0, len(raw)))
        j = draw(st.integers(i, min(len(raw), i + 8)))
        middle = draw(st.binary(max_size=4) | st.just(raw[i:j] * 2) | st.just(b""))
        raw = raw[:i] + middle + raw[j:]
    return raw


@settings(max_examples=800, deadline=None)
@given(mutated())
def test_any_bytes_give_a_value_or_a_named_error(raw: bytes) -> None:
    """Every decoder on every kind of damaged message; what is accepted has one encoding."""
    decoders: list[tuple[Any, Any]] = [
        (reading.parse, lambda v: segment.assemble(v.signed, v.parts)),
        (segment.Header.parse, segment.Header.payload),
        (reading.outline, None),
        (lambda data: reading.decode_track(data, list(range(1, 11)), 60000), None),
        (lambda data: reading.unpack_fixes(data, 60000), lambda v: track.pack_fixes(v, 60000)),
        (reading.decode_evidence, visit.encode_evidence),
        (reading.decode_answers, lambda v: visit.encode_answers(*v)),
        (reading.decode_promise, lambda v: visit.encode_promise(*v)),
        (correction.decode, None),
        (receipt.decode_receipt, None),
        (receipt.decode_resend, None),
        (pack.parse, None),
        (pack.Manifest.parse, None),
        (bodies.decode_trust, None),
        (pack.decode_cases, None),
        (bodies.decode_config, None),
        (chunk.decode, lambda v: chunk.encode(*v)),
    ]
    for decode, encode in decoders:
        try:
            value = decode(raw)
        except WireError as error:
            assert re.fullmatch("[a-z_0-9-]+", error.code)
            continue
        if encode:
            assert encode(value) == raw


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**64), 2**64 - 1)
        | st.binary(max_size=40)
        | texts,
        lambda inner: (
            st.lists(inner, max_size=6) | st.dictionaries(st.integers(0, 20), inner, max_size=14)
        ),
        max_leaves=30,
    )
)
def test_any_cbor_value_too(value: Any) -> None:
    """Well-formed CBOR of the wrong shape."""
    try:
        raw = cbor.encode(value)
    except cbor.CborError:
        return
    test_any_bytes_give_a_value_or_a_named_error.hypothesis.inner_test(raw)  # type: ignore[attr-defined]


fence_values = st.none() | st.booleans() | st.integers(-(2**33), 2**33) | texts


@settings(max_examples=500, deadline=None)
@given(
    st.lists(fence_values, max_size=5)
    | st.tuples(st.just(0), latitudes, longitudes, st.integers(90, 20010)).map(list),
    st.lists(
        st.tuples(latitudes, longitudes, st.integers(0, 256), st.integers(0, 9)), max_size=10
    ),
    st.integers(0, 10001),
)
def test_any_fence_gives_a_verdict_or_a_named_error(
    place: list[Any], drawn: list[tuple[int, int, int, int]], uere: int
) -> None:
    """And the verdict is the reference's."""
    try:
        found = fence.verdict(place, drawn, uere)
    except fence.FenceError as error:
        assert error.code in ("fence", "radius", "pole", "fix", "uere")
        return
    assert found == ref.fence_case("", place, [list(fix) for fix in drawn], uere)["verdict"]


# --- evidence, receipts, packs ---


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([1, 2, 3]), texts, stamps, fixes(8), st.integers(0, 2), st.booleans())
def test_evidence_encodes_as_the_reference_does(  # noqa: PLR0917
    ended: int,
    case_id: str,
    stamp: list[Any],
    drawn: tuple[int, list[ref.Fix]],
    quality: int,
    with_close: bool,
) -> None:
    """The same bytes, and back by name."""
    base, found = drawn
    found = [fix for fix in found if fix[2] - base <= 60000]
    stamp = [stamp[0], (found[-1][2] if found else base), *stamp[2:]]
    more: dict[str, Any] = {}
    if ended != 1 or not with_close:
        more = {"close_fixes": "absent", "close_verdict": "absent"}
    if ended != 1:
        more.update({"close": "absent", "outcome": "absent"})
    fields = visit_cases.evidence(
        ended=ended,
        case_id=case_id,
        place=[1, quality, 0, 1, 2, 300],
        check_in=stamp,
        check_in_fixes=visit.pack_window(found, stamp[1]),
        opened=0 if ended == 3 else 2,
        **more,
    )
    part = visit.encode_evidence(fields)
    names = visit_cases.NAMES
    assert part == ref.dumps({names.index(name) + 1: value for name, value in fields.items()})
    assert reading.decode_evidence(part) == fields
    assert reading.unpack_window(fields["check_in_fixes"], stamp[1]) == found


@settings(max_examples=200, deadline=None)
@given(
    ids,
    octets8,
    st.integers(1, 2**31),
    hashes32,
    st.lists(st.tuples(st.integers(2, 99), st.integers(0, 99), hashes32), max_size=4),
    st.dictionaries(st.integers(1, 2**32 - 1), st.integers(1, 3), max_size=5),
    st.integers(0, 2**34 - 1),
    octets8,
)
def test_receipts_encode_as_the_reference_does(  # noqa: PLR0917
    device: str,
    log_id: bytes,
    upto: int,
    head: bytes,
    drawn: list[tuple[int, int, bytes]],
    disposed: dict[int, int],
    now: int,
    nonce: bytes,
) -> None:
    """The same bytes, and back."""
    ranges: list[list[Any]] = []
    low = upto
    for gap, length, last in drawn:
        ranges.append([low + gap, low + gap + length, last])
        low += gap + length
    dispositions = [[seq, disposed[seq]] for seq in sorted(disposed)]
    payload = issuing.encode_receipt(device, log_id, upto, head, ranges, dispositions, now, nonce)
    value = {0: 2, 1: 1, 2: device, 3: log_id, 4: upto, 5: head, 8: now, 9: nonce}
    value.update({6: ranges} if ranges else {})
    value.update({7: dispositions} if dispositions else {})
    assert payload == ref.dumps(value)
    found = receipt.decode_receipt(payload)
    assert (found.ranges, found.dispositions, found.now) == (ranges, dispositions, now)


# --- the document ---


def sections() -> dict[str, str]:
    """WIRE.md by its second-level headings."""
    parts = re.split(r"^## ", WIRE.read_text(encoding="utf-8"), flags=re.M)
    return {part.split("\n")[0]: part for part in parts[1:]}


def test_annotated_bytes_in_wire_md_are_vectors() -> None:
    """Each ```hex block of these sections is found in a vector, byte for byte."""
    known = "\n".join(path.read_text(encoding="utf-8") for path in make_wire_vectors.files())
    blocks = 0
    for name in MINE:
        for block in re.findall(r"^```hex\n(.*?)^```", sections()[name], flags=re.M | re.S):
            shown = re.sub(r"\s", "", "".join(line.split("#")[0] for line in block.splitlines()))
            assert f'"{shown}' in known, block
            blocks += 1
    assert blocks >= 5


def test_the_sizes_in_wire_md_are_measured() -> None:
    """Each line of the table of sizes."""
    text = sections()["Sizes"]
    for case in segment_cases.measured():
        row = next(line for line in text.splitlines() if line.startswith(f"| {case['name']} |"))
        assert f"| {case['sealed']} |" in row, row


def test_every_event_is_in_wire_md() -> None:
    """The table of events names each code that the vectors know."""
    found = (make_wire_vectors.VECTORS / "track.json").read_text(encoding="utf-8")
    for code, name in re.findall(r"\[(\d+), \"([a-z_]+)\"\]", found):
        assert f"| {code} | `{name}` |" in sections()["Track"], name


def test_every_error_code_is_in_wire_md() -> None:
    """The codes in the docstring of each error, in the section of its module."""
    table = [
        ("Track", track.TrackError),
        ("Segment", segment.SegmentError),
        ("Visit", visit.VisitError),
        ("Correction", correction.CorrectionError),
        ("Receipt", receipt.ReceiptError),
        ("Pack", pack.PackError),
        ("Chunk", chunk.ChunkError),
        ("Fence", fence.FenceError),
    ]
    for section, error in table:
        said = re.sub(r"\([^)]*\)", "", (error.__doc__ or "").split("Codes:")[1])
        for code in re.findall(r"[a-z-]+…?", said.split(", or the")[0]):
            assert f"`{code}`" in sections()[section], (section, code)
