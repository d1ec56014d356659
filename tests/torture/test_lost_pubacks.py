"""A broker that loses messages and PUBACKs: neither receipts nor events wait for ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from crew import crew_of
from history import History, check
from proxy import DOWN, UP, Faults, Proxy
from rig import Rig
from ronda_gateway import link
from ronda_gateway.gateway import Gateway
from ronda_gateway.settings import Settings
from ronda_tools.broker import Broker

_PATIENCE_S = 60.0


def _through(rig: Rig, proxy: Proxy) -> Settings:
    settings = rig.site.settings
    broker = settings.broker.model_copy(update={"port": proxy.port})
    return settings.model_copy(update={"broker": broker}).at(rig.site.folder)


@pytest.mark.parametrize("way", [UP, DOWN])
def test_what_has_no_puback_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """UP: every third PUBLISH of the gateway is lost; DOWN: every third PUBACK that it awaits."""
    monkeypatch.setattr(link, "_PUBACK_S", 0.5)
    history = History()
    kinds = frozenset({3 if way == UP else 4})
    faults = Faults(drop=0.3, kinds=kinds, ways=frozenset({way}))
    with (
        Broker() as broker,
        Proxy(lambda: (broker.host, broker.port), seed=way) as proxy,
        Rig(tmp_path, history, broker=broker) as rig,
    ):
        rig.man(crew_of(3, history, fixes=3, patience_s=1.0))
        with Gateway(_through(rig, proxy)) as gateway:
            assert gateway.wait_connected(_PATIENCE_S)
            proxy.become(faults)
            rig.crew.do(lambda: [h.seal() for h in rig.crew.handhelds for _ in range(10)])
            # Both the receipts and the feed come through, though the faults go on.
            rig.settle(_PATIENCE_S)
        assert proxy.counts["drop"] >= 5 and proxy.connections > 2
        state = rig.final_state(arrivals=None)
        check(history, state, must=("I1", "I2", "I3", "I4", "I5"))
