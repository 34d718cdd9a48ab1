import re

import pytest

pytestmark = pytest.mark.django_db

FILE = "/static/web/page.css"


class TestStaticFiles:
    def test_are_one_copy_for_all_who_take_them(self, client):
        first, second = client.get(FILE), client.get(FILE)

        assert first.content is second.content
        assert len(first.content) == int(first.headers["Content-Length"]) > 0

    def test_are_given_in_part_or_not_at_all_where_that_is_asked(self, client):
        whole = client.get(FILE)
        part = client.get(FILE, headers={"Range": "bytes=2-5"})
        head = client.head(FILE)
        same = client.get(FILE, headers={"If-None-Match": whole.headers["ETag"]})

        assert (part.status_code, part.content) == (206, whole.content[2:6])
        assert re.fullmatch(r"bytes 2-5/\d+", part.headers["Content-Range"])
        assert (head.status_code, head.content) == (200, b"")
        assert (same.status_code, same.content) == (304, b"")
