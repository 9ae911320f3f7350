"""`make faults`: random faults at random moments, for as long as asked; prints what was tried and what did not hold."""

import argparse
import random
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.faults.harness import Kill, break_and_finish, search
from tests.servers import S3Server, seaweedfs

_KILLS_A_SEARCH = 4


def main() -> int:
    """Exit code 1 where something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="faults that hit something")
    parser.add_argument("--seed", type=int, default=0, help="of the first search; each one has its own")
    parser.add_argument("--storage", choices=["both", "folder", "s3"], default="both")
    options = parser.parse_args()
    tried: Counter[tuple[str, str, str]] = Counter()
    violations: list[str] = []
    with ExitStack() as stack:
        server = None
        if options.storage != "folder":
            server = stack.enter_context(seaweedfs(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        seed, hits = options.seed, 0
        # Whoever has seen enough presses Ctrl-C, and sees the table of what was tried.
        with suppress(KeyboardInterrupt):
            while hits < options.kills:
                storage = {"both": ("folder", "s3")[seed % 2]}.get(options.storage, options.storage)
                found, wrong = _one(seed, server if storage == "s3" else None)
                for kill, hit in found:
                    tried[storage, kill.phase, kill.fault] += hit
                    hits += hit
                violations += [f"seed {seed} ({storage}): {line}" for line in wrong]
                print(f"seed {seed} ({storage}): {hits} faults, {len(violations)} violations", flush=True)
                for line in wrong:
                    print(f"    {line}", flush=True)
                seed += 1
    print("\nstorage  phase   fault         hits")
    for (storage, phase, fault), number in sorted(tried.items()):
        print(f"{storage:<8} {phase:<7} {fault:<13} {number:>4}")
    print(f"\n{hits} faults, {len(violations)} violations")
    return 1 if violations else 0


def _one(seed: int, server: S3Server | None) -> tuple[list[tuple[Kill, bool]], list[str]]:
    chance = random.Random(seed)
    kills = [Kill.draw(chance) for _ in range(_KILLS_A_SEARCH)]
    of_the_model = Kill.draw_for_the_model(chance)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, search(Path(folder), server) as broken:
        hits = break_and_finish(broken, kills, of_the_model)
        return hits, broken.violations


if __name__ == "__main__":
    sys.exit(main())
