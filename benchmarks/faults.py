"""Real faults under load, on loopback: servers killed, disks full, networks that stall and reset, locks, switches.

    python benchmarks/faults.py [--minutes 30] [--seed N] [--only "postmaster killed" …]

The site (`_fault_site`) has ingest, two workers, ten searchers and a node that a sender sends to. The faults of
`_fault_causes` come in random order until the time is over, each at least once; after each everything has to work
again within a minute, by itself. In the end what was acknowledged is looked for and every answer is compared with the
exact one (`_fault_verify`). Then come the faults that need a quiet archive (`_fault_quiet`), each once.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from random import Random
from statistics import median

from _common import machine, table
from _fault_causes import CAUSES, one
from _fault_load import BACK_SECONDS, Load
from _fault_quiet import QUIET
from _fault_site import Site, site
from _fault_verify import verify

from radretrieval.archive.embedded import shared_server


def main() -> None:
    """Let them act, print the tables; exit code 1 when anything was lost, double, wrong or late."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="of the mixed ones (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of order and moments (default: a new one)")
    parser.add_argument("--only", action="append", choices=[*CAUSES, *QUIET], help="one fault; may be repeated")
    parser.add_argument("--back", type=float, default=BACK_SECONDS, help="seconds, at most (default: %(default)s)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # through the clean-up: servers run
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    names = [name for name in CAUSES if arguments.only is None or name in arguments.only]
    quiet = [name for name in QUIET if arguments.only is None or name in arguments.only]
    print(f"{machine('psycopg')}; seed {seed}", flush=True)
    with site(seed) as ground:
        faults: list[str] = []
        for name in quiet:
            began = time.monotonic()
            try:
                said = QUIET[name](ground)
            except Exception as error:
                faults.append(f"{name}: {error!r}")
                said = f"FAILED: {str(error)[:500]}"
            print(f"{name} ({time.monotonic() - began:.0f} s): {said}", flush=True)
        if names:
            faults += mixed(ground, names, 60 * arguments.minutes, Random(seed), arguments.back)
    for fault in faults[:100]:
        print(f"fault: {fault}"[:1000])
    print(f"faults: {len(faults)}")
    sys.exit(bool(faults))


def mixed(ground: Site, names: list[str], seconds: float, random: Random, back: float) -> list[str]:
    """The faults under load, in random order; prints one line a fault and the table; what must not be, in words."""
    load = Load(ground)
    times: dict[str, list[float]] = defaultdict(list)
    late: dict[str, int] = defaultdict(int)
    last: dict[str, str] = {}
    try:
        load.back(time.monotonic(), 180)  # all of it has started
        began, order = time.monotonic(), random.sample(names, len(names))
        while (order and len(last) < len(names)) or time.monotonic() < began + seconds:
            order = order or random.sample(names, len(names))
            name = order.pop()
            said, took = one(load, name, random, back)
            last[name] = said
            times[name] += [] if took is None else [took]
            late[name] += took is None
            print(
                f"  {time.monotonic() - began:5.0f} s  {name}: {said}; back after {took}", file=sys.stderr, flush=True
            )
        load.settle(180)
    finally:
        load.end()
    shared_server.start(ground.home)
    verify(ground, load)
    seen = load.seen
    rows = []
    for name in names:
        took = times[name]
        rows.append([name, str(len(took) + late[name]), _seconds(took, median), _seconds(took, max), str(late[name])])
    table(["fault", "times", "back after (median)", "most", "not in time"], rows)
    print("\n".join(f"{name}: {said}" for name, said in last.items()))
    print(
        f"{len(seen.sent)} files answered with success, {len(seen.ingested)} files of ended runs of ingest, "
        f"{seen.verified} answers equal to the exact ones ({seen.unsure} were asked while too much was written)"
    )
    print(f"refused meanwhile, with a reason: {dict(sorted(seen.refused.items()))}")
    ends = {name: service.ends for name, service in load.services.items() if service.ends}
    print(f"services that were killed, or ended by themselves: {ends}")
    return seen.faults


def _seconds(times: list[float], of: Callable[[list[float]], float]) -> str:
    return f"{of(times):.1f} s" if times else "-"


if __name__ == "__main__":
    main()
