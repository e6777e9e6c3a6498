"""Measured transfers: one file or one tree with one client and one server, content compared."""

import contextlib
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import clients
from delay import DelayProxy
from group import Group
from stage import Failed, Stage, digest, tree_digest


@dataclass
class Way:
    """What lies between client and server: nothing, or a path with a round trip (ms) and a rate (Mbit/s)."""

    rtt: float = 0
    rate: float = 0
    proxy: Path | None = None

    def to(self, port):
        if self.proxy is None:
            return contextlib.nullcontext(port)
        return DelayProxy(self.proxy, port, self.rtt, self.rate)


class Transfers(Stage):
    verify = "off"

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.client_group = Group("client")
        # Digests of the files of the stage, by name.
        self.digests = {}

    def stop(self):
        super().stop()
        self.client_group.remove()

    def sides(self, direction):
        return (self.share, self.local) if direction == "down" else (self.local, self.share)

    def move(self, client, server, direction, source, target, tree=False, cipher=None, way=Way()):
        """Seconds of the whole client process, and the CPU seconds of both sides' process trees."""
        group = self.servers[server].group
        before = group.cpu(), self.client_group.cpu()
        with way.to(self.servers[server].port) as port:
            argv, batch = clients.argv(self, client, server, port, direction, source, target, tree, cipher,
                                       self.verify)
            start = time.monotonic()
            process = self.client_group.start(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                              stderr=subprocess.PIPE, text=True)
            said = process.communicate(batch)
            seconds = time.monotonic() - start
        if process.returncode != 0:
            raise Failed(f"{client} -> {server} {direction} failed: {' '.join(said).strip()}")
        return {"seconds": seconds, "server_cpu_s": group.cpu() - before[0],
                "client_cpu_s": self.client_group.cpu() - before[1]}

    def file(self, client, server, direction, name, **options):
        """Figures of one file that `make_data` made."""
        source, target = self.sides(direction)
        if not (source / name).exists():
            (source / name).hardlink_to(self.dir / name)
            (source / name).chmod(0o666)
        size = (source / name).stat().st_size
        self.warm(size)
        figures = self.move(client, server, direction, name, "arrived", **options)
        if digest(target / "arrived") != self.digests[name]:
            raise Failed(f"{client} -> {server} {direction}: content differs")
        (target / "arrived").unlink()
        mib = size / (1 << 20)
        return figures | rates(mib, figures["seconds"], figures["server_cpu_s"], figures["client_cpu_s"])

    def tree(self, client, server, direction, count, **options):
        """Figures of a tree of so many files of 4 KiB."""
        source, target = self.sides(direction)
        tree, arrived = source / f"tree{count}", target / "arrived"
        self.make_tree(tree, count)
        # OpenSSH wants the directory to be there, and then makes one inside; the others fill it.
        figures = self.move(client, server, direction, tree.name, "arrived", tree=True, **options)
        if tree_digest(arrived) != tree_digest(tree):
            raise Failed(f"{client} -> {server} {direction}: content of the tree differs")
        shutil.rmtree(arrived)
        cpu = figures["server_cpu_s"] + figures["client_cpu_s"]
        return figures | {"files_per_s": count / figures["seconds"], "files_per_cpu_s": count / max(cpu, 1e-3)}


def rates(mib, seconds, server_cpu, client_cpu):
    """What the CPU seconds and the time of so many MiB come to."""
    gib = mib / 1024
    return {"mib_per_s": mib / seconds, "mib_per_cpu_s": mib / max(server_cpu + client_cpu, 1e-3),
            "server_cpu_s_per_gib": server_cpu / gib, "client_cpu_s_per_gib": client_cpu / gib}
