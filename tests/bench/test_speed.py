"""The tables of the bench tell what was measured; nothing is timed here."""

import json
from itertools import islice

import pytest

from bench.speed import live, players, slap, statements, tables
from bench.speed.verdicts import Run, Target, judge, judge_runs
from parley.messaging.models import Message
from tests.talk import group, say

ROW = (Target("× SQL", 0.5), Target("× less CPU", 40), Target("p99 ms", 10, most=True))
MACHINE = {
    "date": "2026-01-02",
    "processors": "2 × some",
    "load before": 0.1,
    "versions": {"Python": "3.11"},
    "command": "python -m bench.speed",
}


def found(*, rate=1_000.0, p99=9.0):
    runs = {
        "product": [Run(each, 1, p99, 0.1, 0.1, 0.02) for each in (rate - 10, rate, rate + 900)],
        "plain DRF": [Run(50, 20, 30, 6, 2)],
        "SQL": [Run(2_000, 1, 1)],
    }
    return judge_runs("send", "postgresql", runs, ROW)


def verdicts(finding):
    return [target["verdict"] for target in finding["targets"]]


class TestVerdicts:
    def test_compare_medians_and_the_border_holds(self):
        assert found()["values"] == {
            "p50 ms": 1,
            "p99 ms": 9,
            "× plain DRF": 20,
            "× SQL": 0.5,
            "× less CPU": 40,
        }
        assert verdicts(found()) == ["holds", "holds", "holds"]
        assert found()["spread"]["product"] == [990, 1_900]

    def test_say_what_is_missed(self):
        assert verdicts(found(rate=999.0, p99=10.1)) == ["missed", "holds", "missed"]

    def test_never_say_that_what_was_not_measured_holds(self):
        assert verdicts(judge("send", "mysql", {}, ROW)) == ["not measured"] * 3


class TestTables:
    def test_the_page_shows_what_the_file_holds_and_keeps_the_rest(self):
        kept = json.loads(json.dumps({"machine": MACHINE, "rows": [found(rate=1_234.0)]}))
        page = f"# A page\n\n{tables.BEGIN}\nof before\n{tables.END}\n\nThe rest.\n"
        written = tables.with_table(page, kept)
        assert written.startswith("# A page\n\n")
        assert written.endswith("\n\nThe rest.\n")
        assert "of before" not in written
        assert "| send | 1,234 (1,224–2,134) | 1.0 / 9.0 | 0.100 + 0.100, 0.020 |" in written
        assert "0.617 (× SQL ≥ 0.5) holds" in written
        assert "2 × some" in written
        assert tables.with_table(written, kept) == written

    def test_a_page_without_markers_is_left(self):
        with pytest.raises(ValueError, match="markers"):
            tables.with_table("# A page\n", {"machine": MACHINE, "rows": []})

    def test_the_readme_shows_the_newest_figures(self):
        files = sorted(tables.RESULTS.glob("speed-*.json"))
        kept = [each for each in map(json.loads, (f.read_text() for f in files)) if _is_new(each)]
        page = tables.README.read_text()
        assert tables.BEGIN in page
        if kept:
            assert tables.with_table(page, kept[-1]) == page


def _is_new(kept):
    return "versions" in kept["machine"]


class TestLive:
    def test_reads_what_is_printed(self):
        printed = "500 x websocket: 20.5 KiB each\na delivery: 10.00 µs CPU (10000 in all)\n"
        assert live.values(printed) == {
            "held": 500,
            "KiB each": 20.5,
            "µs CPU a delivery": 10,
            "deliveries a second and core": 100_000,
        }


@pytest.mark.django_db
@pytest.mark.parametrize("kind", sorted(set(statements.KINDS) - {"sync"}))
def test_the_statements_of_the_product_have_as_many_places_as_values(kind):
    assert "%s" not in statements.script(kind)


def test_a_statement_that_changed_is_noticed():
    with pytest.raises(ValueError, match="1 values for 2 places"):
        statements.put("SELECT %s, %s", ["1"])


@pytest.mark.django_db(transaction=True)
class TestASendByItself:
    def test_is_what_the_product_asks_with_variables_for_its_values(self, ada, ben, cyd):
        talk = group(ada, ben, cyd)
        for _ in range(20):  # beyond the numbers of the fence
            say(ada, talk)

        script = slap.script()

        assert [script[1], script[-1]] == ["BEGIN;\n", "COMMIT;\n"]
        [insert] = [each for each in script if "INTO messaging_message " in each]
        assert "VALUES (@id, @where, @who, @seq + 1, @seq + 1, @g, " in insert
        assert all("@" in each for each in script[2:-1])
        assert talk.hex not in "".join(script)
        assert Message.objects.count() == 20


def test_raw_rows_are_of_many_people_and_conversations():
    names = ["message_id", "sender_id", "conversation_id", "seq", "revision", "message_body"]
    pairs = [(n, f"{n:032x}", f"{n + 9:032x}") for n in range(9)]

    rows = list(islice(players._rows(names, ["", "", "", 1, 1, "hello"], pairs), 100))

    assert len({row[0] for row in rows}) == len({row[3] for row in rows}) == 100
    assert {(row[1], row[2]) for row in rows} == {pair[1:] for pair in pairs}
    assert {row[5] for row in rows} == {"hello"}
