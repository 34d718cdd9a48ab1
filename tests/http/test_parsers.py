import gc
import time
from contextlib import suppress

import pytest
from rest_framework.exceptions import ParseError

from parley.http.parsers import DEEPEST, TooDeep, read_json
from parley.kernel.text import NotStorable


def nested(levels, opening=b"[", closing=b"]"):
    return b'{"a":' + opening * (levels - 1) + closing * (levels - 1) + b"}"


def reading_time(raw):
    """Return the seconds of CPU that a body takes, without the collector."""
    gc.disable()
    try:
        began = time.thread_time()
        with suppress(ParseError):
            read_json(raw)
        return time.thread_time() - began
    finally:
        gc.enable()


class TestReadJson:
    @pytest.mark.parametrize(
        ("raw", "found"),
        [
            (b"{}", {}),
            (b' {"a": "b"} ', {"a": "b"}),
            (b'{"a": 1, "a": 2}', {"a": 2}),
            ('{"a": "Grüße 👋"}'.encode(), {"a": "Grüße 👋"}),
            (b'{"a": "\\ud83d\\udc4b"}', {"a": "👋"}),
            (b'{"a": "\\\\ud800 \\\\u0000"}', {"a": "\\ud800 \\u0000"}),
        ],
    )
    def test_returns_the_object(self, raw, found):
        assert read_json(raw) == found

    @pytest.mark.parametrize("opening", [(b"[", b"]"), (b'{"a":', b"}")])
    def test_goes_down_to_32_levels_and_no_further(self, opening):
        inner = b"1" if opening[0] == b'{"a":' else b""

        def deep(levels):
            return b'{"a":' + opening[0] * (levels - 1) + inner + opening[1] * (levels - 1) + b"}"

        assert read_json(deep(DEEPEST))
        with pytest.raises(TooDeep):
            read_json(deep(DEEPEST + 1))

    def test_does_not_take_brackets_in_text_for_levels(self):
        assert read_json(b'{"a": "' + b"[{" * 100 + b'\\"[[["}')

    def test_takes_many_objects_side_by_side(self):
        assert len(read_json(b'{"a": [' + b"{}," * 1000 + b"{}]}")["a"]) == 1001

    @pytest.mark.parametrize(
        "write",
        [
            lambda n: b"[" * (n // 2) + b"]" * (n // 2),
            lambda n: b'{"a":' * (n // 5),
            lambda n: b'{"a": [' + b"[]," * (n // 3) + b"[]]}",
            lambda n: b'{"a": "' + b"\\" * n + b'"}',
            lambda n: b'"' * n,
            lambda n: b'{"a": "' + b"[" * n,
        ],
        ids=["arrays", "objects", "flat", "backslashes", "quotes", "open"],
    )
    def test_takes_its_time_from_the_size_alone(self, write):
        """Eight times as much takes about eight times as long, where its square would be 64."""
        small, large = (min(reading_time(write(n)) for _ in range(3)) for n in (125_000, 1_000_000))

        assert large < 24 * small

    @pytest.mark.parametrize(
        ("raw", "attr"),
        [
            (b'{"a": "\\u0000"}', "a"),
            (b'{"a": 1, "b": [{"c": "x\\ud800"}]}', "b"),
            (b'{"a": {"\\udfff": 1}}', "a"),
        ],
    )
    def test_refuses_text_that_cannot_be_kept(self, raw, attr):
        with pytest.raises(NotStorable) as refused:
            read_json(raw)

        assert refused.value.attr == attr

    def test_refuses_a_name_that_cannot_be_kept(self):
        with pytest.raises(ParseError):
            read_json(b'{"\\u0000": 1}')
