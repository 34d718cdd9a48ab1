"""What a connection makes of heads that are slow, huge or none, on a real server."""

import asyncio
import json
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
import uvicorn
from websockets.sync.client import connect

from parley.http.heads import LARGEST_HEAD, Connection
from parley.realtime.lines import Line

GET = b"GET /api/ HTTP/1.1\r\nHost: here\r\n\r\n"
POST = b"POST /api/ HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST /api/ HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"

PIECE = 2**18
LARGE = 2**26


class Hasty(Connection):
    head_s = 1.0
    taking_s = 1.0


class Echo:
    """Answers with the length of the body; at /hasty before it has come, at /slow when let go."""

    def __init__(self):
        self.may_answer = threading.Event()
        self.gone = threading.Event()

    async def __call__(self, scope, receive, send):
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            said = await receive()
            while said["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": said["text"]})
                said = await receive()
            return
        size, more = 0, scope["path"] != "/hasty"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone.set()
                return
            size, more = size + len(message["body"]), message["more_body"]
        if scope["path"] == "/large":
            await self.pour(receive, send)
            return
        if scope["path"] == "/slow":
            await asyncio.to_thread(self.may_answer.wait, 10)
        body = str(size).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def pour(self, receive, send):
        """Answer with more than any system keeps for a client that does not read."""
        headers = [(b"content-length", str(LARGE).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for left in range(LARGE, 0, -PIECE):
            message = {"body": b"x" * PIECE, "more_body": left > PIECE}
            await send({"type": "http.response.body", **message})
        await receive()
        self.gone.set()


@contextmanager
def running(echo, connection):
    config = uvicorn.Config(
        echo, http=connection, ws=Line, lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="module")
def echo():
    return Echo()


@pytest.fixture(scope="module")
def port(echo):
    with running(echo, Hasty) as found:
        yield found


@pytest.fixture(scope="module")
def patient():
    """A server whose deadlines play no part."""
    with running(Echo(), Connection) as found:
        yield found


class Client:
    def __init__(self, port):
        self.line = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.line.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.line.close()

    def send(self, data):
        self.line.sendall(data)

    def answer(self):
        """Return the status and the body of the next answer; None where there is none."""
        first = self.file.readline()
        if not first:
            return None
        length = 0
        while (header := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = header.lower().partition(b":")
            length = int(value) if name == b"content-length" else length
        return int(first.split()[1]), self.file.read(length)

    def refusal(self):
        """Return the status and the code of the last answer."""
        status, body = self.answer()
        assert self.answer() is None
        [error] = json.loads(body)["errors"]
        return status, error["code"]


def dribble(client, data):
    """Send byte by byte, slowly, until nobody takes any more."""
    with suppress(OSError):
        for byte in data:
            client.send(bytes([byte]))
            time.sleep(0.05)


class TestHead:
    def test_that_dribbles_in_is_given_up_while_others_are_served(self, port):
        head = b"GET / HTTP/1.1\r\nX-Slow: " + b"x" * 1_000
        with Client(port) as slow, Client(port) as other:
            threading.Thread(target=dribble, args=(slow, head), daemon=True).start()
            other.send(GET)

            assert other.answer() == (200, b"0")
            assert slow.refusal() == (408, "request_timeout")

    def test_that_never_begins_ends_the_connection_without_a_word(self, port):
        with Client(port) as client:
            assert client.answer() is None

    def test_has_its_time_from_when_it_begins_after_an_answer(self, port):
        with Client(port) as client:
            client.send(GET)
            assert client.answer() == (200, b"0")
            time.sleep(1.5)
            client.send(GET)
            assert client.answer() == (200, b"0")
            client.send(GET[:10])

            assert client.refusal() == (408, "request_timeout")

    def test_is_not_put_off_by_empty_lines(self, port):
        with Client(port) as client:
            client.send(GET)
            assert client.answer() == (200, b"0")
            threading.Thread(target=dribble, args=(client, b"\r\n" * 500), daemon=True).start()

            assert client.refusal() == (408, "request_timeout")

    def test_may_wait_behind_an_answer_that_takes_long(self, port, echo):
        with Client(port) as client:
            client.send(GET.replace(b"/api/", b"/slow") + GET[:10])
            time.sleep(1.5)
            echo.may_answer.set()
            assert client.answer() == (200, b"0")
            client.send(GET[10:])

            assert client.answer() == (200, b"0")

    @pytest.mark.parametrize("step", [1_000, 1_000_000])
    def test_that_is_huge_is_refused_before_it_is_whole(self, patient, step):
        head = b"GET /api/ HTTP/1.1\r\nX-Huge: " + b"x" * 2_000_000
        with Client(patient) as client:
            with suppress(OSError):  # it may be closed before all is sent
                for begin in range(0, len(head), step):
                    client.send(head[begin : begin + step])

            assert client.refusal() == (431, "headers_too_large")

    def test_with_a_huge_address_is_refused_before_it_is_whole(self, patient):
        with Client(patient) as client:
            client.send(b"GET /" + b"x" * 1_000_000)

            assert client.refusal() == (414, "address_too_long")

    def test_that_is_huge_behind_a_request_ends_the_connection_once_that_is_answered(
        self, port, echo
    ):
        echo.may_answer.clear()
        with Client(port) as client:
            client.send(GET.replace(b"/api/", b"/slow") + b"GET / HTTP/1.1\r\nX: ")
            client.send(b"x" * LARGEST_HEAD * 4)
            echo.may_answer.set()

            assert client.answer() == (200, b"0")
            assert client.answer() is None

    @pytest.mark.parametrize("head", [b"no HTTP at all\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"])
    def test_that_is_none_is_malformed(self, patient, head):
        with Client(patient) as client:
            client.send(head)

            assert client.refusal() == (400, "parse_error")

    def test_that_bears_a_request_id_gets_it_back(self, patient):
        with Client(patient) as client:
            client.send(
                b"GET / HTTP/1.1\r\nX-Request-ID: abc-1\r\nHost: here\r\nBad Header: 1\r\n\r\n"
            )

            assert b"x-request-id: abc-1\r\n" in client.file.read()


class TestBody:
    def test_may_be_larger_than_a_head(self, patient):
        size = LARGEST_HEAD * 50
        with Client(patient) as client:
            client.send(POST % size + b"x" * size)
            assert client.answer() == (200, str(size).encode())
            client.send(GET)

            assert client.answer() == (200, b"0")

    def test_that_breaks_off_in_its_chunks_is_malformed(self, patient):
        with Client(patient) as client:
            client.send(CHUNKED + b"5\r\nhello\r\nno number\r\n")

            assert client.refusal() == (400, "parse_error")

    def test_that_comes_after_the_answer_has_as_long_as_a_head(self, port):
        with Client(port) as client:
            client.send((POST % 1000).replace(b"/api/", b"/hasty"))
            assert client.answer() == (200, b"0")
            dribble(client, b"x" * 1000)

            assert client.answer() is None


class TestConnection:
    def test_answers_what_comes_at_once_in_order(self, patient):
        bodies = [b"x" * n for n in (0, 1, 9_000, 30_000, 2)]
        with Client(patient) as client:
            client.send(b"".join(POST % len(body) + body for body in bodies))

            answers = [client.answer() for _ in bodies]

        assert answers == [(200, str(len(body)).encode()) for body in bodies]

    def test_becomes_a_websocket_that_no_deadline_ends(self, port):
        with connect(f"ws://127.0.0.1:{port}/ws/") as line:
            time.sleep(1.5)
            line.send("still here")

            assert line.recv(timeout=10) == "still here"


class TestAnswer:
    def test_that_nobody_takes_is_not_kept(self, port, echo):
        echo.gone.clear()
        with Client(port) as client:
            client.send(GET.replace(b"/api/", b"/large"))

            assert echo.gone.wait(20)
            with pytest.raises(ConnectionResetError):  # the kernel keeps nothing, either
                client.file.read()

    def test_that_is_taken_slowly_but_steadily_comes_to_its_end(self, port):
        with Client(port) as client:
            client.send(GET.replace(b"/api/", b"/large"))
            first = client.file.read(2**20)
            for _ in range(15):
                time.sleep(0.2)
                client.file.read(2**20)

            assert first.startswith(b"HTTP/1.1 200")
            assert len(client.file.read(LARGE - 2**24)) == LARGE - 2**24
