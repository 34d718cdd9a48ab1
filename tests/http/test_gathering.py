"""Written at once, handed over at once (connections as a whole: test_lines, test_heads)."""

import asyncio

import pytest

from parley.http.gathering import MOST_GATHERED, Gathering


class Inner:
    """What is asked of a transport, noted."""

    def __init__(self):
        self.done, self.is_shut = [], False

    def is_closing(self):
        return self.is_shut

    def abort(self):
        self.is_shut = True

    def write(self, data):
        self.done.append(data)

    def write_eof(self):
        self.done.append("eof")

    def close(self):
        self.done.append("close")
        self.is_shut = True

    def get_write_buffer_size(self):
        return 5


def noted(act, *, turns=2):
    """Return what a transport is asked when this is done, and some turns of the loop later."""

    async def scene():
        inner = Inner()
        transport = Gathering(inner, asyncio.get_running_loop())
        act(transport)
        before = list(inner.done)
        for _ in range(turns):
            await asyncio.sleep(0)
        return before, inner.done

    return asyncio.run(scene())


class TestGathering:
    def test_writes_once_what_is_written_at_once(self):
        def act(transport):
            for data in (b"head", bytearray(b"body"), memoryview(b"!")):
                transport.write(data)

        assert noted(act) == ([], [b"headbody!"])

    def test_writes_at_once_what_nothing_follows_and_all_before_it(self):
        def act(transport):
            transport.write_now(b"one")
            transport.write(b"two")
            transport.write_now(b"three")

        before, after = noted(act)
        assert before == after == [b"one", b"twothree"]

    @pytest.mark.parametrize("how", ["close", "write_eof"])
    def test_ends_behind_what_was_written(self, how):
        def act(transport):
            transport.write(b"last")
            getattr(transport, how)()

        before, after = noted(act)
        assert before == after == [b"last", how.removeprefix("write_")]

    def test_writes_nothing_to_who_is_gone(self):
        def act(transport):
            transport.write(b"late")
            transport.abort()

        assert noted(act) == ([], [])

    def test_keeps_no_more_than_a_little_and_says_how_much(self):
        sizes = []

        def act(transport):
            transport.write(b"a" * MOST_GATHERED)
            sizes.append(transport.get_write_buffer_size())
            transport.write(b"b")
            sizes.append(transport.get_write_buffer_size())
            transport.write(b"c")

        before, after = noted(act)
        assert sizes == [MOST_GATHERED + 5, 5]
        assert [len(data) for data in before] == [MOST_GATHERED + 1]
        assert after[1:] == [b"c"]
