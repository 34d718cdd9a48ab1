from uuid import UUID

import pytest

from parley.http.parameters import LIMIT, Amount, Choice, Exclusive, Flag, Id, Place, only_one
from parley.kernel.errors import Invalid

PLACE = Place("before", "A place.")


class TestAmount:
    @pytest.mark.parametrize(
        ("text", "found"),
        [("7", 7), ("0", 1), ("-3", 1), ("+8", 8), ("007", 7), ("201", 200), ("9" * 9999, 200)],
    )
    def test_is_clamped_to_its_bounds(self, text, found):
        assert LIMIT.read({"limit": text}) == found

    def test_has_a_default(self):
        assert LIMIT.read({}) == 50
        assert Amount("wait", "", default=0).read({}) == 0


class TestPlace:
    @pytest.mark.parametrize(("text", "found"), [("0", 0), ("9223372036854775807", 2**63 - 1)])
    def test_is_any_number_that_a_message_may_have(self, text, found):
        assert PLACE.read({"before": text}) == found

    @pytest.mark.parametrize("text", ["-1", "9223372036854775808", "9" * 5000, "x", "", "1_0", "²"])
    def test_is_nothing_else(self, text):
        with pytest.raises(Invalid) as refused:
            PLACE.read({"before": text})

        assert refused.value.attr == "before"


class TestFlag:
    @pytest.mark.parametrize(
        ("text", "found"), [("true", True), ("TRUE", True), ("1", True), ("false", False)]
    )
    def test_is_true_or_false(self, text, found):
        assert Flag("unread", "").read({"unread": text}) is found


class TestId:
    def test_may_leave_dashes_out(self):
        found = Id("with", "").read({"with": "0190A3B4C5D67E8F9A0B1C2D3E4F5A6B"})

        assert found == UUID("0190a3b4-c5d6-7e8f-9a0b-1c2d3e4f5a6b")

    @pytest.mark.parametrize(
        "text", ["", "{0190a3b4-c5d6-7e8f-9a0b-1c2d3e4f5a6b}", "urn:uuid:" + "0" * 32, "0-" * 18]
    )
    def test_is_nothing_that_only_looks_like_one(self, text):
        with pytest.raises(Invalid):
            Id("with", "").read({"with": text})


class TestChoice:
    def test_is_one_of_its_words(self):
        box = Choice("box", "", default="all", words=("all", "sent"))

        assert (box.read({}), box.read({"box": "sent"})) == ("all", "sent")
        with pytest.raises(Invalid):
            box.read({"box": "SENT"})


class TestOnlyOne:
    def test_names_those_that_exclude_each_other(self):
        other = Place("after", "")

        only_one({"after": "1"}, PLACE, other)
        with pytest.raises(Exclusive, match="before and after"):
            only_one({"after": "1", "before": "1"}, PLACE, other)
