"""The load program of `bench/load`: logins, requests, listings, idle sessions, fleets, the ideal pair."""

import json
import subprocess
import sys

import clients
from group import PeakRss
from stage import Failed, digest
from transfers import rates

# The key exchange that the row of logins is about, and the servers that must take it. Others that do not know
# it get the cheapest one, which favours them.
KEX = "mlkem768x25519-sha256"
KEX_SERVERS = ("sterna", "russh", "puressh")
KEX_OF_OTHERS = f"{KEX},curve25519-sha256"


class Load:
    """Runs the load program against the servers of a stage."""

    def __init__(self, binary, stage):
        self.binary, self.stage = binary, stage

    def argv(self, what, server, *options):
        stage = self.stage
        return [self.binary, what, "--port", str(stage.servers[server].port), "--user", stage.user,
                "--key", stage.key, "-o", f"Ciphers={clients.ciphers(stage.cipher)}", *options]

    def run(self, what, server, *options):
        """What it printed, and the CPU seconds of both sides."""
        group, own = self.stage.servers[server].group, self.stage.client_group
        before = group.cpu(), own.cpu()
        figures = finish(own.start(self.argv(what, server, *options), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True), f"{what} -> {server}")
        return figures | {"server_cpu_s": group.cpu() - before[0], "client_cpu_s": own.cpu() - before[1]}

    def logins(self, server, parallel, seconds):
        kex = KEX if server in KEX_SERVERS else KEX_OF_OTHERS
        figures = self.run("logins", server, "--path", self.stage.servers[server].prefix,
                           "--parallel", str(parallel), "--seconds", str(seconds),
                           "-o", f"KexAlgorithms={kex}")
        if figures["failed"]:
            print(f"bench: {server}: {figures['failed']} logins failed, the first: {figures['first_failure']}",
                  file=sys.stderr)
        return figures

    def stats(self, server, path, depth, seconds):
        return self.run("stats", server, "--path", self.stage.servers[server].prefix + path,
                        "--depth", str(depth), "--seconds", str(seconds))

    def list(self, server, path, entries):
        return self.run("list", server, "--path", self.stage.servers[server].prefix + path,
                        "--entries", str(entries))

    def fleet(self, server, name, count):
        with PeakRss(self.stage.servers[server].group) as peak:
            figures = self.run("fleet", server, "--path", self.stage.servers[server].prefix + name,
                               "--sha256", self.stage.digests[name], "--count", str(count))
        return figures | {"server_rss_mib": peak.kib / 1024}

    def idle(self, server, count):
        """KiB of the server's memory for each of so many sessions, after one that is not counted."""
        group = self.stage.servers[server].group
        # What a server gets ready at its first login is no session's.
        self.hold(server, 1, group)
        group.cpu()
        before = group.pss()
        return {"sessions": count, "kib_per_session": (self.hold(server, count, group) - before) / count}

    def hold(self, server, count, group):
        """KiB of all processes of the server while so many sessions are open."""
        process = self.stage.client_group.start(
            self.argv("idle", server, "--count", str(count)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        if process.stdout.readline() != "ready\n":
            finish(process, f"idle -> {server}")
        group.cpu()
        kib = group.pss()
        figures = finish(process, f"idle -> {server}")
        if figures["alive_at_the_end"] != count:
            raise Failed(f"{server} has ended idle sessions: {figures}")
        return kib

    def ideal(self, name, cipher):
        """Figures of the ideal pair, for a file of the stage."""
        stage = self.stage
        target = stage.local / "ideal"
        stage.warm((stage.dir / name).stat().st_size)
        argv = [self.binary, "ideal", "--source", stage.dir / name, "--target", target, "--cipher", cipher]
        figures = finish(subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True), "ideal")
        if digest(target) != stage.digests[name]:
            raise Failed("the ideal pair: content differs")
        mib = target.stat().st_size / (1 << 20)
        target.unlink()
        return figures | rates(mib, figures["seconds"], figures["sender_cpu_s"], figures["receiver_cpu_s"])


def finish(process, doing):
    """The line of JSON at the end of what a load program says."""
    out, err = process.communicate("" if process.stdin else None)
    if process.returncode != 0:
        raise Failed(f"{doing} failed: {err.strip()}")
    return json.loads(out.splitlines()[-1])
