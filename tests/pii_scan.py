"""Looks through raw bytes for what a debtor would not want found: on both VMs, in every spelling.

A word is looked for as UTF-8, UTF-16, in hexadecimal and in base64 at each of its three offsets; a
number as CBOR has it, big- and little-endian, and in digits, those too in each spelling. Case does
not matter to words in UTF-8.
"""

import binascii


def spellings(data):
    """The bytes themselves, hexadecimal, base64 wherever they begin in a longer text."""
    found = [data, binascii.hexlify(data), binascii.hexlify(data).upper()]
    for before in range(3):
        text = binascii.b2a_base64(bytes(before) + data)[:-1]
        begin, end = (before * 8 + 5) // 6, (before + len(data)) * 8 // 6
        found.append(text[begin:end])
    return found


def needles(words=(), numbers=()):
    """{spelling: what it spells} of texts and of whole numbers above 65535."""
    found = {}
    for word in words:
        raw = word.encode()
        wide = b"".join([bytes([c, 0]) for c in raw])
        forms = spellings(raw)
        forms += [wide, raw.upper(), raw.lower()]
        for form in forms:
            found[form] = word
    for number in numbers:
        size = 4 if number < 1 << 32 else 8
        forms = spellings(str(number).encode())
        forms += spellings(number.to_bytes(size, "big"))
        forms += spellings(number.to_bytes(size, "little"))
        for form in forms:
            found[form] = number
    assert min([len(form) for form in found]) >= 4  # shorter ones chance writes too
    return found


def scan(data, wanted):
    """What of `needles` stands in the bytes, each once."""
    return sorted({str(wanted[form]) for form in wanted if form in data})
