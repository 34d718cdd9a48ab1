import asyncio
import threading

import pytest
from django.http import HttpResponse
from django.urls import path

from parley.http.turns import Turns

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

PATIENCE_S = 20


class Work:
    """A view that stays at work until it is told to end, and knows how many are."""

    def __init__(self):
        self.lock, self.may_end = threading.Lock(), threading.Event()
        self.now = self.most = 0

    def __call__(self, request):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.may_end.wait(PATIENCE_S)
        with self.lock:
            self.now -= 1
        return HttpResponse("done")


@pytest.fixture
def work():
    urlpatterns[:] = [path("work/", found := Work())]
    return found


class WayToView:
    """From a middleware, which waits, to the view."""

    def __init__(self):
        self.at_door, self.may_enter, self.reached = (threading.Event() for _ in range(3))

    def reach(self):
        self.reached.set()
        return HttpResponse("reached")


way_to_view = WayToView()


def wait_at_door(respond_to):
    def waited(request):
        way_to_view.at_door.set()
        assert way_to_view.may_enter.wait(PATIENCE_S)
        return respond_to(request)

    return waited


urlpatterns = []


async def ask(turns, leaving=None, taking=None):
    """Return the status of an answer; a client who leaves gets none, and one who is ``taking`` it
    only when that is set is slow.
    """
    sent, said = [], [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive():
        if said:
            return said.pop()
        await (leaving or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)
        if taking is not None:
            await taking.wait()

    scope = {"type": "http", "method": "GET", "path": "/work/", "query_string": b""}
    headers = [(b"host", b"testserver"), (b"accept", b"application/json")]
    await turns(scope | {"headers": headers}, receive, send)
    return sent[0]["status"] if sent else None


def run(turns, scene):
    async def whole():
        try:
            return await scene()
        finally:
            await turns.close()

    return asyncio.run(whole())


async def until(is_so):
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class TestTurns:
    @pytest.mark.parametrize("at_once", [1, 3])
    def test_let_so_many_be_worked_on_at_once_and_all_in_the_end(self, work, at_once):
        turns = Turns(threads=at_once)

        async def scene():
            asked = [asyncio.create_task(ask(turns)) for _ in range(8)]
            await until(lambda: work.now == at_once)
            await asyncio.sleep(0.2)  # whoever could begin beyond that would have
            work.may_end.set()
            return await asyncio.gather(*asked)

        assert run(turns, scene) == [200] * 8
        assert work.most == at_once

    def test_refuse_when_too_many_wait_and_not_when_they_have_gone(self, work):
        turns = Turns(threads=1, most_waiting=2)

        async def scene():
            asked = [asyncio.create_task(ask(turns)) for _ in range(3)]
            await until(lambda: work.now == 1)
            await asyncio.sleep(0.2)
            refused = await ask(turns)
            work.may_end.set()
            return refused, await asyncio.gather(*asked), await ask(turns)

        assert run(turns, scene) == (503, [200] * 3, 200)

    def test_are_kept_by_work_whose_client_has_left_until_it_ends(self, work):
        turns = Turns(threads=1)

        async def scene():
            leaving = asyncio.Event()
            asked = [asyncio.create_task(ask(turns, leaving)) for _ in range(2)]
            await until(lambda: work.now == 1)
            leaving.set()
            waiting = asyncio.create_task(ask(turns))
            await asyncio.sleep(0.2)
            work.may_end.set()
            return await asyncio.gather(*asked, waiting)

        assert run(turns, scene) == [None, None, 200]
        assert work.most == 1

    def test_are_not_kept_by_clients_who_do_not_take_their_answer(self, work):
        turns = Turns(threads=1)
        work.may_end.set()

        async def scene():
            taking = asyncio.Event()
            slow = [asyncio.create_task(ask(turns, taking=taking)) for _ in range(2)]
            await until(lambda: work.most == 1)
            async with asyncio.timeout(PATIENCE_S):
                quick = await ask(turns)
            waiting = not any(each.done() for each in slow)
            taking.set()
            return quick, waiting, await asyncio.gather(*slow)

        assert run(turns, scene) == (200, True, [200, 200])

    def test_lead_from_the_first_middleware_to_the_view_without_the_loop(self, settings):
        settings.MIDDLEWARE = [f"{__name__}.wait_at_door"]
        urlpatterns[:] = [path("work/", lambda _: way_to_view.reach())]
        turns = Turns(threads=1)

        async def scene():
            asked = asyncio.create_task(ask(turns))
            await until(way_to_view.at_door.is_set)
            way_to_view.may_enter.set()
            reached = way_to_view.reached.wait(PATIENCE_S)  # the loop stands still meanwhile
            return reached, await asked

        assert run(turns, scene) == (True, 200)
