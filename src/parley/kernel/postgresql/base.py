"""PostgreSQL: a thread keeps its connection, which plans the statements that recur only once.

To ask ``SELECT 1`` before each request takes as long as a statement of the request's own. A server
that ends a connection says so, and what it said lies in the socket: that is looked at instead.
"""

from __future__ import annotations

import select
import threading
import weakref
from typing import Any

import psycopg
from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: Any) -> Any:
        """Connect for as long as the thread is there: one that ends takes its connection along."""
        made = super().get_new_connection(conn_params)
        self._with_thread = weakref.finalize(threading.current_thread(), made.close)
        return made

    def _close(self) -> None:
        super()._close()  # type: ignore[misc] # the stubs leave it out
        self._with_thread.detach()

    def is_usable(self) -> bool:
        """Whether the connection saw no error that is not over, and nobody ended it.

        After an error outside of a transaction there is another: nothing that was prepared outlives
        a change of its tables. (A rollback drops what was prepared, too.)
        """
        connection: Any = self.connection
        if connection is None or connection.closed or self.errors_occurred:
            return False
        asked = select.poll()
        asked.register(connection, select.POLLIN)
        # What comes unasked is nearly always an end; it may also be another setting.
        return not asked.poll(0) or super().is_usable()

    def planning_cursor(self) -> Any:
        """Return a cursor whose statements are prepared, once they were asked a few times."""
        self.close_if_health_check_failed()
        self.ensure_connection()
        with self.wrap_database_errors:
            return self._prepare_cursor(psycopg.Cursor(self.connection))  # type: ignore[attr-defined]
