"""A tiny app in place of the handheld's: proves stepping, quiescence and the Board's parts."""

import asyncio

import board

the_board = board.make()
order = []


async def sleeper(name, first, period):
    """Sleep device time again and again, noting who woke when, through a chain of yields."""
    await the_board.sleep_ms(first)
    while True:
        for _ in range(5):
            await asyncio.sleep_ms(0)
        if len(order) < 40:
            order.append([name, the_board.ms])
        await the_board.sleep_ms(period)


async def reader(size):
    """Count what the receiver says and how often the UART ran dry."""
    buf = bytearray(size)
    while True:
        n = await the_board.gps.readinto(buf)
        totals["bytes"] += n
        totals["sum"] += sum(buf[:n])
        if n < size:
            totals["dry"] += 1
            if totals["dry"] < 40:
                totals["dry_at"].append(the_board.ms)


async def link():
    """A client that says hello whenever there is a link, and awaits an echo."""
    host, port = "127.0.0.1", totals["port"]
    buf = bytearray(64)
    while True:
        if not the_board.net.up():
            await the_board.net.wait_change()
            continue
        the_board.link_outstanding(1)
        try:
            stream = await the_board.net.connect(host, port)
            stream.write(b"hello")
            await stream.drain()
            n = await stream.readinto(buf)
            totals["echoes"].append([the_board.ms, n])
            the_board.link_outstanding(0)
            ended = await stream.readinto(buf)
            totals["cuts"].append([the_board.ms, ended])
            await stream.close()
        except OSError as error:
            the_board.link_outstanding(0)
            totals["refused"].append(error.errno)
            await the_board.link_sleep_ms(20)


async def answer():
    """Answer intents: what was asked for, by name."""
    while True:
        name, args = await the_board.intents.next()
        if name == "sleepers":
            for who, first, period in args["of"]:
                asyncio.create_task(sleeper(who, first, period))
        elif name == "read":
            asyncio.create_task(reader(args["size"]))
        elif name == "link":
            totals["port"] = args["port"]
            asyncio.create_task(link())
        elif name == "crash":
            asyncio.create_task(crash())
        elif name == "hang":
            the_board.link_outstanding(1)
        elif name == "hold":
            totals["unsent"] = args["n"]
        elif name == "save":
            the_board.saved(1, args["number"], bytes(32))
        the_board.tell("did", {"what": name})
        the_board.intents.answer({"ok": True, "code": name, "unsent": totals["unsent"], "open": 0})
        totals["unsent"] = max(0, totals["unsent"] - 1)


async def crash():
    """A bug in the firmware."""
    raise ValueError("a bug")


totals = {"bytes": 0, "sum": 0, "dry": 0, "dry_at": [], "echoes": [], "cuts": [], "refused": []}
totals["unsent"] = 3


async def main():
    """Run until the host ends it."""
    asyncio.create_task(answer())
    await the_board.finished()
    the_board.done({"order": order, "totals": totals, "ticks": the_board.ticks_ms()})


asyncio.run(main())
