"""Reads protocol/vectors/*.json on CPython and in the VM, and makes its JSON notation values."""

import json
import os

from ronda_protocol import cbor


def load(name):
    """The parsed content of protocol/vectors/<name>.json."""
    root = os.getenv("RONDA_ROOT")
    if not root:
        root = __file__.replace("\\", "/").rsplit("/", 3)[0]
    with open(root + "/protocol/vectors/" + name + ".json", encoding="utf-8") as file:
        return json.load(file)


def value(plain):
    """The value that the notation of vectors/cbor.json stands for."""
    if isinstance(plain, list):
        return [value(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    for kind in plain:
        content = plain[kind]
        if kind == "int":
            return int(content)
        if kind == "bytes":
            return bytes.fromhex(content)
        if kind == "tag":
            return cbor.Tagged(content[0], value(content[1]))
        if kind == "map":
            return {value(key): value(item) for key, item in content}
    raise ValueError(plain)


def same(a, b):
    """Whether two decoded values are equal in kind and content (1, True and 1.0 differ)."""
    if type(a) is not type(b):
        return False
    if isinstance(a, cbor.Tagged):
        return a.tag == b.tag and same(a.value, b.value)
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(key in b and same(a[key], b[key]) for key in a)
    return a == b


class Chance:
    """Repeatable pseudo-random bytes, the same on both VMs (xorshift32)."""

    def __init__(self, seed):
        self.state = seed or 1

    def below(self, limit):
        """A number from 0 to limit - 1."""
        x = self.state
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x ^= (x << 5) & 0xFFFFFFFF
        self.state = x
        return (x >> 3) % limit

    def octets(self, count):
        """`count` bytes."""
        return bytes([self.below(256) for _ in range(count)])

    def damaged(self, data):
        """`data` with one to three bytes changed, removed, inserted or the end cut off."""
        data = bytearray(data)
        for _ in range(1 + self.below(3)):
            at = self.below(len(data) + 1)
            how = self.below(5)
            if how == 0:
                data[at:at] = self.octets(1 + self.below(2))
            elif how == 1:
                data = data[:at] + data[at + 1 :]
            elif how == 2 and self.below(4) == 0:
                data = data[:at]
            elif at < len(data):
                data[at] = self.below(256) if how == 3 else data[at] ^ (1 << self.below(8))
        return bytes(data)
