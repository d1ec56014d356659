"""Words for the screen, by code, read one at a time from a language's file beside this module.

A text is never in the heap before it is shown. The files are made from firmware/texts.toml at the
build: a count, (CRC-32 of the code, offset) ascending, then each text with its length in a byte.
"""

from binascii import crc32
from struct import unpack_from

LANGUAGES = ("es", "en")


class Texts:
    """The words of one language."""

    def __init__(self, language):
        self.use(language)

    def use(self, language):
        """Speak that language from now on; Spanish for one that is not there."""
        self.language = language if language in LANGUAGES else LANGUAGES[0]
        self._path = __file__.rsplit("/", 1)[0] + "/texts." + self.language

    def get(self, code, *values):
        """The text of a code, its {} filled in order; the code itself where there is none."""
        found = code
        try:
            with open(self._path, "rb") as f:
                found = _find(f, crc32(code.encode())) or code
        except OSError:
            pass
        return found.format(*values) if values else found


def _find(f, wanted):
    low, high = 0, unpack_from(">H", f.read(2))[0]
    while low < high:
        middle = (low + high) // 2
        f.seek(2 + middle * 6)
        key, at = unpack_from(">IH", f.read(6))
        if key == wanted:
            f.seek(at)
            return str(f.read(f.read(1)[0]), "utf-8")
        if key < wanted:
            low = middle + 1
        else:
            high = middle
    return None
