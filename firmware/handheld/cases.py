"""The cases of today's round, from the body of a verified cases pack. Verifies nothing itself.

Each case is kept as its CBOR, a fifth of what its dict takes.
"""

from ronda_protocol import cbor

_NAMES = ("case_id", "portfolio", "creditor", "place", "order", "currency")


class Cases:
    """`version` of the pack, `round_id`, `as_of` and `expires_at` in unix seconds."""

    def __init__(self, body, version):
        from ronda_protocol import pack  # the app drops it after the boot

        self.version = version
        self.round_id, self.as_of, self.expires_at, cases = pack.decode_cases(body)
        cases.sort(key=lambda case: case["order"])
        self._ids = [case["case_id"] for case in cases]
        self._cases = [cbor.encode([case[name] for name in _NAMES]) for case in cases]

    def ids(self):
        """Case ids in the order of the round."""
        return self._ids

    def get(self, case_id):
        """The case as a dict (case_id, portfolio, creditor, place, order, currency), or None."""
        if case_id not in self._ids:
            return None
        values = cbor.decode(self._cases[self._ids.index(case_id)])
        return {_NAMES[i]: values[i] for i in range(6)}
