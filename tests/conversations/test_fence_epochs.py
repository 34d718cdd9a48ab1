"""Epochs: a cursor of another history is recognised, and one of this history never is."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from parley.conversations import epochs, fence
from parley.conversations.models import Epoch, Fence
from tests.talk import in_parallel

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


def tick() -> None:
    fence.tick(unless_within=timedelta(0))


def issue() -> tuple[int, str]:
    """What a cursor given out now would name."""
    if epochs.covering(fence.state().current) is None:
        epochs.ensure_first()
    current = fence.state().current
    nonce = epochs.covering(current)
    assert nonce is not None
    return current, nonce


def holds(issued: tuple[int, str]) -> bool:
    return epochs.holds(*issued, current=fence.state().current)


class Backup:
    """What a backup keeps of the fence and of the epochs, and puts back."""

    def __init__(self) -> None:
        self.fences, self.epochs = list(Fence.objects.all()), list(Epoch.objects.all())

    def restore(self) -> None:
        Fence.objects.all().delete()
        Epoch.objects.all().delete()
        Fence.objects.bulk_create(self.fences)
        Epoch.objects.bulk_create(self.epochs)


class TestBegin:
    def test_leaves_every_cursor_so_far_valid(self, db):
        issued = [issue()]
        for _ in range(4):
            epochs.begin()
            issued.append(issue())
            tick()
            issued.append(issue())

        assert all(holds(each) for each in issued)
        assert len({nonce for _, nonce in issued}) == 5

    def test_changes_nothing_for_the_generation_in_which_it_happens(self, db):
        before = issue()

        epochs.begin()

        assert issue() == before

    def test_of_several_at_once_leaves_one_epoch_for_what_comes(self, db):
        issue()

        in_parallel([epochs.begin] * 4)

        assert list(Epoch.objects.values_list("from_generation", flat=True)) == [0, 2]

    def test_keeps_out_cursors_of_a_generation_that_is_not_yet(self, db):
        assert not epochs.holds(fence.state().current + 1, issue()[1], current=1)


class TestRestore:
    def test_ends_the_cursors_of_generations_that_the_backup_does_not_know(self, db):
        epochs.begin()
        tick()
        before, backup = issue(), Backup()
        tick()
        later = issue()

        backup.restore()
        epochs.begin()
        tick()

        assert holds(before)
        assert not holds(later)

    def test_ends_them_though_the_backup_holds_the_epoch_that_they_name(self, db):
        """Between the start of a process and the next tick the epoch to come is in the backup."""
        issue()
        epochs.begin()
        backup = Backup()
        tick()
        later = issue()

        backup.restore()
        epochs.begin()
        tick()

        assert not holds(later)

    def test_ends_those_of_the_current_generation_by_the_command(self, db, capsys):
        tick()
        older = issue()
        tick()
        backup, during = Backup(), issue()

        backup.restore()
        call_command("new_epoch")
        epochs.begin()

        assert holds(older)
        assert not holds(during)
        assert "A new epoch has begun" in capsys.readouterr().out
        assert holds(issue())

    def test_is_seen_by_another_name_of_the_server(self, db, monkeypatch):
        monkeypatch.setattr(epochs, "_server", lambda: "one")
        epochs.begin()
        tick()
        issued = issue()
        monkeypatch.setattr(epochs, "_server", lambda: "other")

        epochs.begin()

        assert not holds(issued)
        again = issue()
        epochs.begin()
        assert holds(again)

    def test_is_not_seen_in_a_server_that_keeps_its_name_to_itself(self, db, monkeypatch):
        monkeypatch.setattr(epochs, "_server", lambda: "one")
        epochs.begin()
        issued = issue()
        monkeypatch.setattr(epochs, "_server", lambda: "")

        epochs.begin()

        assert holds(issued)


class TestServer:
    def test_has_a_name_on_a_server_and_none_on_sqlite(self, db):
        assert bool(epochs._server()) == (connection.vendor != "sqlite")
        assert epochs._server() == epochs._server()

    def test_that_refuses_to_tell_leaves_the_transaction_as_it_was(self, db, monkeypatch):
        monkeypatch.setattr(epochs, "_name_sql", lambda: "SELECT no_such_thing")
        with transaction.atomic():
            assert epochs._server() == ""
            assert fence.state().current == 1
