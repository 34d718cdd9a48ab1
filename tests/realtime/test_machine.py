"""Any interleaving of what people do with live clients at two servers, over hints that are lost,
doubled and late, lines that are cut, brokers that are away and servers that begin anew: each client
ends with what a fresh sync says, the others' read positions aside.

It is the machine of ``tests/promises`` with live clients; ``PARLEY_TEST_EXAMPLES`` and
``PARLEY_TEST_STEPS`` make it longer.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django.core.asgi import get_asgi_application
from django.db import connection
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from parley.conversations import fence
from parley.realtime import hub
from parley.realtime.hub import Hub
from parley.realtime.service import Live
from tests.promises import listed
from tests.promises.test_machine import Machine, people
from tests.realtime.conftest import _signed_in, serving
from tests.realtime.copies import Client, differing, expected

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

EXAMPLES = int(
    os.environ.get("PARLEY_TEST_EXAMPLES", "3" if connection.vendor == "sqlite" else "2")
)
STEPS = int(os.environ.get("PARLEY_TEST_STEPS", "30"))
SECONDS = 8  # until all is told; most of the time it is at once


class Scene:
    """Two servers, a loop for the clients, and what befalls the hints."""

    def __init__(self, stack: ExitStack) -> None:
        self.servers = [stack.enter_context(ExitStack()) for _ in range(2)]
        self.addresses = [self._serve(server) for server in self.servers]
        self.loop = asyncio.new_event_loop()
        self.chance = random.Random(7)
        self.is_broker_away = self.is_quiet = False
        thread = threading.Thread(target=self.loop.run_forever)
        thread.start()
        stack.callback(thread.join)
        stack.callback(self.loop.call_soon_threadsafe, self.loop.stop)

    def _serve(self, server: ExitStack) -> str:
        address: str = server.enter_context(serving(Live(get_asgi_application())))
        return address

    def begin_anew(self, n: int) -> None:
        self.servers[n].close()
        self.addresses[n] = self._serve(self.servers[n])

    def hear_badly(self, hear: Any) -> Any:
        """Hints get lost, come twice, or late; those of this process, too."""

        def badly(hub_: Hub, told: Any) -> None:
            kind = 1.0 if self.is_quiet else self.chance.random()
            if self.is_broker_away or kind < 0.2:
                return
            hear(hub_, told)
            if kind < 0.35:
                hear(hub_, told)
            elif kind < 0.6:
                asyncio.get_running_loop().call_later(kind / 2, hear, hub_, told)

        return badly

    def do(self, what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self.loop)


class LiveMachine(Machine):
    """The machine, with two devices of each person, one at each server."""

    scene: ClassVar[Scene]

    def __init__(self) -> None:
        super().__init__()
        self.devices: list[Client] = []
        self.lives: list[Any] = []
        self.restarts = 0
        self.scene.is_broker_away = self.scene.is_quiet = False

    @invariant()
    def everyone_has_two_devices(self) -> None:
        if self.devices or not hasattr(self, "users"):
            return
        for user in self.users:
            headers = _signed_in(user)
            for turn in range(2):
                device = Client(self.scene.addresses, turn, headers, str(user.user_id))
                self.devices.append(device)
                self.lives.append(self.scene.do(device.live()))

    @rule(who=people, turn=st.integers(0, 1))
    def cut(self, who: int, turn: int) -> None:
        self.scene.do(self.devices[2 * who + turn].cut()).result(5)

    @rule()
    def lose_the_broker_or_have_it_back(self) -> None:
        self.scene.is_broker_away = not self.scene.is_broker_away

    @rule(ms=st.sampled_from([1, 20, 150]))
    def let_time_pass(self, ms: int) -> None:
        time.sleep(ms / 1_000)

    @precondition(lambda self: self.restarts < 1)
    @rule(n=st.integers(0, 1))
    def restart_a_server(self, n: int) -> None:
        self.restarts += 1
        self.scene.begin_anew(n)

    def teardown(self) -> None:
        self.scene.is_broker_away, self.scene.is_quiet = False, True
        try:
            for device in self.devices:
                self._check(device)
        finally:
            for life in self.lives:
                life.cancel()
        super().teardown()

    def _check(self, device: Client) -> None:
        end = time.monotonic() + SECONDS
        while True:
            wanted = expected(device.address, device.headers, device)
            shown = device.shown()
            if shown == wanted:
                return
            if time.monotonic() > end:
                self._fail(device, differing(shown, wanted))
            time.sleep(0.1)

    def _fail(self, device: Client, places: list[str]) -> None:
        n = self.devices.index(device)
        if self.lives[n].done():
            self.lives[n].result()  # it says why it ended
        wheres = {place.split(maxsplit=1)[0].rstrip(":") for place in places}
        about = [each for each in device.heard if any(where in each for where in wheres)]
        said = [f"device {n}, {SECONDS} s after the last step, does not show what a sync does:"]
        pytest.fail("\n".join([*said, *places, "the last it heard of that:", *about[-12:]]))


def test_any_interleaving_leaves_live_clients_equal_to_a_fresh_sync(monkeypatch):
    Machine.monkeypatch = monkeypatch
    listed.install(monkeypatch)
    monkeypatch.setattr(hub, "TICK_S", 0.05)
    monkeypatch.setitem(fence.tick.__kwdefaults__, "unless_within", timedelta(milliseconds=40))
    with ExitStack() as stack:
        LiveMachine.scene = scene = Scene(stack)
        monkeypatch.setattr(Hub, "hear", scene.hear_badly(Hub.hear))
        run_state_machine_as_test(
            LiveMachine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                phases={Phase.generate},
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=False,
            ),
        )
        connection.close()
