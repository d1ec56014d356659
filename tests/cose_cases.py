"""The cases of protocol/vectors/cose.json: CBOR by cbor2, signatures by cryptography."""

from typing import Any

import cbor2
from p256_cases import RFC6979_KEY, N, octets, public_of, sha256, signature_vector

RFC9052_KEY = "57c92077664146e876760c9520d054aa93c3afb04e306705db6090308507b4d3"
# RFC 9052 appendix C.2.1: a good COSE_Sign1, in a form that Ronda refuses (kid unprotected).
RFC9052_MESSAGE = (
    "d28443a10126a10442313154546869732069732074686520636f6e74656e742e58408eb33e4ca31d1c465ab05aac"
    "34cc6b23d58fef5c083106c4d25a91aef0b0117e2af9a291aa32e14ab834dc56ed2a223444547e01f11d3b0916e5"
    "a4c345cacb36"
)


def key_of(public: bytes) -> bytes:
    """The canonical COSE_Key."""
    return cbor2.dumps({1: 2, -1: 1, -2: public[:32], -3: public[32:]})


def kid_of(public: bytes) -> bytes:
    """The first 8 bytes of the thumbprint."""
    return sha256(key_of(public))[:8]


def protected_of(public: bytes) -> bytes:
    """The protected header."""
    return cbor2.dumps({1: -7, 4: kid_of(public)})


def message_of(protected: Any, unprotected: Any, payload: Any, signature: Any) -> bytes:
    """A COSE_Sign1 of whatever is given."""
    return cbor2.dumps(cbor2.CBORTag(18, [protected, unprotected, payload, signature]))


def cose_message(name: str, private: int, payload: bytes) -> dict[str, Any]:
    """A signed message with every intermediate."""
    public = public_of(private)
    protected = protected_of(public)
    structure = cbor2.dumps(["Signature1", protected, b"", payload])
    vector = signature_vector(name, private, sha256(structure))
    signature = bytes.fromhex(vector["r"] + vector["low_s"])
    return {
        **vector,
        "kid": kid_of(public).hex(),
        "payload": payload.hex(),
        "protected": protected.hex(),
        "sig_structure": structure.hex(),
        "message": message_of(protected, {}, payload, signature).hex(),
    }


def refused_messages(good: dict[str, Any]) -> list[tuple[str, bytes, str]]:
    """Bytes that parse refuses: name, bytes, code."""
    raw = bytes.fromhex(good["message"])
    protected = bytes.fromhex(good["protected"])
    payload = bytes.fromhex(good["payload"])
    kid = bytes.fromhex(good["kid"])
    signature = bytes.fromhex(good["r"] + good["low_s"])
    high = bytes.fromhex(good["r"]) + octets(N - int(good["low_s"], 16))

    def header(value: Any) -> bytes:
        return message_of(cbor2.dumps(value), {}, payload, signature)

    def array(value: Any) -> bytes:
        return cbor2.dumps(cbor2.CBORTag(18, value))

    return [
        ("nothing", b"", "cbor-truncated"),
        ("cut by one byte", raw[:-1], "cbor-truncated"),
        ("cut in the middle", raw[: len(raw) // 2], "cbor-truncated"),
        ("a byte too many", raw + b"\0", "cbor-trailing"),
        ("no tag", raw[1:], "shape"),
        ("tag 98 (COSE_Sign)", b"\xd8\x62" + raw[1:], "cbor-tag"),
        ("tag 18 twice", b"\xd2" + raw, "shape"),
        ("an integer", b"\x00", "shape"),
        ("a tagged integer", b"\xd2\x00", "shape"),
        ("three fields", array([protected, {}, payload]), "shape"),
        ("five fields", array([protected, {}, payload, signature, b""]), "shape"),
        ("a map instead of the array", array({1: 2}), "shape"),
        ("protected header not wrapped", array([{1: -7}, {}, payload, signature]), "shape"),
        ("payload detached", message_of(protected, {}, None, signature), "shape"),
        ("payload a text", message_of(protected, {}, "payload", signature), "shape"),
        ("protected header empty", message_of(b"", {}, payload, signature), "cbor-truncated"),
        ("protected header an array", header([1, -7]), "protected"),
        ("protected header an empty map", header({}), "alg"),
        ("no alg", header({4: kid}), "alg"),
        ("alg ES384", header({1: -35, 4: kid}), "alg"),
        ("alg ESP256 (RFC 9864)", header({1: -9, 4: kid}), "alg"),
        ("alg as text", header({1: "ES256", 4: kid}), "alg"),
        ("no kid", header({1: -7}), "kid"),
        ("kid of 7 bytes", header({1: -7, 4: kid[:7]}), "kid"),
        ("kid of 9 bytes", header({1: -7, 4: kid + b"\0"}), "kid"),
        ("kid a text", header({1: -7, 4: "12345678"}), "kid"),
        ("content type too", header({1: -7, 3: 0, 4: kid}), "protected"),
        ("an unknown label too", header({1: -7, 4: kid, "x": 1}), "protected"),
        (
            "protected header not minimal",
            message_of(b"\xa2\x01\x26\x18\x04\x48" + kid, {}, payload, signature),
            "cbor-non-minimal",
        ),
        (
            "protected header not sorted",
            message_of(b"\xa2\x04\x48" + kid + b"\x01\x26", {}, payload, signature),
            "cbor-order",
        ),
        (
            "a byte after the protected header",
            message_of(protected + b"\0", {}, payload, signature),
            "cbor-trailing",
        ),
        (
            "kid unprotected too",
            message_of(protected, {4: kid}, payload, signature),
            "unprotected",
        ),
        ("unprotected null", message_of(protected, None, payload, signature), "unprotected"),
        ("unprotected an array", message_of(protected, [], payload, signature), "unprotected"),
        ("no signature", message_of(protected, {}, payload, b""), "signature"),
        ("63 bytes of signature", message_of(protected, {}, payload, signature[1:]), "signature"),
        (
            "65 bytes of signature",
            message_of(protected, {}, payload, signature + b"\0"),
            "signature",
        ),
        ("signature a text", message_of(protected, {}, payload, "s" * 64), "signature"),
        ("the other s", message_of(protected, {}, payload, high), "high-s"),
        ("s all ones", message_of(protected, {}, payload, b"\xff" * 64), "high-s"),
        (
            "s half of n, rounded up",
            message_of(protected, {}, payload, octets(1) + octets((N + 1) // 2)),
            "high-s",
        ),
        (
            "payload length not minimal",
            raw.replace(cbor2.dumps(payload), b"\x59" + len(payload).to_bytes(2, "big") + payload),
            "cbor-non-minimal",
        ),
        (
            "payload without length",
            raw.replace(cbor2.dumps(payload), b"\x5f" + cbor2.dumps(payload) + b"\xff"),
            "cbor-indefinite",
        ),
        ("RFC 9052 C.2.1: kid unprotected", bytes.fromhex(RFC9052_MESSAGE), "kid"),
    ]


def unverified_messages(good: dict[str, Any], other: bytes) -> list[tuple[str, bytes, bytes]]:
    """Bytes of the right form whose signature is wrong: name, bytes, public key."""
    public = bytes.fromhex(good["public"])
    protected = bytes.fromhex(good["protected"])
    payload = bytes.fromhex(good["payload"])
    signature = bytes.fromhex(good["r"] + good["low_s"])
    flipped = bytes([payload[0] ^ 1]) + payload[1:]

    def signed(part: bytes) -> bytes:
        return message_of(protected, {}, payload, part)

    return [
        ("payload changed", message_of(protected, {}, flipped, signature), public),
        ("payload one byte longer", message_of(protected, {}, payload + b"\0", signature), public),
        ("payload empty", message_of(protected, {}, b"", signature), public),
        ("another key's kid", message_of(protected_of(other), {}, payload, signature), public),
        (
            "another key's kid, that key",
            message_of(protected_of(other), {}, payload, signature),
            other,
        ),
        ("verified with another key", bytes.fromhex(good["message"]), other),
        ("r changed", signed(bytes([signature[0] ^ 1]) + signature[1:]), public),
        ("s changed", signed(signature[:63] + bytes([signature[63] ^ 1])), public),
        ("r = 0", signed(bytes(32) + signature[32:]), public),
        ("s = 0", signed(signature[:32] + bytes(32)), public),
        ("r = n", signed(octets(N) + signature[32:]), public),
        ("s half of n, rounded down", signed(octets(1) + octets(N // 2)), public),
        ("r = s = 1", signed(octets(1) + octets(1)), public),
    ]


def vectors() -> dict[str, Any]:
    """Messages with intermediates, refused and unverified ones, and keys."""
    one, two = int(RFC6979_KEY, 16), int(RFC9052_KEY, 16)
    header = cbor2.dumps({0: 3, 1: 1, 2: "demo-1", 3: bytes(range(8)), 4: 1, 5: 2, 6: bytes(8)})
    messages = [
        cose_message("a resend request", one, header),
        cose_message("empty payload", one, b""),
        cose_message("300 bytes", one, bytes(i * 7 & 255 for i in range(300))),
        cose_message("another key", two, b"This is the content."),
    ]
    publics = [("RFC 6979 A.2.5", public_of(one)), ("RFC 9052 C.2.1", public_of(two))]
    publics.append(("RFC 9679 §6", bytes.fromhex(RFC9679_KEY)))
    x, y = publics[0][1][:32], publics[0][1][32:]
    bad_keys = [
        ("nothing", b""),
        ("keys not sorted", b"\xa4\x01\x02\x21\x58\x20" + x + b"\x20\x01\x22\x58\x20" + y),
        ("with alg", cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})),
        ("with its private part", cbor2.dumps({1: 2, -1: 1, -2: x, -3: y, -4: octets(one)})),
        ("compressed", cbor2.dumps({1: 2, -1: 1, -2: x, -3: True})),
        ("P-384", cbor2.dumps({1: 2, -1: 2, -2: x, -3: y})),
        ("OKP", cbor2.dumps({1: 1, -1: 1, -2: x, -3: y})),
        ("x of 31 bytes", cbor2.dumps({1: 2, -1: 1, -2: x[1:], -3: y})),
        ("a byte too many", key_of(x + y) + b"\0"),
        ("cut", key_of(x + y)[:-1]),
        ("x || y alone", x + y),
    ]
    rfc = cbor2.loads(bytes.fromhex(RFC9052_MESSAGE)).value
    return {
        "about": "COSE_Sign1 with ES256 in the one form of protocol/WIRE.md. k and s are those of "
        "RFC 6979 before the low s that the message carries; sig_structure is RFC 9052 §4.4, "
        "digest its SHA-256. refused: parse says the code. unverified: parse takes it and verify "
        "with the public key given says no. foreign: somebody else's signature over a "
        "Sig_structure, good.",
        "made_by": "python tests/make_crypto_vectors.py; "
        "CBOR by cbor2, signatures by cryptography; RFC 9052, RFC 9679",
        "messages": messages,
        "refused": [
            {"name": n, "message": m.hex(), "code": c} for n, m, c in refused_messages(messages[0])
        ],
        "unverified": [
            {"name": n, "message": m.hex(), "public": p.hex()}
            for n, m, p in unverified_messages(messages[0], publics[1][1])
        ],
        "foreign": [
            {
                "name": "RFC 9052 C.2.1",
                "protected": rfc[0].hex(),
                "payload": rfc[2].hex(),
                "public": publics[1][1].hex(),
                "signature": rfc[3].hex(),
            }
        ],
        "keys": [
            {
                "name": n,
                "public": p.hex(),
                "cose_key": key_of(p).hex(),
                "thumbprint": sha256(key_of(p)).hex(),
                "kid": kid_of(p).hex(),
            }
            for n, p in publics
        ],
        "refused_keys": [{"name": n, "cose_key": k.hex(), "code": "key"} for n, k in bad_keys],
    }


RFC9679_KEY = (
    "65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d"
    "1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c"
)
