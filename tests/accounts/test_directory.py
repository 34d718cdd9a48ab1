"""The directory: who is found, in which order, and at what cost."""

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from parley.accounts import directory, operations, queries
from parley.accounts.models import User
from parley.kernel.database import rows
from parley.kernel.errors import Invalid
from parley.kernel.paging import Page
from parley.kernel.text import name_key

pytestmark = pytest.mark.django_db


def everyone(viewer: User, search: str = "", *, size: int = 200) -> list[str]:
    """Walk forward through all pages, then back, which must show the same."""
    pages = [queries.list_people(viewer=viewer, search=search, size=size)]
    while pages[-1].next:
        pages.append(
            queries.list_people(viewer=viewer, search=search, position=pages[-1].next, size=size)
        )
    _go_back(viewer, search, size, pages)
    return [person.username for page in pages for person in page.items]


def _go_back(viewer: User, search: str, size: int, pages: list[Page]) -> None:
    """What is behind the last page is what was shown before it, in the same order."""
    behind, page = [], pages[-1]
    while page.previous:
        page = queries.list_people(viewer=viewer, search=search, position=page.previous, size=size)
        behind = page.items + behind
    if any(page.items for page in pages[:-1]) and pages[-1].items:
        assert behind == [person for page in pages[:-1] for person in page.items]


class TestListPeople:
    def test_has_everyone_by_username(self, person):
        names = ["cyd", "Ada", "ben", "Zoë", "ähm"]
        people = [person(name) for name in names]

        assert everyone(people[0]) == sorted(names, key=name_key)

    def test_leaves_out_the_deactivated(self, ada, person):
        person("adam", is_active=False, first_name="Ada", last_name="Ada")

        assert everyone(ada) == everyone(ada, "ada") == ["ada"]

    def test_hides_contact_details(self, ada, ben):
        found = queries.list_people(viewer=ada, size=10).items

        assert [person.email for person in found] == ["ada@example.org", None]

    @pytest.mark.parametrize("size", [1, 2, 3, 7])
    def test_finds_each_once_by_username_then_full_name_then_last_name(self, person, size):
        person("lovelace", first_name="Ada", last_name="Love")
        person("x1", first_name="Lovely", last_name="Day")
        person("x2", first_name="Ada", last_name="LOVELACE")
        person("x3", first_name="Love", last_name="Lovett")
        viewer = person("nobody", first_name="Glove", last_name="Clover")

        assert everyone(viewer, "LOVE", size=size) == ["lovelace", "x3", "x1", "x2"]

    @pytest.mark.parametrize("search", ["ada lov", "Ada  Lov", " ADA LOVELACE ", "ａｄａ ｌ"])
    def test_finds_a_full_name(self, person, search):
        viewer = person("x", first_name="Ada", last_name="Lovelace")

        assert everyone(viewer, search) == ["x"]

    @pytest.mark.parametrize("search", ["%", "_", "a%", "\\", "*", "nobody", "\U0010ffff"])
    def test_takes_a_search_literally(self, ada, search):
        assert everyone(ada, search) == []

    @pytest.mark.parametrize("search", ["x" * 151, "a\0", "\ud800"])
    def test_refuses_what_no_name_can_be(self, ada, search):
        with pytest.raises(Invalid) as caught:
            queries.list_people(viewer=ada, search=search, size=10)

        assert caught.value.attr == "search"

    def test_does_not_search_addresses(self, ada, ben):
        assert everyone(ada, "ben@example") == []

    @pytest.mark.parametrize("many", [5, 60])
    def test_costs_a_query_a_range_at_most(self, person, many, django_assert_max_num_queries):
        for n in range(many):
            person(f"ada{n:03}", first_name="Ben", last_name="Cyd")
        viewer = User.objects.first()

        for search, asked in (("", 1), ("ada", 3), ("ben", 3), ("cyd", 3), ("nobody", 3)):
            with django_assert_max_num_queries(asked):
                queries.list_people(viewer=viewer, search=search, size=50)

    def test_reads_so_much_and_no_more_where_everyone_was_shown_before(
        self, person, django_assert_max_num_queries
    ):
        for n in range(40):
            person(f"ada{n:02}", first_name="Ada", last_name="Ada")
        person("zed", last_name="Adams")
        viewer = User.objects.first()
        page = queries.list_people(viewer=viewer, search="ada", size=40)

        steps, found = 0, []
        while page.next:
            with django_assert_max_num_queries(directory.MOST_READS):
                page = queries.list_people(viewer=viewer, search="ada", position=page.next, size=2)
            steps += 1
            found += [person.username for person in page.items]

        assert found == ["zed"]
        assert steps > 1

    def test_can_go_on_among_people_of_one_name(self, person):
        for n in range(9):
            person(f"x{n}", first_name="Ada")
        viewer = person("viewer")

        found = everyone(viewer, "ada", size=2)

        assert sorted(found) == [f"x{n}" for n in range(9)]

    @pytest.mark.databases
    @pytest.mark.parametrize("backward", [False, True])
    def test_walks_an_index_for_each_range(self, ada, backward):
        if connection.vendor == "postgresql":  # a table of one row needs no index
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        wanted = directory.Search("a", backward)
        after = directory.Spot(1, "ada lovelace", ada.user_id)

        for piece in (*wanted.ranges(None), *wanted.ranges(after)):
            plan = _plan(wanted, piece)

            assert "user_by_" in plan, plan
            assert not any(word in plan.lower() for word in ("temp b-tree", "filesort", "sort key"))


def _plan(wanted: directory.Search, piece: directory.Range) -> str:
    """How the database means to read a range."""
    sql, parameters = wanted.statement(piece, 26)
    return str(rows(f"{connection.ops.explain_query_prefix()} {sql}", parameters))


class TestAnySearch(TestCase):
    names = st.text(st.sampled_from("abAB "), max_size=3)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        people=st.lists(st.tuples(names, names, names), min_size=1, max_size=8),
        search=names,
        size=st.integers(1, 4),
    )
    def test_finds_whom_a_plain_look_at_everyone_finds(self, people, search, size):
        users = []
        for n, (username, first_name, last_name) in enumerate(people):
            made = f"{username.strip()}{n}".replace(" ", "_")
            users.append(User(username=made, first_name=first_name, last_name=last_name))
            users[-1].save()
        prefix = " ".join(name_key(search).split())

        expected = {user.username for user in users if not prefix or _matches(user, prefix)}

        found = everyone(users[0], search, size=size)
        assert sorted(found) == sorted(expected)


def _matches(user: User, prefix: str) -> bool:
    keys = (user.by_username, user.by_full_name, user.by_last_name)
    return any(key.startswith(prefix) for key in keys)


@pytest.mark.databases
class TestOrder:
    def test_is_the_same_on_every_database(self, person):
        names = ["a", "A1", "a_b", "a.b", "Äb", "b", "ß", "ﬀ", "字", "𠀀𠀀", "ｚ", "z+"]
        viewer = None
        for name in names:
            viewer = operations.sign_up(username=name, password="a lamp in the corner")

        found = everyone(viewer, size=5)

        assert found == sorted(found, key=name_key)
        assert len(found) == len(names)
