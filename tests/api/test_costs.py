"""What a list costs does not depend on how long it is."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from parley.conversations import operations as conversations
from tests.talk import direct, group, say, write_to

SIGNED_IN = 2  # the session, and whose it is
SIZES = (2, 12)


@pytest.fixture
def cost(api):
    """Return how many queries a request takes of someone who is signed in."""

    def count(user, path):
        client = api(user)
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(path)
        assert answer.status_code == 200
        return answer, len(queries) - SIGNED_IN

    return count


@pytest.fixture
def crowd(person):
    """Make a number of people."""

    def make(n):
        return [person(f"guest{n}x{m}") for m in range(n)]

    return make


class TestList:
    """Each makes lists of two sizes, and says what they may cost."""

    def check(self, cost, user, path, most, *, length):
        answer, queries = cost(user, path)
        assert len(answer.json()["results"]) == length
        assert queries <= most, f"{path}: {queries}"
        return queries

    @pytest.mark.parametrize("query", ["", "?users=map", "?unread=true", "?kind=direct"])
    def test_of_conversations(self, cost, ada, crowd, query):
        costs = set()
        total = 0
        for size in SIZES:
            for guest in crowd(size):
                write_to(guest, ada)
                write_to(guest, ada)
            total += size
            path = f"/api/conversations/{query}"
            costs.add(self.check(cost, ada, path, 12, length=total))

        assert len(costs) == 1

    def test_of_groups_with_many_people(self, cost, ada, crowd):
        costs = set()
        for total, size in enumerate(SIZES, start=1):
            say(ada, group(ada, *crowd(size)))
            costs.add(self.check(cost, ada, "/api/conversations/", 10, length=total))

        assert len(costs) == 1

    @pytest.mark.parametrize("query", ["", "?after=0", "?around=1", "?changed_after=0"])
    def test_of_a_history(self, cost, ada, crowd, query):
        costs = set()
        for size in SIZES:
            talk = group(ada, *(people := crowd(size)))
            for guest in people:
                say(guest, talk)
            path = f"/api/conversations/{talk}/messages/{query}"
            costs.add(self.check(cost, ada, path, 6, length=size))

        assert len(costs) == 1

    @pytest.mark.parametrize("query", ["", "?box=inbox", "?unread=true"])
    def test_of_messages_across_conversations(self, cost, ada, crowd, query):
        costs, total = set(), 0
        for size in (12, 30):  # the first ten conversations are opened by themselves
            for guest in crowd(size):
                write_to(guest, ada)
            total += size
            costs.add(self.check(cost, ada, f"/api/messages/{query}", 12, length=total))

        assert len(costs) == 1

    def test_of_starred_messages(self, cost, api, ada, crowd):
        costs, total = set(), 0
        for size in SIZES:
            for guest in crowd(size):
                api(ada).put(f"/api/messages/{write_to(guest, ada).message_id}/star/")
            total += size
            costs.add(self.check(cost, ada, "/api/messages/?starred=true", 12, length=total))

        assert len(costs) == 1

    def test_of_participants(self, cost, ada, crowd):
        costs = set()
        for size in SIZES:
            path = f"/api/conversations/{group(ada, *crowd(size))}/participants/"
            costs.add(self.check(cost, ada, path, 4, length=size + 1))

        assert len(costs) == 1

    def test_of_receipts(self, cost, ada, crowd):
        costs = set()
        for size in SIZES:
            sent = say(ada, group(ada, *crowd(size)))
            path = f"/api/messages/{sent.message_id}/receipts/"
            costs.add(self.check(cost, ada, path, 8, length=size))

        assert len(costs) == 1

    def test_of_blocks(self, cost, ada, crowd):
        costs, total = set(), 0
        for size in SIZES:
            for guest in crowd(size):
                conversations.block(blocker=ada, user_id=guest.user_id)
            total += size
            costs.add(self.check(cost, ada, "/api/blocks/", 2, length=total))

        assert len(costs) == 1

    def test_of_people(self, cost, ada, crowd):
        costs = set()
        for size in SIZES:
            crowd(size)
            costs.add(cost(ada, "/api/users/?search=guest")[1])

        assert len(costs) == 1


class TestOne:
    def test_message_costs_two_queries(self, cost, ada, ben):
        sent = write_to(ben, ada)

        assert cost(ada, f"/api/messages/{sent.message_id}/")[1] == 2

    def test_person_costs_one_query(self, cost, ada, ben):
        assert cost(ada, f"/api/users/{ben.user_id}/")[1] == 1

    def test_conversation_costs_the_same_with_few_messages_and_with_many(self, cost, ada, ben):
        talk = direct(ada, ben)
        costs = set()
        for size in SIZES:
            for _ in range(size):
                say(ben, talk)
            costs.add(cost(ada, f"/api/conversations/{talk}/")[1])

        assert len(costs) == 1
        assert costs.pop() <= 6

    def test_sync_costs_the_same_with_few_changes_and_with_many(self, cost, ada, crowd):
        cursor = cost(ada, "/api/sync/")[0].json()["cursor"]
        costs = set()
        for size in SIZES:
            for guest in crowd(size):
                write_to(guest, ada)
            costs.add(cost(ada, f"/api/sync/?cursor={cursor}")[1])

        assert len(costs) == 1
        assert costs.pop() <= 20

    def test_unread_total_costs_the_same_with_few_and_with_many(self, cost, ada, crowd):
        costs = set()
        for size in SIZES:
            for guest in crowd(size):
                write_to(guest, ada)
            costs.add(cost(ada, "/api/unread/")[1])

        assert len(costs) == 1
        assert costs.pop() <= 4

    def test_star_costs_few_queries(self, api, ada, ben):
        sent, client = write_to(ben, ada), api(ada)

        with CaptureQueriesContext(connection) as queries:
            assert client.put(f"/api/messages/{sent.message_id}/star/").status_code == 200

        assert len(queries) - SIGNED_IN <= 14

    def test_message_sent_costs_the_same_to_few_and_to_many(self, api, ada, crowd):
        costs = set()
        for size in SIZES:
            talk = group(ada, *crowd(size))
            client = api(ada)
            with CaptureQueriesContext(connection) as queries:
                client.post(f"/api/conversations/{talk}/messages/", {"message_body": "aye"})
            costs.add(len(queries))

        assert len(costs) == 1
