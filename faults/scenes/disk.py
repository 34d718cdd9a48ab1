"""A disk that is full."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from faults.clients import Sender
from faults.history import History
from faults.report import Finding, at_least, at_most, equal, fault, safe, sent, told
from faults.stage import Load, Stage
from tests.servers import NotHere

DISK_MB = 12


@fault("F08", "the disk full, and free again", "sqlite", seconds=8)
async def disk_full(stage: Stage) -> list[Finding]:
    """The database is on a small file system of its own, which something else fills."""
    with ExitStack() as mounted:
        disk = _small_disk(stage.folder / "disk", mounted)
        stage.url = f"sqlite:///{disk / 'parley.sqlite3'}"
        [server] = await stage.serve()
        people = await stage.cast(server.address)
        talks = await stage.groups(server.address, people)
        history, reads = History(), list[int]()
        senders = [Sender(person, [server.address], history, pause=0.01) for person in people]
        async with Load(senders, talks):
            await asyncio.sleep(stage.seconds / 4)
            stage.say("the disk is full")
            ballast = disk / "ballast"
            _fill(ballast)
            end = time.monotonic() + stage.seconds
            async with people[0].client(server.address) as client:
                while time.monotonic() < end:
                    path = f"/api/conversations/{talks[0]}/messages/"
                    reads.append((await client.get(path)).status_code)
                    await asyncio.sleep(0.1)
                    _fill(ballast)  # what a checkpoint freed, too
            ballast.unlink()
            freed = time.monotonic()
            stage.say("the disk is free again")
            await asyncio.sleep(stage.seconds / 4)
        acks = [a.acked for a in history.acked if a.acked is not None and a.acked > freed]
        violations = await stage.judge(history, talks, people[0], server.address)
        running = server.is_running()
        await server.kill()
        with sqlite3.connect(disk / "parley.sqlite3") as own:
            [[integrity]] = own.execute("PRAGMA integrity_check").fetchall()
    full = history.statuses()[507] + history.statuses()[503]
    return [
        *sent(history),
        at_least("answers 507 or 503", full, 1),
        equal("reads that failed meanwhile", sum(status != 200 for status in reads), 0),
        told("reads meanwhile", len(reads)),
        at_most("from when there is room to the first acknowledgement", min(acks) - freed, 2, "s"),
        safe(violations),
        equal("integrity_check", integrity, "ok"),
        equal("the process goes on", running, True),
        equal("unforeseen failures in the log", stage.faults_logged(), 0),
    ]


def _small_disk(folder: Path, mounted: ExitStack) -> Path:
    folder.mkdir()
    if os.name != "posix" or os.geteuid() != 0:
        raise NotHere("only root may mount a small file system")
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    if subprocess.run(command, check=False).returncode:
        raise NotHere("nothing can be mounted here")
    mounted.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
    return folder


def _fill(ballast: Path) -> None:
    with ballast.open("ab", buffering=0) as file:
        for size in (65_536, 4_096):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                pass
