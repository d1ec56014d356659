"""The cases of protocol/vectors/cbor.json: encodings by cbor2, refusals written by hand."""

from typing import Any

import cbor2


def value_of(plain: Any) -> Any:
    """The Python value of the vectors' JSON notation; maps sorted as RFC 8949 §4.2.1 says."""
    if isinstance(plain, list):
        return [value_of(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    [(kind, content)] = plain.items()
    if kind == "int":
        return int(content)
    if kind == "bytes":
        return bytes.fromhex(content)
    if kind == "tag":
        return cbor2.CBORTag(content[0], value_of(content[1]))
    assert kind == "map"
    pairs = [(value_of(key), value_of(item)) for key, item in content]
    return dict(sorted(pairs, key=lambda pair: cbor2.dumps(pair[0])))


def encoded(plain: Any) -> str:
    """Hex of cbor2's encoding; its own canonical mode orders keys by length (RFC 7049)."""
    return cbor2.dumps(value_of(plain)).hex()


def nested(depth: int) -> Any:
    """`depth` arrays around a 0."""
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def vectors() -> dict[str, Any]:
    """Values with their one encoding, sequences, refused bytes and refused values."""
    integers = [0, 1, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53 - 1]
    values: list[tuple[str, Any]] = [(f"integer {n}", n) for n in integers]
    values += [(f"integer {-1 - n}", -1 - n) for n in integers]
    for n in (2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**53) - 1, -(2**63), -(2**64)):
        values.append((f"integer {n}", {"int": str(n)}))
    values += [("false", False), ("true", True), ("null", None)]
    values += [
        (f"{size} bytes", {"bytes": bytes(range(256)).hex()[: 2 * size] + "00" * (size - 256)})
        for size in (0, 1, 23, 24, 255, 256)
    ]
    values += [
        (f"text of {size} ASCII characters", "r" * size) for size in (0, 1, 23, 24, 255, 256)
    ]
    values += [
        ("text of two, three and four bytes", "ñ€😀"),
        ("the last of two bytes, the first of three", "\u07ff\u0800"),
        ("around the surrogates", "\ud7ff\ue000"),
        ("the first of four bytes, the last of all", "\U00010000\U0010ffff"),
        ("text with a NUL", "a\0b"),
        ("empty array", []),
        ("array of 24", list(range(24))),
        ("nested arrays", [1, [2, [3]], []]),
        ("eight arrays, the deepest allowed", nested(8)),
        ("empty map", {"map": []}),
        (
            "map keys by encoded bytes, not by length",
            {"map": [[-1, 1], [100, 2], [10, 3], [24, 4]]},
        ),
        (
            "map keys of every kind",
            {"map": [["b", 1], ["", 2], ["a", 3], [-1, 4], [7, 5], ["aa", 6], [-25, 7]]},
        ),
        ("map of 24", {"map": [[23 - n, n] for n in range(24)]}),
        ("map in map", {"map": [[1, {"map": [[2, {"map": [[3, None]]}]]}]]}),
        ("tag 18", {"tag": [18, [{"bytes": "a0"}, {"map": []}, None]]}),
        ("a fix entry", [1, 4711, 86400000, -121200000, -770300000, 9, 12, 3, None]),
    ]
    two = [1, {"map": [[1, "x"]]}, {"bytes": "00ff"}]
    lengths: list[int] = []
    for item in two:
        lengths.append((lengths[-1] if lengths else 0) + len(encoded(item)) // 2)
    wide = encoded(list(range(10)))
    refused: list[tuple[str, str, str, dict[str, int]]] = [
        (name, data.replace(" ", ""), code, {}) for name, data, code in REFUSED_CBOR
    ]
    refused += [
        ("an array within an array where one is allowed", "818100", "depth", {"max_depth": 1}),
        ("eleven items where ten are allowed", wide, "items", {"max_items": 10}),
        ("three items where two are allowed", "a10102", "items", {"max_items": 2}),
        ("two bytes where one is allowed", "1818", "size", {"max_len": 1}),
    ]
    return {
        "about": "Deterministic CBOR (RFC 8949 §4.2.1) as protocol/WIRE.md narrows it. In values, "
        '{"int": decimal}, {"bytes": hex}, {"map": pairs in any order} and {"tag": [18, value]} '
        "stand for what JSON lacks; everything else is itself.",
        "made_by": "python tests/make_crypto_vectors.py; "
        "encodings by cbor2 with sorted keys, refusals by hand",
        "values": [{"name": n, "value": v, "hex": encoded(v)} for n, v in values],
        "sequences": [{"values": two, "hex": "".join(map(encoded, two)), "ends": lengths}],
        "refused": [
            {"name": n, "hex": h, "code": c, **({"limits": limits} if limits else {})}
            for n, h, c, limits in refused
        ],
        "unencodable": [
            {"name": "a float", "value": 1.5, "code": "float"},
            {"name": "2^64", "value": {"int": str(2**64)}, "code": "range"},
            {"name": "-2^64 - 1", "value": {"int": str(-(2**64) - 1)}, "code": "range"},
            {"name": "tag 17", "value": {"tag": [17, 0]}, "code": "tag"},
            {"name": "a map with a key true", "value": {"map": [[True, 1]]}, "code": "key"},
            {
                "name": "a map with a key of bytes",
                "value": {"map": [[{"bytes": "61"}, 1]]},
                "code": "key",
            },
            {"name": "a map with a key null", "value": {"map": [[None, 1]]}, "code": "key"},
            {"name": "nine arrays", "value": nested(9), "code": "depth"},
        ],
    }


REFUSED_CBOR = [
    ("nothing", "", "truncated"),
    ("argument of one byte missing", "18", "truncated"),
    ("argument of eight bytes cut", "1b00000000000000", "truncated"),
    ("byte string cut", "4201", "truncated"),
    ("text cut", "6361", "truncated"),
    ("byte string of 2^64 - 1 bytes claimed", "5bffffffffffffffff", "truncated"),
    ("text of 2^31 bytes claimed", "7a80000000", "truncated"),
    ("array of 2^64 - 1 items claimed", "9bffffffffffffffff 00", "truncated"),
    ("map of 2^63 pairs claimed", "bb8000000000000000 0000", "truncated"),
    ("array one item short", "8201", "truncated"),
    ("map without its last value", "a10100"[:4], "truncated"),
    ("tag without content", "d2", "truncated"),
    ("a second value", "0000", "trailing"),
    ("a break after a value", "00ff", "trailing"),
    ("23 in two bytes", "1817", "non-minimal"),
    ("255 in three bytes", "1900ff", "non-minimal"),
    ("65535 in five bytes", "1a0000ffff", "non-minimal"),
    ("2^32 - 1 in nine bytes", "1b00000000ffffffff", "non-minimal"),
    ("-24 in two bytes", "3817", "non-minimal"),
    ("length 1 in two bytes", "580100", "non-minimal"),
    ("text length 0 in two bytes", "7800", "non-minimal"),
    ("array count 1 in two bytes", "980100", "non-minimal"),
    ("map count 1 in three bytes", "b900010000", "non-minimal"),
    ("tag 18 in two bytes", "d81200", "non-minimal"),
    ("byte string without length", "5f4100ff", "indefinite"),
    ("text without length", "7f6161ff", "indefinite"),
    ("array without length", "9f00ff", "indefinite"),
    ("map without length", "bf0000ff", "indefinite"),
    ("a break alone", "ff", "indefinite"),
    ("additional information 31 of an integer", "1f", "indefinite"),
    ("additional information 28", "1c", "range"),
    ("additional information 29 of a text", "7d", "range"),
    ("additional information 30 of a simple value", "fe", "range"),
    ("a key twice", "a201000101", "duplicate"),
    ("a text key twice", "a2616100616101", "duplicate"),
    ("keys descending", "a202000100", "order"),
    ("keys by length, not by bytes (RFC 7049)", "a22000186400", "order"),
    ("a byte string as key", "a1416100", "key"),
    ("a key of null", "a1f600", "key"),
    ("a key of true", "a1f500", "key"),
    ("an array as key", "a1800000", "key"),
    ("a map as key", "a1a00000", "key"),
    ("a tagged key", "a1d20000", "key"),
    ("a float as key", "a1f9000000", "key"),
    ("tag 0 (date)", "c0613a", "tag"),
    ("tag 2 (bignum)", "c2490100000000000000 00", "tag"),
    ("tag 17 (COSE_Mac0)", "d180", "tag"),
    ("tag 55799 (self-described)", "d9d9f700", "tag"),
    ("undefined", "f7", "simple"),
    ("simple 0", "e0", "simple"),
    ("simple 32 in two bytes", "f820", "simple"),
    ("half float", "f93c00", "float"),
    ("single float", "fa3f800000", "float"),
    ("double float", "fb3ff0000000000000", "float"),
    ("double float cut", "fb3ff0", "float"),
    ("a continuation byte alone", "6180", "utf8"),
    ("two bytes, the second missing", "61c3", "utf8"),
    ("two bytes, the second ASCII", "62c341", "utf8"),
    ("NUL in two bytes (overlong)", "62c080", "utf8"),
    ("three bytes, overlong", "63e09fbf", "utf8"),
    ("a surrogate", "63eda080", "utf8"),
    ("the last surrogate", "63edbfbf", "utf8"),
    ("four bytes, overlong", "64f08fbfbf", "utf8"),
    ("above U+10FFFF", "64f4908080", "utf8"),
    ("a byte that never occurs", "61f5", "utf8"),
    ("five bytes", "65f888808080", "utf8"),
    ("a bad text as map key", "a161ff00", "utf8"),
    ("nine arrays", "81" * 9 + "00", "depth"),
    ("nine tags 18", "d2" * 9 + "00", "depth"),
    ("nine maps", "a100" * 9 + "00", "depth"),
    ("64 arrays and nothing in them", "81" * 64, "depth"),
]
