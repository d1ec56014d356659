"""amqtt as a broker process: `python amqtt_broker.py PORT`. The bad broker of the suites.

It keeps nothing over a restart, is slow, and loses what is in flight: that is what it is here for.
"""

from __future__ import annotations

import asyncio
import logging
import sys


async def main(port: int) -> None:
    """Serve until killed."""
    from amqtt.broker import Broker

    logging.disable(logging.CRITICAL)
    everybody = {"allow_anonymous": True}
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": everybody},
        }
    )
    await broker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
