"""The gateway's one source of time: seconds for receipts, alerts and validity; never time-outs.

Time-outs, back-off and group waits use the wall's monotonic clock where they happen. A
conductor that owns simulated time hands the gateway another Clock.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """What the gateway asks for the time."""

    def now(self) -> int:
        """Unix time in whole seconds, UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> int:
        """Unix time in whole seconds, UTC."""
        return int(time.time())


def iso(unix: int) -> str:
    """RFC 3339 in UTC of a unix time, for CloudEvents; a year past 9999 becomes 9999's end."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(0, min(unix, 253402300799))))
