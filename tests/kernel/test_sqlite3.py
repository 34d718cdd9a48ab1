import pytest
from django.db import connection

pytestmark = pytest.mark.django_db

MIB = 1 << 20


def test_the_log_is_emptied_seldom_but_before_it_is_large():
    with connection.cursor() as cursor:
        pages, size = (
            cursor.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("wal_autocheckpoint", "page_size")
        )

    assert 8 * MIB < pages * size < 32 * MIB  # it may grow to twice that while someone reads
