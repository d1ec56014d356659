"""Holds real feed messages against the schemas of ronda_gateway.schemas."""

import functools
from typing import Any

from jsonschema import Draft202012Validator
from ronda_gateway import schemas


@functools.cache
def validator(name: str) -> Draft202012Validator:
    """The compiled schema of a name."""
    return Draft202012Validator(schemas.schema(name))


def problems(event: dict[str, Any]) -> list[str]:
    """What is wrong with a feed event by the schema of its type; empty when nothing is."""
    name = str(event.get("type")).removeprefix("ronda.")
    if name not in schemas.names() or name in {"state", "confirm"}:
        return [f"no schema of {name}"]
    return [
        f"{error.json_path}: {error.message[:300]}" for error in validator(name).iter_errors(event)
    ]
