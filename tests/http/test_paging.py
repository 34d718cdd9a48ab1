import pytest

from parley.http.paging import BadCursor, read_cursor, write_cursor
from parley.kernel.paging import Position

POSITION = Position((3, "a/b+c", 2**60), backward=True)


class TestCursor:
    def test_is_read_as_it_was_written(self):
        text = write_cursor(POSITION, scope="messages")

        assert read_cursor({"cursor": text}, scope="messages") == POSITION

    @pytest.mark.parametrize("query", [{}, {"cursor": ""}])
    def test_without_one_a_list_begins_at_the_beginning(self, query):
        assert read_cursor(query, scope="messages") is None

    def test_is_of_one_list_alone(self):
        text = write_cursor(POSITION, scope="messages")

        with pytest.raises(BadCursor):
            read_cursor({"cursor": text}, scope="conversations")

    @pytest.mark.parametrize("change", [0, 5, -1])
    def test_cannot_be_changed(self, change):
        text = list(write_cursor(POSITION, scope="messages"))
        text[change] = "A" if text[change] != "A" else "B"

        with pytest.raises(BadCursor):
            read_cursor({"cursor": "".join(text)}, scope="messages")
