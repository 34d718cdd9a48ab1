"""What the guard promises, held against a real server."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MEBIBYTE = 1024 * 1024


class LiveServer:
    """The application as it runs: uvicorn, on a port and a database of its own."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        keep = {k: v for k, v in os.environ.items() if k not in {"DATABASE_URL", "REDIS_URL"}}
        self.env = keep | {
            "PARLEY_DATA_DIR": str(folder),
            "PARLEY_ENV_FILE": os.devnull,
            "DJANGO_SETTINGS_MODULE": "parley.config.settings",
            "PYTHONPATH": str(ROOT / "src"),
            "TMPDIR": str(folder),
        }
        self.folder = folder
        self.process = None

    def start(self):
        for words in (["manage.py", "migrate", "-v0"],):
            subprocess.run([sys.executable, *words], cwd=ROOT, env=self.env, check=True)
        uvicorn = ["-m", "uvicorn", "parley.config.asgi:application", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [sys.executable, *uvicorn, "--log-level", "warning"], cwd=ROOT, env=self.env
        )
        for _ in range(150):
            try:
                if self.talk(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200:
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=20)

    def memory(self):
        """Its resident memory, in bytes."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def talk(self, head, body=(), patience=10):
        """Send a head and pieces of a body until an answer comes; return it and what went out."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=patience) as line:
            line.sendall(head)
            line.setblocking(False)
            sent, answer = 0, b""
            pieces = iter(body)
            piece = next(pieces, b"")
            until = time.monotonic() + patience
            while time.monotonic() < until:
                try:
                    answer += line.recv(65536)
                    if b"\r\n\r\n" in answer:
                        break
                except BlockingIOError:
                    time.sleep(0.001)
                if piece:
                    try:
                        went = line.send(piece)
                        sent += went
                        piece = piece[went:] or next(pieces, b"")
                    except BlockingIOError:
                        pass
                    except OSError:
                        piece = b""
            head, _, rest = answer.partition(b"\r\n\r\n")
            return int(head.split()[1]), head.decode("latin-1").lower(), rest, sent


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    found = LiveServer(tmp_path_factory.mktemp("live"))
    found.start()
    yield found
    found.stop()


def chunks(size, count):
    piece = b"%x\r\n" % size + b"x" * size + b"\r\n"
    return (piece for _ in range(count))


HEAD = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


class TestGuard:
    @pytest.mark.parametrize("path", [b"/no/such/address", b"/api/messages/"])
    def test_stops_reading_a_body_without_a_length_at_the_limit(self, server, path):
        before = server.memory()

        status, head, body, sent = server.talk(HEAD % path + CHUNKED, chunks(64 * 1024, 8_000))

        assert status == 413
        assert json.loads(body)["errors"][0]["code"] == "request_too_large"
        assert "connection: close" in head
        assert sent < 8 * MEBIBYTE  # what the sockets on the way hold
        assert server.memory() - before < 16 * MEBIBYTE
        spooled = [
            f for f in server.folder.iterdir() if not f.name.startswith(("parley", "secret"))
        ]
        assert not spooled

    def test_does_not_wait_for_a_body_that_is_said_to_be_too_long(self, server):
        status, _, _, sent = server.talk(
            HEAD % b"/api/messages/" + b"Content-Length: 500000000\r\n\r\n"
        )

        assert (status, sent) == (413, 0)

    def test_refuses_a_long_address_and_large_headers(self, server):
        long_address = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"x" * 9000)
        large_header = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: %s\r\n\r\n" % (b"x" * 20_000)

        assert server.talk(long_address)[0] == 414
        assert server.talk(large_header)[0] == 431


class TestChunks:
    def test_are_a_body_like_any_other(self, server):
        body = json.dumps({"username": "ada", "password": "a lamp in the corner"}).encode()
        pieces = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:9], body[9:])]

        status, _, _, _ = server.talk(HEAD % b"/api/register/" + CHUNKED, [*pieces, b"0\r\n\r\n"])

        assert status == 201
