"""JSON Schemas (draft 2020-12) of everything the gateway publishes, and of state/<device>.

Kept as files beside this one, what they share in common.json; docs/asyncapi.yaml refers to them.
"""

import json
from importlib import resources
from typing import Any

COMMON = "common"
_REF = f"{COMMON}.json#/$defs/"


def names() -> list[str]:
    """The schemas by name: that of an event type without its `ronda.`, and state."""
    files = (entry.name for entry in resources.files(__name__).iterdir())
    found = sorted(name[: -len(".json")] for name in files if name.endswith(".json"))
    return [name for name in found if name != COMMON]


def schema(name: str) -> dict[str, Any]:
    """One schema with the shared definitions that it needs inside it. KeyError: none of that
    name."""
    if name not in names():
        raise KeyError(name)
    whole, shared = _read(name), _read(COMMON)["$defs"]
    needed: dict[str, Any] = {}
    waiting = _refs(whole)
    while waiting:
        ref = waiting.pop()
        if ref not in needed:
            needed[ref] = shared[ref]
            waiting |= _refs(shared[ref])
    text = json.dumps({**whole, "$defs": {ref: needed[ref] for ref in sorted(needed)}})
    return json.loads(text.replace(_REF, "#/$defs/"))


def _read(name: str) -> dict[str, Any]:
    return json.loads(resources.files(__name__).joinpath(f"{name}.json").read_text("utf-8"))


def _refs(value: object) -> set[str]:
    """Names of the shared definitions that a schema refers to."""
    text = json.dumps(value)
    return {piece.split('"', 1)[0] for piece in text.split(_REF)[1:]}
