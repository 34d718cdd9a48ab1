import asyncio
import json

import pytest

from parley.http.guard import LARGEST_HEADERS, LONGEST_ADDRESS, MOST_HEADERS, Guard
from parley.kernel.metrics import answers

LIMIT = 1000


class Server:
    """Stands where an ASGI server would: hands over a request in pieces, and keeps the answer."""

    def __init__(self, *pieces, headers=(), path="/api/", query=b"", pause=0.0):
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "headers": list(headers),
        }
        self._pieces, self._pause = list(pieces or [b""]), pause
        self.taken = 0
        self.sent = []

    async def receive(self):
        await asyncio.sleep(self._pause)
        self.taken += 1
        body = self._pieces.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(self._pieces)}

    async def send(self, message):
        self.sent.append(message)

    @property
    def status(self):
        return self.sent[0]["status"]

    @property
    def headers(self):
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def error(self):
        [found] = json.loads(self.sent[1]["body"])["errors"]
        return found["code"]


class Echo:
    """An application that reads the whole body and answers with its length."""

    def __init__(self):
        self.calls = 0

    async def __call__(self, scope, receive, send):
        self.calls += 1
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(len(body)).encode()})


def run(server, *, application=None, **options):
    guard = Guard(application or Echo(), body_limit=LIMIT, **options)
    asyncio.run(guard(server.scope, server.receive, server.send))
    return server


def length(n):
    return [(b"content-length", str(n).encode())]


class TestCount:
    @pytest.mark.parametrize(
        ("server", "status"),
        [
            (Server(b"x"), "200"),
            (Server(b"x" * 600, b"x" * 600), "413"),
            (Server(headers=[(b"content-length", b"1001")]), "413"),
        ],
    )
    def test_is_of_each_answer_once(self, server, status):
        before = answers.counted.copy()

        run(server)

        assert answers.counted - before == {("POST", status): 1}


class TestBody:
    @pytest.mark.parametrize("pieces", [[b""], [b"x" * LIMIT], [b"x" * 500, b"x" * 500]])
    def test_within_the_limit_is_handed_on(self, pieces):
        server = run(Server(*pieces))

        assert server.status == 200
        assert server.sent[1]["body"] == str(sum(map(len, pieces))).encode()

    @pytest.mark.parametrize("said", ["1001", "1" * 5000, "-1", "1e3", "", "\u0661"])
    def test_that_is_said_to_be_too_long_is_not_read(self, said):
        application = Echo()
        headers = [(b"content-length", said.encode())]

        server = run(Server(b"x", headers=headers), application=application)

        assert (server.status, server.error) == (413, "request_too_large")
        assert (application.calls, server.taken) == (0, 0)

    def test_without_a_length_is_read_up_to_the_limit(self):
        server = run(Server(*[b"x" * 400] * 100))

        assert (server.status, server.error) == (413, "request_too_large")
        assert server.taken == 3

    def test_longer_than_was_said_is_read_up_to_the_limit(self):
        server = run(Server(*[b"x" * 400] * 100, headers=length(10)))

        assert server.status == 413

    def test_that_trickles_in_is_given_up(self):
        server = run(Server(*[b"x"] * 100, pause=0.02), body_s=0.1)

        assert (server.status, server.error) == (408, "request_timeout")

    def test_that_was_read_does_not_limit_how_long_the_answer_takes(self):
        async def slow(scope, receive, send):
            await receive()
            await asyncio.sleep(0.2)
            await send({"type": "http.response.start", "status": 200, "headers": []})

        assert run(Server(b"x"), application=slow, body_s=0.1).status == 200

    def test_that_goes_too_far_after_the_answer_began_only_ends_it(self):
        async def hasty(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await receive()

        assert [m["type"] for m in run(Server(b"x" * 2000), application=hasty).sent] == [
            "http.response.start"
        ]


class TestHead:
    def test_with_a_long_address_is_refused(self):
        for server in (
            Server(path="/" + "x" * LONGEST_ADDRESS),
            Server(query=b"x" * LONGEST_ADDRESS),
        ):
            assert (run(server).status, server.error) == (414, "address_too_long")

    def test_with_large_headers_is_refused(self):
        for headers in (
            [(b"x", b"y" * LARGEST_HEADERS)],
            [(b"x", b"")] * (MOST_HEADERS + 1),
        ):
            server = run(Server(headers=headers))
            assert (server.status, server.error) == (431, "headers_too_large")

    def test_within_the_limits_is_handed_on(self):
        server = run(Server(path="/" + "x" * 4000, headers=[(b"x", b"y" * 8000)]))

        assert server.status == 200


class TestRefusal:
    def test_closes_the_connection_and_bears_the_request_s_id(self):
        given = [*length(5000), (b"x-request-id", b"abc-1")]

        server = run(Server(headers=given))

        assert server.headers["connection"] == "close"
        assert server.headers["content-type"] == "application/json"
        assert server.headers["x-request-id"] == "abc-1"
        assert server.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in server.headers["content-security-policy"]
        assert server.headers["content-length"] == str(len(server.sent[1]["body"]))


class TestOther:
    def test_scopes_go_by(self):
        seen = []

        async def application(scope, receive, send):
            seen.append(scope["type"])

        guard = Guard(application, body_limit=LIMIT)
        asyncio.run(guard({"type": "lifespan"}, None, None))

        assert seen == ["lifespan"]
