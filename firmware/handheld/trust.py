"""What this handheld believes: which keys the pinned root lists in its trust pack, for which role.

The root's thumbprint is in `nv` since provisioning; everything else is learnt from the one pack.
Revoking and rotating is the root's business, done by a pack with a higher version. Reading and
verifying the pack is packs.py's, which is not always there.
"""

from micropython import const

_SKEW_S = const(120)  # a clock this far behind the signer's does not make anything "future"


class Trust:
    """No key is believed before use(). `future`: names of what was accepted although
    it is not valid yet (profile sim only): the app writes them to the log.

    device: whose scope counts, the board's own unless it is just being provisioned."""

    def __init__(self, board, device=None):
        self.board = board
        self.device = device or board.ident.device_id
        self.window = None  # [not before, not after] of the trust pack
        self.keys = []  # [kid, public key, role, not before, not after, revoked]
        self.root = None  # the root's public key, which the trust pack told and nv pins
        self.future = []

    def use(self, found):
        """Believe a verified trust pack: (window, keys, root), as packs.load gives it."""
        self.window, self.keys, self.root = found

    def in_time(self, first, last, now, name):
        """Whether `now` (unix seconds, None = no trusted time) is in [first, last].

        Without a trusted time nothing has ended yet. What begins later is refused, but by the
        sim, which replays receivers' logs older than its keys: accepted and flagged."""
        if now is None or first <= now + _SKEW_S and now <= last:
            return True
        if now > last or self.board.ident.profile != "sim":
            return False
        if name not in self.future:
            self.future.append(name)
        return True

    def key(self, kid, role, now):
        """The public key (64 bytes) of that kid if it has that role at `now`, else None."""
        if self.window and self.in_time(self.window[0], self.window[1], now, "trust"):
            for found, public, its_role, first, last, revoked in self.keys:
                if found == kid and its_role == role and not revoked:
                    return public if self.in_time(first, last, now, "key") else None
        return None
