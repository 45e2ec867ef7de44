"""Faults of a site under load: each function is one cause, from its begin to its end, and says what it did."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from random import Random
from typing import Any

import psutil
import psycopg
from _fault_load import Load


def server_killed(load: Load, random: Random) -> str:
    """SIGKILL to the postmaster."""
    return _signal(load, 0, signal.SIGKILL)


def backend_killed(load: Load, random: Random) -> str:
    """SIGKILL to one session: the server ends all others and recovers."""
    victims = [one for one in load.site.server() if "[local]" in " ".join(_line(one))]
    if not victims:
        return "no session was there"
    victim = random.choice(victims)
    told = " ".join(_line(victim))
    with contextlib.suppress(psutil.NoSuchProcess):
        victim.kill()
    return told


def server_quit(load: Load, random: Random) -> str:
    """SIGQUIT to the postmaster: an immediate shutdown, without a checkpoint."""
    return _signal(load, 0, signal.SIGQUIT)


def all_killed(load: Load, random: Random) -> str:
    """SIGKILL to all processes of the server."""
    found = load.site.server()
    for one in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    return f"{len(found)} processes"


def service_killed(load: Load, random: Random) -> str:
    """SIGKILL to one of the services; it is started again as by systemd."""
    name = random.choice(list(load.services))
    process = load.services[name].process
    assert process is not None
    process.kill()
    return name


def decoder_killed(load: Load, random: Random) -> str:
    """SIGKILL to decoding processes for 5 s, as the kernel does that is out of memory."""
    killed, until = 0, time.monotonic() + 5
    while time.monotonic() < until:
        for service in load.services.values():
            with contextlib.suppress(psutil.Error):
                assert service.process is not None
                for child in psutil.Process(service.process.pid).children():
                    child.kill()
                    killed += 1
        time.sleep(0.2)
    return f"{killed} processes"


def store_full(load: Load, random: Random) -> str:
    """No byte is free on the disk of the store."""
    return _full(load, "store", random)


def database_full(load: Load, random: Random) -> str:
    """No byte is free on the disk of the database."""
    return _full(load, "home", random)


def wal_full(load: Load, random: Random) -> str:
    """No byte is free on the disk of the WAL, and more than a segment is written: the server ends in a PANIC."""
    if not load.site.tmpfs:
        return "left out: no tmpfs"
    with load.site.filled("wal"):
        until = time.monotonic() + 30
        with contextlib.suppress(psycopg.Error), load.site.connect(autocommit=True) as connection:
            while time.monotonic() < until:
                connection.execute("CREATE TABLE IF NOT EXISTS public.ballast (text text)")
                connection.execute(
                    "INSERT INTO public.ballast SELECT repeat(md5(n::text), 60) FROM generate_series(1, 9000) n"
                )
                connection.execute("DROP TABLE public.ballast")
        time.sleep(random.uniform(3, 8))
        ended = _answers(load)
    return f"the server {'answers nobody' if not ended else 'goes on'} meanwhile"


def network_stalls(load: Load, random: Random) -> str:
    """Nothing comes through for some seconds, neither to the database nor to the node."""
    seconds = random.uniform(5, 12)
    for proxy in (load.site.proxy, load.senders):
        proxy.stalled = True
    time.sleep(seconds)
    for proxy in (load.site.proxy, load.senders):
        proxy.stalled = False
    return f"{seconds:.0f} s"


def network_resets(load: Load, random: Random) -> str:
    """All connections are reset in mid-stream, five times."""
    ended = 0
    for _ in range(5):
        ended += load.site.proxy.reset() + load.senders.reset()
        time.sleep(random.uniform(0, 1))
    return f"{ended} connections"


def network_half_closed(load: Load, random: Random) -> str:
    """What servers send comes no more, what is sent to them does."""
    return f"{load.site.proxy.half_close() + load.senders.half_close()} connections"


def network_down(load: Load, random: Random) -> str:
    """No connection is there, nor can be made, for some seconds."""
    seconds = random.uniform(5, 15)
    for proxy in (load.site.proxy, load.senders):
        proxy.down = True
        proxy.reset()
    time.sleep(seconds)
    for proxy in (load.site.proxy, load.senders):
        proxy.down = False
    return f"{seconds:.0f} s"


def encoders_switched(load: Load, random: Random) -> str:
    """The active encoder is switched six times while everybody searches."""
    for number in range(6):
        wanted = load.site.encoders[(number + 1) % 2]
        load.site.run("encoder", "activate", str(wanted), "--force")
        time.sleep(random.uniform(0, 1))
    return "and is the first again"


def analyst_reads(load: Load, random: Random) -> str:
    """An analyst's transaction stays open and idle: it holds a snapshot, and nobody up."""
    with load.site.connect() as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM image, cnnc")
        time.sleep(10)
        return f"health: {_health(load, 'locks')}"


def table_locked(load: Load, random: Random) -> str:
    """Somebody locks the table of images against writers, and forgets it for some seconds."""
    with load.site.connect() as connection:
        connection.execute("LOCK TABLE image IN EXCLUSIVE MODE")
        time.sleep(8)
        upgrade = load.site.run("db", "upgrade", expect=None)
        told = _health(load, "locks")
        if "waits" not in told and "waited" not in told:
            load.seen.faults.append(f"health does not see who is blocked: {told}")
        connection.rollback()
    return f"db upgrade ends with {upgrade.returncode}; health: {told}"


Cause = Callable[[Load, Random], str]
CAUSES: dict[str, Cause] = {
    "postmaster killed": server_killed,
    "session's process killed": backend_killed,
    "server ended by SIGQUIT": server_quit,
    "all server processes killed": all_killed,
    "a service killed": service_killed,
    "decoders killed (out of memory)": decoder_killed,
    "disk full: store": store_full,
    "disk full: database": database_full,
    "disk full: WAL": wal_full,
    "network stalls": network_stalls,
    "network resets": network_resets,
    "network half-closed": network_half_closed,
    "network down": network_down,
    "encoders switched": encoders_switched,
    "analyst's transaction open": analyst_reads,
    "table locked": table_locked,
}


def _signal(load: Load, place: int, number: signal.Signals) -> str:
    found = load.site.server()
    if not found:
        return "no server was there"
    with contextlib.suppress(ProcessLookupError):
        os.kill(found[place].pid, number)
    return f"process {place + 1} of {len(found)}"


def _line(process: Any) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _full(load: Load, name: str, random: Random) -> str:
    if not load.site.tmpfs:
        return "left out: no tmpfs"
    refused = dict(load.seen.refused)
    with load.site.filled(name):
        time.sleep(random.uniform(6, 12))
        told = load.site.run("health", "--only", "disks", "--json", expect=None).returncode
    more = [who for who, count in load.seen.refused.items() if count > refused.get(who, 0)]
    return f"health ends with {told}; refused meanwhile: {', '.join(sorted(more)) or 'nothing'}"


def _answers(load: Load) -> bool:
    try:
        load.site.rows("SELECT 1")
    except psycopg.Error:
        return False
    return True


def _health(load: Load, check: str) -> str:
    done = load.site.run("health", "--only", check, expect=None)
    return f"{done.returncode}, {' '.join((done.stdout + done.stderr).split())[:220]}"


def one(load: Load, name: str, random: Random, seconds: float) -> tuple[str, float | None]:
    """Let a cause act; what it did, and how many seconds after its end the last part worked again (None: not in time).

    What was committed before it is committed afterwards, in the same rows.
    """
    before = load.committed()
    said = CAUSES[name](load, random)
    ended = time.monotonic()
    back = load.back(ended, seconds)
    after = load.committed()
    late = [part for part, took in back.items() if took is None]
    load.seen.faults += [f"{name}: {part} was not back after {seconds:.0f} s" for part in late]
    said += f"; not back: {', '.join(late)}" if late else ""
    if before is not None and after is not None and (lost := before - after):
        load.seen.faults.append(f"{name}: {len(lost)} rows are gone, or others: {sorted(lost)[:2]}")
    return said, None if late else max(took for took in back.values() if took is not None)
