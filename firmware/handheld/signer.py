"""The device log key in software: deterministic ES256 (RFC 6979) with a private key from nv.

A board with a secure element puts its own object with `kid`, `public` and `sign` in its place.
"""

from handheld import SIGNING, forget


class Signer:
    """private: 32 bytes. kid: 8 bytes, public: x || y, 64 bytes. ValueError: not a key."""

    def __init__(self, private):
        from ronda_protocol import cose, p256

        if not p256.valid_private(private):
            raise ValueError("key")
        self._private = private
        self.public = p256.public_key(private)
        self.kid = cose.kid(self.public)
        forget(*SIGNING)

    def sign(self, digest):
        """r || s, 64 bytes, low s, over a 32-byte digest."""
        from ronda_protocol import p256

        return p256.sign(self._private, digest)
