"""Redis by sentinels and as a cluster: hints and rates go on when a server dies."""

import asyncio
import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from uuid import uuid4

import limits
import pytest
import redis

from parley.conversations.events import Event, Type
from parley.http.throttling import Shared
from parley.kernel import redis_servers
from parley.ops import health
from parley.realtime.broker import RedisBroker
from tests.servers import free_port

PROGRAM = shutil.which("redis-server")
RATE = limits.parse("2/minute")


class Daemon:
    """One Redis server."""

    def __init__(self, folder, **options):
        self.port = free_port()
        options = {"port": self.port, "bind": "127.0.0.1", "save": '""', "dir": folder} | options
        self.file = folder / f"{self.port}.conf"
        self.file.write_text("".join(f"{k} {v}\n" for k, v in options.items()))
        self.password, self.process = options.get("requirepass"), None

    @contextmanager
    def run(self, *more):
        command = [PROGRAM, str(self.file), *more]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            until(lambda: self.says("PING"))
            yield self
        finally:
            self.kill()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def says(self, *command):
        options = {"port": self.port, "password": self.password, "decode_responses": True}
        with redis.Redis(**options) as client:
            try:
                return client.execute_command(*command)
            except redis.RedisError:
                return None


def until(is_so, seconds=15):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come to it"
        time.sleep(0.05)


@pytest.fixture
def sentinels(tmp_path):
    """A master with a replica, watched by a sentinel that is quick to decide."""
    with ExitStack() as stack:
        master = stack.enter_context(Daemon(tmp_path, requirepass="secret").run())
        replica = Daemon(
            tmp_path,
            requirepass="secret",
            masterauth="secret",
            replicaof=f"127.0.0.1 {master.port}",
            **{"repl-diskless-sync-delay": 0},
        )
        stack.enter_context(replica.run())
        until(lambda: replica.says("INFO", "replication")["master_link_status"] == "up")
        sentinel = Daemon(tmp_path)
        with sentinel.file.open("a") as file:
            file.write(
                f"sentinel monitor talk 127.0.0.1 {master.port} 1\n"
                "sentinel auth-pass talk secret\n"
                "sentinel down-after-milliseconds talk 500\n"
                "sentinel failover-timeout talk 2000\n"
            )
        stack.enter_context(sentinel.run("--sentinel"))
        until(lambda: sentinel.says("SENTINEL", "MASTER", "talk")["num-slaves"] == "1")
        yield master, f"redis+sentinel://:secret@127.0.0.1:{sentinel.port}/talk/3"


@pytest.fixture
def cluster(tmp_path):
    """Three nodes, each with a third of the slots."""
    thirds = [(0, 5460), (5461, 10922), (10923, 16383)]
    nodes = [Daemon(tmp_path, **_cluster_options(n)) for n in range(3)]
    with ExitStack() as stack:
        for node, slots in zip(nodes, thirds, strict=True):
            stack.enter_context(node.run())
            assert node.says("CLUSTER", "ADDSLOTSRANGE", *slots) == "OK"
            bus = node.says("CONFIG", "GET", "cluster-port")["cluster-port"]
            assert nodes[0].says("CLUSTER", "MEET", "127.0.0.1", node.port, bus) == "OK"
        until(lambda: all(_is_formed(node) for node in nodes))
        yield nodes


def _cluster_options(n):
    return {
        "cluster-enabled": "yes",
        "cluster-config-file": f"nodes{n}.conf",
        "cluster-port": free_port(),
        "cluster-node-timeout": 1000,
    }


def _is_formed(node):
    found = str(node.says("CLUSTER", "INFO"))
    return "cluster_state:ok" in found and "cluster_known_nodes:3" in found


def url_of(nodes):
    return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)


async def carried(out, hear_in, between):
    """Whether hints go from one broker to another, before something and after it."""
    got, heard = asyncio.Queue(), []
    await out.start(lambda events: None)
    await hear_in.start(lambda events: got.put_nowait([*events]))
    try:
        heard += await one(out, got)
        await asyncio.to_thread(between)
        heard += await one(out, got)
    finally:
        await out.stop()
        await hear_in.stop()
    return heard


async def one(out, got):
    """Say the same until it is heard: a hint that nobody listens to is lost."""
    said = Event(Type.MESSAGES, uuid4(), 7)
    async with asyncio.timeout(15):
        while True:
            out.publish([said])
            with suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    while said not in await got.get():
                        pass
                    return [said]


def is_shared(url):
    """Whether two processes count together."""
    one, other = Shared(url), Shared(url)
    name = uuid4().hex
    taken = [
        counters.use(lambda c: c.take(RATE, name, exact=True)) for counters in (one, other, one)
    ]
    return taken == [True, True, False]


class TestSentinels:
    def test_name_another_master_when_theirs_dies(self, sentinels, settings):
        master, url = sentinels
        settings.PARLEY = settings.PARLEY.model_copy(update={"redis_url": url})
        assert is_shared(url)

        heard = asyncio.run(carried(RedisBroker(url), RedisBroker(url), master.kill))

        assert len(heard) == 2
        until(health.redis_answers)  # while it is replaced there is none
        assert is_shared(url)


class TestACluster:
    def test_carries_hints_from_any_node_to_any_other_that_lives(self, cluster, settings):
        first, second, third = cluster
        out, hear_in = RedisBroker(url_of([first])), RedisBroker(url_of([second, third]))
        assert is_shared(url_of(cluster))

        heard = asyncio.run(carried(out, hear_in, second.kill))

        assert len(heard) == 2
        settings.PARLEY = settings.PARLEY.model_copy(update={"redis_url": url_of([second, third])})
        assert health.redis_answers()


class TestAUrl:
    @pytest.mark.parametrize(
        ("url", "hosts", "service", "database"),
        [
            ("redis+sentinel://a:1,b/talk/2", (("a", 1), ("b", 26379)), "talk", 2),
            ("redis+sentinel://[::1]:1/talk", (("::1", 1),), "talk", 0),
            ("redis+cluster://a,b:7", (("a", 6379), ("b", 7)), "", 0),
        ],
    )
    def test_says_where(self, url, hosts, service, database):
        found = redis_servers.read(url)

        assert (found.hosts, found.service, found.database) == (hosts, service, database)

    def test_says_who(self):
        found = redis_servers.read("redis+sentinel://ada:p%40@a/talk?sentinel_password=s")

        assert (found.username, found.password, found.sentinel_password) == ("ada", "p@", "s")

    @pytest.mark.parametrize(
        "url",
        [
            "http://a",
            "redis+sentinel://a",
            "redis+sentinel:///talk",
            "redis+sentinel://a/talk/x",
            "redis+cluster://a/talk",
            "redis+cluster://a:x",
        ],
    )
    def test_is_refused_where_it_says_neither(self, url):
        with pytest.raises(ValueError, match=r"expected|Port"):
            redis_servers.read(url)
