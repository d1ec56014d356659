"""In the VM: ms a signature and a verification, and their multiplications. Argument: runs."""

import json
import sys
import time

from ronda_protocol import p256

runs = int(sys.argv[1])
private = bytes(range(1, 33))
public = p256.public_key(private)
digests = [bytes([i + 1]) * 32 for i in range(runs)]
signatures = [p256.sign(private, digests[0])]

start = time.ticks_us()
most = 0
for digest in digests:
    signatures.append(p256.sign(private, digest))
    most = max(most, p256.modmuls)
sign_us = time.ticks_diff(time.ticks_us(), start)

start = time.ticks_us()
verify_most = 0
for i in range(runs):
    assert p256.verify(public, digests[i], signatures[i + 1])
    verify_most = max(verify_most, p256.modmuls)
verify_us = time.ticks_diff(time.ticks_us(), start)

print(
    json.dumps(
        {
            "sign_ms": sign_us / runs / 1000,
            "sign_modmuls": most,
            "verify_ms": verify_us / runs / 1000,
            "verify_modmuls": verify_most,
        }
    )
)
