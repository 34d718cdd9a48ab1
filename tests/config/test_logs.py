"""What reaches a log: one line a record, and no secret."""

import json
import logging
import sys

import pytest
import structlog

from parley.config import logs

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoiMSJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
OPAQUE = "0123456789abcdef" * 4


@pytest.fixture(params=["console", "json"])
def log(request):
    """Return how a record is written: by the arguments of ``logging.LogRecord``."""
    formatter = logs.formatter(request.param)

    def written(message, *args, name="parley.test", exc_info=None):
        record = logging.LogRecord(name, logging.INFO, "", 0, message, args, exc_info)
        line = formatter.format(record)
        if request.param == "json":
            json.loads(line)
        return line

    return written


class TestFormatter:
    @pytest.mark.parametrize("nasty", ["\r\n", "\n", "\x1b[2J", "\x9b", "\u2028", "\u202e", "\x00"])
    def test_lets_nothing_break_a_line_or_reach_a_terminal(self, log, nasty):
        line = log("Not Found: %s", f"/a{nasty}b", exc_info=_raised(ValueError(f"x{nasty}y")))

        assert nasty not in line
        assert len(line.splitlines()) == 1

    def test_takes_a_lone_surrogate(self, log):
        assert log("said %s", "\ud800").encode()

    def test_tells_of_an_exception_and_where_it_was(self, log):
        line = log("It failed.", exc_info=_raised(ValueError("odd")))

        assert "ValueError: odd" in line
        assert "test_logs.py" in line

    def test_does_not_quote_the_row_that_a_database_refused(self, log):
        error = ValueError("duplicate key\nDETAIL:  Key (email)=(ada@example.org) already exists.")

        assert "ada@example.org" not in log("It failed.", exc_info=_raised(error))

    def test_names_the_parts_of_a_request(self, log):
        said = ("127.0.0.1:5", "GET", "/api/?token=abc&page=2", "1.1", 200)

        line = log('%s - "%s %s HTTP/%s" %d', *said, name="uvicorn.access")

        assert "abc" not in line
        assert "page=2" in line
        assert "200" in line


class TestStructlog:
    def test_goes_the_same_way(self, capsys):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logs.formatter("json"))
        logging.getLogger("parley.structlog").handlers = [handler]

        structlog.get_logger("parley.structlog").warning("said", password="hunter2", user="ada")

        line = json.loads(capsys.readouterr().err)
        assert (line["event"], line["user"], line["password"]) == ("said", "ada", logs.GONE)


class TestScrub:
    @pytest.mark.parametrize(
        "text",
        [
            "Authorization: Bearer hunter2",
            "authorization=Token hunter2",
            "Cookie: sessionid=hunter2; a=b",
            "sent {'password': 'hunter2', 'a': 1}",
            'body {"refresh": "hunter2"}',
            "password=hunter2",
            "GET /login?username=hunter2&password=x HTTP/1.1",
            "GET /login?p%61ssword=hunter2",
            "GET /login?a=1;ticket=hunter2",
            "GET /login?csrfmiddlewaretoken=hunter2",
            "cannot reach postgres://ada:hunter2@db/talk",
            "Bearer hunter2hunter2",
        ],
    )
    def test_leaves_no_secret_that_has_a_name(self, text):
        assert "hunter2" not in logs.scrub(text)

    @pytest.mark.parametrize("token", [JWT, OPAQUE, OPAQUE[:40]])
    @pytest.mark.parametrize("text", ["{}", "GET /a/{}/b", "/a?q={}", "/a?{}", "said '{}'."])
    def test_leaves_no_token_wherever_it_stands(self, token, text):
        assert token[-20:] not in logs.scrub(text.format(token))

    @pytest.mark.parametrize(
        "text",
        [
            "GET /api/conversations/019a2b3c-4d5e-7f80-9123-456789abcdef/?limit=50 HTTP/1.1",
            "parley.ops.management.commands.serve started",
            "Not Found: /api/token/refresh/",
            "Token authentication failed",
            "/api/users/?search=ada",
        ],
    )
    def test_leaves_the_rest_as_it_is(self, text):
        assert logs.scrub(text) == text


class TestRedact:
    def test_looks_into_what_is_nested(self):
        event = {"request": {"headers": [{"Authorization": "hunter2"}], "message_body": "hunter2"}}

        assert "hunter2" not in str(logs.redact(None, "info", event))

    def test_does_not_follow_a_circle_for_ever(self):
        circle: dict[str, object] = {}
        circle["self"] = circle

        assert logs.redact(None, "info", circle)


class TestConfigure:
    @pytest.mark.parametrize("name", ["django.db.backends", "websockets.server", "uvicorn.error"])
    def test_keeps_quiet_who_would_write_down_what_people_say(self, name):
        config = {"level": "DEBUG", "format": "console", "access": True}
        try:
            logs.configure(config)

            assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)
            assert logging.getLogger("parley").isEnabledFor(logging.DEBUG)
        finally:
            logs.configure(config | {"level": "INFO"})


def _raised(error):
    try:
        raise error
    except type(error):
        return sys.exc_info()
