"""Sessions in the database, as Django keeps them; each request reads its own in hand-written SQL.

The ORM takes longer to write that one statement than the database to answer it.
"""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends import db
from django.utils import timezone

from parley.accounts.queries import SESSION_SQL
from parley.kernel.database import rows


class SessionStore(db.SessionStore):
    def load(self) -> dict[str, Any]:
        """Return what the session holds; of one that is not there or over, nothing."""
        found = rows(SESSION_SQL, [self.session_key, timezone.now()], by_key=True)
        if not found:
            self._session_key = None
            return {}
        held: dict[str, Any] = self.decode(found[0][0])
        return held
