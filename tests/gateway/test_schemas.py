"""The schemas say what the code says; the AsyncAPI document refers to all of them."""

import json
import re
from pathlib import Path
from typing import Any

import feed_schemas
import pytest
import yaml
from conftest import Bench
from jsonschema import Draft202012Validator
from ronda_gateway import feed, schemas
from ronda_gateway.alerts import KINDS
from ronda_protocol import segment
from ronda_tools.cli import build
from typer.testing import CliRunner

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "asyncapi.yaml"
TYPES = {feed.VISIT, feed.VISIT_VERDICT, feed.POSITIONS, feed.BATTERY, feed.EVENTS, feed.ALERT}


# No CloudEvents: what handhelds say of themselves, and what the consumer says to the gateway.
PLAIN = {"state", "confirm"}


def document() -> dict[str, Any]:
    return yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))


def refs(value: Any) -> list[str]:
    """Every $ref within a value."""
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for item in value.values() for ref in refs(item)]
    return [ref for item in value for ref in refs(item)] if isinstance(value, list) else []


def pointed(whole: Any, ref: str) -> Any:
    """What #/a/b points to; KeyError when nothing is there."""
    for step in ref.removeprefix("#/").split("/"):
        whole = whole[step]
    return whole


@pytest.mark.parametrize("name", schemas.names())
def test_each_is_a_schema_that_stands_alone(name: str) -> None:
    found = schemas.schema(name)
    Draft202012Validator.check_schema(found)
    assert found["title"] and found["description"]
    for ref in refs(found):
        assert pointed(found, ref)
    assert "common.json" not in json.dumps(found)


def test_there_is_one_for_each_type_and_kind() -> None:
    assert {f"ronda.{name}" for name in schemas.names()} == TYPES | {f"ronda.{n}" for n in PLAIN}
    for name in set(schemas.names()) - PLAIN:
        assert schemas.schema(name)["properties"]["type"]["const"] == f"ronda.{name}"
    kinds = schemas.schema("alert")["properties"]["data"]["properties"]["kind"]["enum"]
    assert set(KINDS) <= set(kinds)
    with pytest.raises(KeyError):
        schemas.schema("common")


def test_a_field_too_many_or_too_few_shows(bench: Bench) -> None:
    device = bench.device()
    lost, told = device.seal_track(), device.seal_visit()
    bench.send(device.id, told)
    bench.take_out(2, segment.ANSWERS)
    bench.send(device.id, told)
    bench.send(device.id, lost)
    bench.send(device.id, device.seal_correction(2, "outcome", "ausente"))
    seen = {event["type"] for event in bench.events()}
    assert seen == TYPES
    for event in bench.events():
        less = json.loads(json.dumps(event))
        del less["data"][next(iter(less["data"]))]
        assert feed_schemas.problems(less)
        if event["type"] != feed.ALERT:
            more = json.loads(json.dumps(event))
            more["data"]["nombre"] = "de un deudor"
            assert feed_schemas.problems(more)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ('{"online":false}', True),
        ('{"online":true,"seq":7,"unsent":0}', True),
        ('{"online":true,"seq":7,"unsent":0,"pack":"00112233aabbccdd","at":2048}', True),
        ('{"online":true}', False),
        ('{"online":true,"seq":-1,"unsent":0}', False),
        ('{"online":true,"seq":1,"unsent":0,"debtor":"x"}', False),
        ("{}", False),
        ("7", False),
    ],
)
def test_what_a_state_may_be(text: str, good: bool) -> None:
    assert feed_schemas.validator("state").is_valid(json.loads(text)) is good


def test_every_reference_of_the_document_resolves() -> None:
    whole = document()
    assert whole["asyncapi"] == "3.0.0"
    found = refs(whole)
    assert len(found) > 20
    for ref in found:
        if ref.startswith("#/"):
            assert pointed(whole, ref)
        else:
            assert (DOCUMENT.parent / ref).resolve().is_file(), ref
    files = {Path(ref).name for ref in found if not ref.startswith("#/")}
    assert files == {f"{name}.json" for name in schemas.names()}
    names = {message["name"] for message in whole["components"]["messages"].values()}
    assert names == TYPES | PLAIN
    for kind in ("messages", "parameters", "operationBindings"):
        for name in whole["components"][kind]:
            assert f"#/components/{kind}/{name}" in found, name


def test_channels_have_operations_and_parameters() -> None:
    whole = document()
    used = {operation["channel"]["$ref"] for operation in whole["operations"].values()}
    assert used == {f"#/channels/{name}" for name in whole["channels"]}
    for operation in whole["operations"].values():
        assert operation["action"] in {"send", "receive"}
    for channel in whole["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel["parameters"])
        assert channel["messages"]


def test_every_topic_is_a_channel_with_its_messages(bench: Bench) -> None:
    """And every channel of the feed is used."""
    device = bench.device()
    gap, told = device.seal_track(), device.seal_visit()
    bench.send(device.id, told)
    bench.send(device.id, gap)
    whole = document()
    patterns = {
        name: re.compile(
            re.sub(r"{\w+}", "[^/]+", channel["address"].replace("{root}", "ronda/lima"))
        )
        for name, channel in whole["channels"].items()
    }
    seen: dict[str, set[str]] = {}
    from ronda_gateway import schema

    for row in bench.rows(schema.outbox):
        fitting = [name for name, pattern in patterns.items() if pattern.fullmatch(row.topic)]
        named = "visits" if row.topic.endswith("/visits") else row.topic.rsplit("/", 1)[-1]
        assert fitting == [named], row.topic
        seen.setdefault(named, set()).add(json.loads(row.payload)["type"])
    for name, channel in whole["channels"].items():
        if name not in PLAIN:
            told_types = {pointed(whole, m["$ref"])["name"] for m in channel["messages"].values()}
            assert seen[name] == told_types


def test_the_command_prints_them() -> None:
    run = CliRunner()
    done = run.invoke(build(["feed"]), ["feed", "schema", "--list"])
    assert done.exit_code == 0 and done.stdout.split() == schemas.names()
    done = run.invoke(build(["feed"]), ["feed", "schema", "visit.verdict"])
    assert json.loads(done.stdout) == schemas.schema("visit.verdict")
    for arguments in (["nada"], []):
        done = run.invoke(build(["feed"]), ["feed", "schema", *arguments])
        assert done.exit_code == 2 and "visit.verdict" in done.stderr
