"""The gateway's own log: sentences on a terminal, one JSON object a line elsewhere.

Codes and fields are the log; the sentence in RONDA_LANG is made from them last.
"""

import logging
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

from ronda_gateway.settings import LogSettings
from ronda_gateway.wording import TEXTS, language, printable, say

_LEVELS = {"debug": "·", "info": "·", "warning": "!", "error": "✗", "critical": "✗"}


def configure(settings: LogSettings) -> None:
    """Set the process's log up; lines go to stderr."""
    human = settings.format == "human" or (settings.format == "auto" and sys.stderr.isatty())
    last = [_sentence] if human else [structlog.processors.format_exc_info, _as_json]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[settings.level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


_as_json = structlog.processors.JSONRenderer(ensure_ascii=False)


def _sentence(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    code = str(event.pop("event"))
    level = str(event.pop("level", "info"))
    clock = str(event.pop("timestamp", ""))[11:19]
    failure = event.pop("exc_info", None)
    text = _told(code, event)
    line = f"{clock} {_LEVELS.get(level, '·')} {text}"
    if isinstance(failure, BaseException):
        line += f" ({type(failure).__name__}: {printable(failure)})"
    return line


def _told(code: str, fields: EventDict) -> str:
    if code in TEXTS:
        try:
            return say(code, language(), **fields)
        except (KeyError, IndexError):
            pass
    return " ".join([code, *(f"{name}={printable(value)}" for name, value in fields.items())])
