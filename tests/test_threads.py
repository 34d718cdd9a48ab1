import asyncio

import pytest
from django.db import OperationalError, connections

from parley.accounts.models import User
from parley.kernel.threads import MOST_THREADS, Threads, close_threads, markers, readers

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


def run(work):
    async def whole():
        try:
            return await work()
        finally:
            await close_threads()

    return asyncio.run(whole())


def asked():
    """Ask something, and return the connection that it was asked by."""
    User.objects.count()
    return connections["default"], connections["default"].connection


class TestThreads:
    @pytest.mark.usefixtures("kept_connections")
    def test_keep_their_connection(self):
        async def twice():
            one = Threads("one", most=1)
            try:
                return [await one.ask(asked) for _ in range(2)]
            finally:
                await one.close()

        (keeper, first), (other, second) = run(twice)

        assert first is second
        assert keeper is other

    def test_leave_no_connection_behind(self):
        async def many():
            asking = [threads.ask(asked) for threads in (readers(), markers()) for _ in range(20)]
            return await asyncio.gather(*asking)

        keepers = {id(keeper): keeper for keeper, _ in run(many)}

        assert 2 <= len(keepers) <= 2 * MOST_THREADS
        assert all(keeper.connection is None for keeper in keepers.values())

    @pytest.mark.parametrize(("losses", "asks"), [(0, 1), (2, 3)])
    def test_ask_again_after_a_lost_connection(self, losses, asks):
        calls = []

        def lossy():
            calls.append(asked()[0])
            if len(calls) <= losses:
                raise OperationalError("lost")
            return "answer"

        assert run(lambda: readers().ask(lossy)) == "answer"
        assert len(calls) == asks

    def test_give_up_after_three_times(self):
        calls = []

        def lost():
            calls.append(asked())
            raise OperationalError("lost")

        with pytest.raises(OperationalError):
            run(lambda: readers().ask(lost))
        assert len(calls) == 3
