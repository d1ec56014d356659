"""The handheld's application; boards hand it the hardware. Here: how modules leave the heap."""

import gc
import sys

SIGNING = (
    "ronda_protocol.p256",
    "ronda_protocol.p256_table",
    "ronda_protocol.cose",
    "ronda_protocol.segment",
    "ronda_protocol.signed",
)
"""What a seal and a receipt need, and nothing between two of them."""


def forget(*names):
    """Drop modules that are needed now and then: code loaded from files lives in the heap."""
    for name in names:
        if sys.modules.pop(name, None):
            package, module = name.rsplit(".", 1)
            delattr(sys.modules[package], module)
    gc.collect()
