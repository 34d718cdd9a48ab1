"""The lists of a heavy reader, found by their listings, beside the same found by looking at all."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from parley.accounts.models import User
from parley.conversations.models import Participant
from parley.kernel.database import snapshot
from parley.kernel.paging import Page, Position
from parley.messaging import changes, queries
from parley.messaging import listings as module
from parley.messaging.listings import Listings

_looking = threading.local()


def install(monkeypatch: Any) -> None:
    """Let :func:`looking_at_all` have its way; the rest goes on as it is."""
    read = module._read

    def read_or_not(viewer_id: Any) -> Listings | None:
        return None if getattr(_looking, "at_all", False) else read(viewer_id)

    monkeypatch.setattr(module, "_read", read_or_not)


@contextmanager
def looking_at_all() -> Iterator[None]:
    """Within, everyone is read as a light reader is."""
    _looking.at_all = True
    try:
        yield
    finally:
        _looking.at_all = False


def lists(viewer: User) -> dict[str, Callable[[], object]]:
    """Every question that the listings answer, with where to begin chosen by chance."""
    size = random.randint(1, 5)
    gen = _some_gen(viewer)
    place = _some_place(viewer)
    filters = {
        "archived": random.random() < 0.3,
        "kind": random.choice([None, "direct", "group"]),
        "unread_only": random.random() < 0.4,
    }
    unread_only = random.random() < 0.4
    return {
        f"inbox {filters}": lambda: _walk(
            lambda at: queries.list_conversations(viewer=viewer, position=at, size=size, **filters)
        ),
        f"messages, unread {unread_only}": lambda: _walk(
            lambda at: queries.list_messages(
                viewer=viewer, position=at, size=size, unread_only=unread_only
            )
        ),
        "unread": lambda: queries.count_unread(viewer=viewer),
        "changed": lambda: _keys(changes.changed_after(viewer.user_id, gen, None, size)),
        "changed, going on": lambda: _keys(changes.changed_after(viewer.user_id, *place, size)),
    }


def differing(viewer: User) -> list[str]:
    """Return which lists are other than those found by looking at all, in one snapshot."""
    with snapshot():
        asked = lists(viewer)
        found = {name: ask() for name, ask in asked.items()}
        with looking_at_all():
            return [name for name, ask in asked.items() if ask() != found[name]]


def _walk(page_at: Callable[[Position | None], Page[Any]]) -> list[Any]:
    """Two pages, and the first again on the way back."""
    pages = [page_at(None)]
    if pages[0].next:
        pages.append(page_at(pages[0].next))
        assert pages[1].previous is not None
        pages.append(page_at(pages[1].previous))
    return pages


def _keys(found: list[Participant]) -> list[tuple[Any, ...]]:
    return [(changes.gen_of(mine), mine.conversation_id, mine.version) for mine in found]


def _some_gen(viewer: User) -> int:
    gens = [changes.gen_of(mine) for mine in _all(viewer)]
    return random.choice([*gens, 0]) - random.randint(0, 1)


def _some_place(viewer: User) -> tuple[int, Any]:
    found = _all(viewer)
    if not found:
        return 0, None
    mine = random.choice(found)
    return changes.gen_of(mine), mine.conversation_id


def _all(viewer: User) -> list[Participant]:
    return list(Participant.objects.filter(user_id=viewer.user_id).select_related("conversation"))
