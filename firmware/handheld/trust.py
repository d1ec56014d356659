"""The trust pack as this handheld believes it: which keys the pinned root lists, for which role.

The root's thumbprint is in `nv` since provisioning; everything else is learnt from the one pack.
Revoking and rotating is the root's business, done by a pack with a higher version.
"""

from ronda_protocol import cose, p256, pack

from handheld import packs


class Trust:
    """No key is believed until load() succeeded. `future`: names of what was accepted although
    it is not valid yet (profile sim only): the app writes them to the log.

    device: whose scope counts, the board's own unless it is just being provisioned."""

    def __init__(self, board, device=None):
        self._board = board
        self.device = device or board.ident.device_id
        self.manifest = None
        self.future = []
        self._keys = []

    def load(self, data=None):
        """Verify the pack on flash (or `data`, without keeping it); whether its version is new.

        PackError: nothing changed."""
        found = packs.read(self._board, pack.TRUST, data)
        root, keys = pack.decode_trust(found.body)
        if cose.thumbprint(root) != self._board.nv.get("root"):
            raise pack.PackError("root")
        if not cose.verify(found.sign1, root, p256.verify):
            raise pack.PackError("signature")
        fresh = packs.admit(self._board, self.device, found.manifest, data is None)
        self.manifest, self._keys = found.manifest, keys
        return fresh

    def in_time(self, first, last, now, name):
        """Whether `now` (unix seconds, None = no trusted time) is in [first, last].

        Without a trusted time nothing has ended yet. What begins later is refused, but by the
        sim, which replays receivers' logs older than its keys: accepted and flagged."""
        if now is None or first <= now + packs.SKEW_S and now <= last:
            return True
        if now > last or self._board.ident.profile != "sim":
            return False
        if name not in self.future:
            self.future.append(name)
        return True

    def valid(self, manifest, now):
        """Whether a pack's validity covers `now`."""
        name = pack.TYPE_NAMES[manifest.pack_type]
        return self.in_time(manifest.not_before, manifest.not_after, now, name)

    def key(self, kid, role, now):
        """The public key (64 bytes) of that kid if it has that role at `now`, else None."""
        if self.manifest is None or not self.valid(self.manifest, now):
            return None
        for found, public, its_role, first, last, revoked in self._keys:
            if found == kid and its_role == role and not revoked:
                return public if self.in_time(first, last, now, "key") else None
        return None
