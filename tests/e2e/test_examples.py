"""The schemas' examples are what the running system says, and the AsyncAPI document names every
topic that it publishes and reads."""

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import example_day
import feed_schemas
import paho.mqtt.client as mqtt
import pytest
import yaml
from pydantic import ValidationError
from ronda_gateway import schemas
from test_gateway_broker import Field, wait_for

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # its fields named `schema`
    from asyncapi3.models.asyncapi import AsyncAPI3

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "asyncapi.yaml"

Heard = list[tuple[str, Any]]


@pytest.fixture(scope="module")
def heard() -> Heard:
    """Half an hour of one handheld."""
    return example_day.messages()


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", schemas.names())
def test_every_example_is_what_its_schema_says(name: str) -> None:
    examples = schemas.schema(name)["examples"]
    assert examples
    for example in examples:
        found = feed_schemas.validator(name).iter_errors(example)
        assert [f"{error.json_path}: {error.message[:300]}" for error in found] == []
        if name not in {"state", "confirm"}:
            assert example["type"] == f"ronda.{name}"


def test_the_examples_are_todays(heard: Heard) -> None:
    """The same half hour again says the same, but for what is drawn at random. If this is a
    change that was meant: `make examples`."""
    for name, again in example_day.examples(heard).items():
        kept = schemas.schema(name)["examples"]
        assert example_day.steady(kept) == example_day.steady(again), name


def test_every_message_is_what_its_schema_says(heard: Heard) -> None:
    seen: set[str] = set()
    for topic, message in heard:
        name = example_day.name_of(topic, message)
        seen.add(name)
        assert [e.message for e in feed_schemas.validator(name).iter_errors(message)] == []
    assert seen == set(schemas.names())


def test_states_are_the_firmwares_own(heard: Heard) -> None:
    states = [m for topic, m in heard if topic == "ronda/demo/state/demo-01"]
    assert len(states) >= 4
    assert {"online", "seq", "unsent"} == set(states[0]) and states[0]["online"] is True
    assert states[-1] == {"online": False}
    # The dead zone ends the connection without a word: the last will speaks.
    assert {"online": False} in states[1:-1]
    told = [m["seq"] for m in states if m["online"]]
    assert told == sorted(told) and told[-1] >= 3


def test_a_real_reader_of_asyncapi_takes_the_document(whole: dict[str, Any]) -> None:
    AsyncAPI3.model_validate(whole)
    broken: list[dict[str, Any]] = []
    for change in (
        lambda d: d["operations"]["receiveConfirm"].update(action="publish"),
        lambda d: d["channels"]["confirm"].update(adress="x"),
        lambda d: d["components"]["operationBindings"]["event"]["mqtt"].update(qos=3),
        lambda d: d["components"]["messages"]["visit"].update(payload=7),
    ):
        broken.append(json.loads(json.dumps(whole)))
        change(broken[-1])
    for document in broken:
        with pytest.raises(ValidationError):
            AsyncAPI3.model_validate(document)


def addresses(whole: dict[str, Any], action: str) -> dict[str, str]:
    """Channel -> address of the operations with that action."""
    found: dict[str, str] = {}
    for operation in whole["operations"].values():
        if operation["action"] == action:
            name = operation["channel"]["$ref"].removeprefix("#/channels/")
            found[name] = whole["channels"][name]["address"]
    return found


def test_what_is_published_is_in_the_document(heard: Heard, whole: dict[str, Any]) -> None:
    patterns = {
        name: re.compile(
            address.replace("{root}", example_day.ROOT)
            .replace("{portfolio}", "(?!site)[a-z0-9-]{1,24}")
            .replace("{device}", "[a-z0-9-]{3,24}")
        )
        for action in ("send", "receive")
        for name, address in addresses(whole, action).items()
    }
    assert set(patterns) == set(whole["channels"])
    used: dict[str, set[str]] = {}
    for topic, message in heard:
        (name,) = [n for n, pattern in patterns.items() if pattern.fullmatch(topic)]
        used.setdefault(name, set()).add(example_day.name_of(topic, message))
    for name, channel in whole["channels"].items():
        messages = [whole["components"]["messages"][each] for each in channel["messages"]]
        files = {Path(each["payload"]["schema"]["$ref"]).stem for each in messages}
        assert used[name] == files, name


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Field]:
    made = Field(tmp_path)
    yield made
    made.close()


def test_what_the_gateway_reads_is_in_the_document(
    field: Field, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside up/<device>, which is the handhelds' wire and not of a feed."""
    asked: set[tuple[str, int]] = set()
    subscribe = mqtt.Client.subscribe

    def watched(self: mqtt.Client, topic: Any, qos: int = 0, *more: Any, **named: Any) -> Any:
        asked.update(topic if isinstance(topic, list) else [(topic, qos)])
        return subscribe(self, topic, qos, *more, **named)

    monkeypatch.setattr(mqtt.Client, "subscribe", watched)
    field.start(feed={"confirm": True})
    wait_for(lambda: len(asked) >= 3)
    wanted = {
        re.sub(r"{\w+}", "+", address.replace("{root}", "ronda/lima"))
        for address in addresses(whole, "receive").values()
    }
    assert {topic for topic, _ in asked} == wanted | {"ronda/lima/up/+"}
