"""The cases of today's round, read one at a time from their pack on flash. Checks no signature.

The body lies there encrypted (vault). A round of two hundred would fill the heap, so what is kept
of it is where it lies. Its hash is compared at each reading: littlefs gives back a flipped bit
without a word.
"""

import hashlib

from handheld import forget


class Cases:
    """`version` of the pack, `round_id`, `as_of` and `expires_at` in unix seconds.

    path: the pack's file; at, length, sha256: its body. PackError: it is not what was signed, or
    no round's set, or nobody here can read it (unreadable)."""

    def __init__(self, board, path, at, length, sha256, version):  # noqa: PLR0917
        self._board, self.path, self.version = board, path, version
        self._at, self._length, self._sha256 = at, length, sha256
        for item in self._each():
            if type(item) is list:
                self.round_id, self.as_of, self.expires_at, _ = item

    def _each(self):
        """Yield what rounds.read_cases does; PackError("hash") at the end."""
        from ronda_protocol import rounds

        from handheld import vault

        digest = hashlib.sha256()
        with open(self.path, "rb") as f:
            f.seek(self._at)
            body = vault.Body(self._board, f)

            def read(n):
                data = body.read(n)
                digest.update(data)
                return data

            yield from rounds.read_cases(read, self._length)
        if digest.digest() != self._sha256:
            raise rounds.PackError("hash")

    def ids(self):
        """Case ids in the order of the round."""
        found = [(item["order"], item["case_id"]) for item in self._each() if type(item) is dict]
        forget("ronda_protocol.rounds", "handheld.vault")
        found.sort()
        return [item[1] for item in found]

    def get(self, case_id):
        """The case as a dict (case_id, portfolio, creditor, place, order, currency), or None.

        None too when the file cannot be read any more."""
        found = None
        try:
            for item in self._each():
                if type(item) is dict and item["case_id"] == case_id:
                    found = item
        except (OSError, ValueError):
            found = None
        forget("ronda_protocol.rounds", "handheld.vault")
        return found
