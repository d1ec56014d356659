"""protocol/ronda.cddl, held against bytes by zcbor: whether a message is what a rule says.

zcbor's own limits are made up for here: it stops reading after the first item, so `problem` looks
at what follows; it prints what it tried, which is swallowed; an empty array where a tag may stand
ends it with StopIteration. It checks `.cbor` only where it stands in the array or map itself, so
the file never hides it behind a name.
"""

import contextlib
import functools
import io
from pathlib import Path

import cbor2
from zcbor import CddlValidationError, DataTranslator

FILE = Path(__file__).resolve().parents[1] / "protocol" / "ronda.cddl"
_UNBOUNDED = 1 << 20
_REFUSALS = (CddlValidationError, cbor2.CBORDecodeError, StopIteration, ValueError, TypeError)


@functools.cache
def _rules() -> dict[str, DataTranslator]:
    return DataTranslator.from_cddl(FILE.read_text(encoding="utf-8"), _UNBOUNDED).my_types


def names() -> set[str]:
    """The names of all rules."""
    return set(_rules())


def problem(rule: str, data: bytes) -> str:
    """Why the bytes are not one CBOR item that the rule describes; "" when they are."""
    said = io.StringIO()
    try:
        stream = io.BytesIO(data)
        cbor2.load(stream)
        if stream.tell() != len(data):
            return "bytes follow the item"
        with contextlib.redirect_stdout(said):
            _rules()[rule].validate_str(data)
    except _REFUSALS as error:
        return f"{type(error).__name__}: {error}\n{said.getvalue()}"
    return ""


def as_array(sequence: bytes) -> bytes:
    """A CBOR sequence as the array of its items, as the file writes sequences."""
    stream = io.BytesIO(sequence)
    count = 0
    while stream.tell() < len(sequence):
        cbor2.load(stream)
        count += 1
    assert count < 24
    return bytes([0x80 + count]) + sequence
