"""The consumer's word to the gateway: commands for cmd/confirm, signed with the office key.

For consumers that are written in Python, `ronda feed confirm` and `ronda feed tail --confirm`.
What they may contain is in docs/feeds.md.
"""

import json
import secrets
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, cast

import paho.mqtt.client as mqtt
from joserfc import jws
from joserfc.jwk import ECKey
from paho.mqtt.enums import CallbackAPIVersion
from ronda_gateway import commands
from ronda_gateway.keys import Signer

from ronda_tools.feed_tail import Address
from ronda_tools.texts import UsedWrong

LIFE_S = 300
"""From `iat` to `exp` of what is made here."""

_BATCH = 100
_CONNECT_S = 10.0


def command(
    signer: Signer | None,
    root: str,
    ids: Sequence[str],
    now: int | None = None,
    *,
    life_s: int = LIFE_S,
    jti: str = "",
) -> bytes:
    """The message that confirms at most 500 events of the site whose topics begin with `root`.

    Unsigned without a signer. `now` in unix seconds, the system's if not told.
    """
    if signer is None:
        return json.dumps({"cmd": commands.CONFIRM, "ids": list(ids)}).encode()
    at = int(time.time()) if now is None else now
    claims = {
        "cmd": commands.CONFIRM,
        "aud": root,
        "iat": at,
        "exp": at + life_s,
        "jti": jti or secrets.token_urlsafe(16),
        "ids": list(ids),
    }
    member = {"protected": {"alg": "ES256", "kid": signer.kid.hex()}}
    payload = json.dumps(claims, separators=(",", ":"))
    key = ECKey.import_key(signer.pem())
    signed = cast(Any, jws.serialize_json(cast(Any, member), payload, key, algorithms=["ES256"]))
    return json.dumps(signed).encode()


def topic(root: str) -> str:
    """Where confirmations go."""
    return f"{root}/cmd/{commands.CONFIRM}"


def batches(ids: Iterable[str], size: int = _BATCH) -> list[list[str]]:
    """Ids without repeats, in commands' worth."""
    unique = list(dict.fromkeys(ids))
    return [unique[at : at + size] for at in range(0, len(unique), size)]


def send(where: Address, messages: Sequence[tuple[str, bytes]]) -> None:
    """Publish (topic, message) at QoS 1 and wait for the broker; UsedWrong if it will not."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
    if where.username:
        client.username_pw_set(where.username, where.password or None)
    up, refused = threading.Event(), list[str]()

    def on_connect(_c: mqtt.Client, _d: object, _f: object, code: Any, _p: object) -> None:
        if code.is_failure:
            refused.append(str(code))
        up.set()

    client.on_connect = on_connect
    named = {"host": where.host, "port": where.port}
    try:
        client.connect(where.host, where.port, keepalive=30)
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise UsedWrong("feed.not_sent", exit_code=1, why=why, **named) from None
    client.loop_start()
    try:
        if not up.wait(_CONNECT_S) or refused:
            why = refused[0] if refused else "CONNACK"
            raise UsedWrong("feed.not_sent", exit_code=1, why=why, **named)
        sent = [client.publish(to, payload, qos=1) for to, payload in messages]
        until = time.monotonic() + _CONNECT_S
        while not all(info.is_published() for info in sent):
            if time.monotonic() > until:
                raise UsedWrong("feed.not_sent", exit_code=1, why="PUBACK", **named)
            time.sleep(0.01)
    finally:
        client.disconnect()
        client.loop_stop()
