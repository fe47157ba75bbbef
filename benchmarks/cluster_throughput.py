"""The same search on 1, 2 and 3 hosts of one CPU each: trials per minute and the efficiency.

    python -m benchmarks.cluster_throughput --trials 30

Needs root on Linux: the hosts are those of tests/remote, all on this machine. The settings are
drawn at random from one seed and every trial trains all of its epochs, so that the work is the same
each time. The clock runs from the first report to the last: not while Ray and its workers start.
The first host is the head: the driver, Ray's own processes and a trial share its CPU, as far as the
machine has CPUs for all hosts; the share of the machine's CPUs that was in use says whether it had.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import busy_seconds
from tests.remote.hosts import SHARED_FOLDER, Hosts, running_hosts, why_no_hosts
from tunebox.decisions.events import Ended, Reported
from tunebox.records.journal import read_journal

_SEARCH = """\
data: {kind: digits}
model: {kind: small_conv, width: 16, feature_dim: 32}
losses: {cross_entropy: {on: noisy}, noise: {kind: gaussian, std: {uniform: [0.1, 0.8]}}}
optimizer: {kind: sgd, lr: {log_uniform: [0.01, 0.2]}}
evaluation: {noise: {kind: gaussian, std: 0.5}}
search: {sampler: random, min_epochs: 10, max_epochs: 10, seed: 0}
"""


@dataclass(frozen=True)
class Throughput:
    """What one search did; ``cores`` is how many of the machine's were busy meanwhile."""

    num_hosts: int
    trials: int
    seconds: float
    cores: float

    @property
    def trials_per_minute(self) -> float:
        return 60 * self.trials / self.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=30)
    arguments = parser.parse_args()
    reason = why_no_hosts()
    if reason is not None:
        sys.exit(reason)
    with running_hosts(3) as hosts:
        (hosts.shared / "same.yaml").write_text(_SEARCH, encoding="utf-8")
        measured = [measure(hosts, count, arguments.trials) for count in (1, 2, 3)]
    print(f"| hosts | trials per minute | efficiency | cores in use of {os.cpu_count()} |")
    print("|---|---|---|---|")
    alone = measured[0].trials_per_minute
    for run in measured:
        rate = run.trials_per_minute
        share = rate / (run.num_hosts * alone)
        print(f"| {run.num_hosts} | {rate:.1f} | {100 * share:.0f} % | {run.cores:.1f} |")


def measure(hosts: Hosts, count: int, trials: int) -> Throughput:
    """Run the search on the first ``count`` hosts."""
    ray = ("-m", "ray.scripts.scripts")
    small = ("--num-cpus=1", "--object-store-memory=200000000", "--disable-usage-stats")
    python(hosts, 1, *ray, "start", "--head", "--include-dashboard=false", *small)
    for number in range(2, count + 1):
        python(hosts, number, *ray, "start", f"--address={hosts.address(1)}:6379", *small)
    name = f"on-{count}"
    start, busy_start = time.monotonic(), busy_seconds()
    python(
        *(hosts, 1, "-m", "tunebox", "search", f"{SHARED_FOLDER}/same.yaml", "--name", name),
        *("--trials", str(trials), "--out", SHARED_FOLDER),
    )
    cores = (busy_seconds() - busy_start) / (time.monotonic() - start)
    for number in range(count, 0, -1):
        python(hosts, number, *ray, "stop", "--force")
    events = read_journal(hosts.shared / name / "journal.jsonl").events
    times = [event.report.time for event in events if isinstance(event, Reported)]
    ended = sum(isinstance(event, Ended) for event in events)
    return Throughput(count, ended, max(times) - min(times), cores)


def python(hosts: Hosts, number: int, *arguments: str) -> None:
    """Run Python on a host, with this checkout."""
    checkout = Path(__file__).parents[1]
    done = hosts.run(number, "env", f"PYTHONPATH={checkout}", sys.executable, *arguments)
    if done.returncode != 0:
        raise RuntimeError(done.stdout + done.stderr)


if __name__ == "__main__":
    main()
