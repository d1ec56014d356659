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

# The best of the runs: what the machine does when nothing else is done on it.
most = verify_most = 0
sign_us = verify_us = 1 << 30
for digest in digests:
    start = time.ticks_us()
    signature = p256.sign(private, digest)
    sign_us = min(sign_us, time.ticks_diff(time.ticks_us(), start))
    most = max(most, p256.modmuls)
    signatures.append(signature)
for i in range(runs):
    start = time.ticks_us()
    assert p256.verify(public, digests[i], signatures[i + 1])
    verify_us = min(verify_us, time.ticks_diff(time.ticks_us(), start))
    verify_most = max(verify_most, p256.modmuls)

print(
    json.dumps(
        {
            "sign_ms": sign_us / 1000,
            "sign_modmuls": most,
            "verify_ms": verify_us / 1000,
            "verify_modmuls": verify_most,
        }
    )
)
