"""SIGTERM and a closed terminal end a command in order, as Ctrl-C does."""

import signal
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def ended_by_signals() -> Generator[None]:
    """Inside, SIGTERM and SIGHUP raise KeyboardInterrupt. For the main thread."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
