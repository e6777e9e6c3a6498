"""Control groups: the CPU time and the memory of whole process trees."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
# Between two looks at the memory of a server under load: a look at hundreds of processes costs time itself.
SAMPLE_S = 0.2


class Group:
    """A control group, so that the CPU time of processes counts that nobody waits for."""

    ROOTS = [("/sys/fs/cgroup/cpuacct", "cpuacct.usage", lambda text: int(text) / 1e9),
             ("/sys/fs/cgroup", "cpu.stat", lambda text: int(text.split()[1]) / 1e6)]

    def __init__(self, name):
        for root, usage, self.read in self.ROOTS:
            self.path = Path(root) / f"sterna-bench-{os.getpid()}-{name}"
            if not Path(root, "cgroup.procs").exists():
                continue
            try:
                self.path.mkdir()
            except OSError:
                continue
            self.usage = self.path / usage
            if self.usage.exists():
                return
            self.path.rmdir()
        sys.exit("bench: needs a writable control group (run as root)")

    def start(self, argv, **options):
        """Starts a program inside the group."""
        procs = self.path / "cgroup.procs"
        return subprocess.Popen(argv, preexec_fn=lambda: procs.write_text(str(os.getpid())), **options)

    def cpu(self):
        """CPU seconds so far, once they stand still: the connection's processes are gone."""
        last = -1.0
        for _ in range(200):
            now = self.read(self.usage.read_text())
            if now - last < 0.002:
                return now
            last = now
            time.sleep(0.05)
        return last

    def processes(self):
        return (self.path / "cgroup.procs").read_text().split()

    def pss(self):
        """Proportional set size of all processes, in KiB: what they share is counted once."""
        return sum(read_field(f"/proc/{pid}/smaps_rollup", "Pss:") for pid in self.processes())

    def rss(self):
        """Resident set size of all processes added up, in KiB."""
        total = 0
        for pid in self.processes():
            try:
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KIB
            except (OSError, IndexError):
                # It has ended meanwhile.
                pass
        return total

    def remove(self):
        for _ in range(50):
            try:
                return self.path.rmdir()
            except OSError:
                time.sleep(0.05)


def read_field(path, name):
    """The number behind `name` in a file of /proc; 0 if the process has ended."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


class PeakRss:
    """The largest sum of the resident memory of a group while the block runs, in KiB."""

    def __init__(self, group):
        self.group, self.kib, self.done = group, 0, threading.Event()
        self.thread = threading.Thread(target=self.sample)

    def sample(self):
        while not self.done.wait(SAMPLE_S):
            self.kib = max(self.kib, self.group.rss())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        processes = self.group.processes()
        if len(processes) == 1:
            # The kernel knows better than samples.
            self.kib = max(self.kib, read_field(f"/proc/{processes[0]}/status", "VmHWM:"))
