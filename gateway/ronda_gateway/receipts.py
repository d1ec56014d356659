"""Receipts: the gateway's signed word on what is durable. Built after the commit, never before.

Cumulative: one receipt a log and group says everything that is stored of that log.
"""

import os

from ronda_protocol import cose, issuing

from ronda_gateway.chain import LogState
from ronda_gateway.keys import Signer

# Bounds of one receipt, so that it stays well under the 4 KiB a handheld takes at once. Ranges
# left out are told when the ones before them have closed.
MAX_RANGES = 32
MAX_DISPOSITIONS = 64


def sealed_receipts(
    state: LogState, dispositions: dict[int, int], signer: Signer, now: int
) -> list[bytes]:
    """The COSE_Sign1 messages for down/<device>: one, or more when dispositions overflow it."""
    ranges = [[r.first, r.last, r.head] for r in state.beyond[:MAX_RANGES]]
    told = [[seq, code] for seq, code in sorted(dispositions.items())]
    slices = [
        told[at : at + MAX_DISPOSITIONS] for at in range(0, len(told), MAX_DISPOSITIONS)
    ] or [[]]
    return [
        cose.sign(
            issuing.encode_receipt(
                state.device,
                state.log_id,
                state.upto,
                state.head,
                ranges,
                some,
                now,
                os.urandom(8),
            ),
            signer,
        )
        for some in slices
    ]
