"""The rows of the table: what each measures, between whom, and with which settings."""

from dataclasses import dataclass, field

import clients
from peers import OURS, restart
from stage import Failed
from transfers import Way

CHACHA = "chacha20-poly1305@openssh.com"
# Server and client of the big file: every pair of OpenSSH and ours.
PAIRS = [("openssh", "openssh"), ("openssh", "sterna"), ("sterna", "openssh"), ("sterna", "sterna")]
FAR_RTT_MS = 100
FAR_RATE_MBIT = 1000


@dataclass
class Sizes:
    """How much is moved. "Others" are all clients but ours on long paths: they would take hours."""

    runs: int = 3
    big_mib: int = 1024
    small_files: int = 10_000
    # Long enough that the login and the first round trips do not decide.
    far_mib: int = 3072
    far_mib_of_others: int = 96
    far_files: int = 10_000
    far_files_of_others: int = 60
    login_s: float = 10
    login_parallel: int = 32
    stat_s: float = 5
    entries: int = 100_000
    idle_sessions: int = 1000
    fleet_sessions: int = 100
    fleet_mib: int = 20


# Under five minutes. Per-process costs weigh more here: the figures are for orientation.
QUICK = Sizes(runs=1, big_mib=256, small_files=2000, far_mib=512, far_mib_of_others=32, far_files=3000,
              far_files_of_others=10, login_s=3, stat_s=2, idle_sessions=100, fleet_mib=10)


@dataclass
class Measuring:
    """What the rows share. `note(case, server, client, figures)` keeps one run of one case."""

    stage: object
    load: object
    sizes: Sizes
    proxy: object
    note: object
    servers: list = field(default_factory=list)
    peers: bool = False
    failed: dict = field(default_factory=dict)

    def measure(self, case, server, client, how, *args, **options):
        """One run of one case. A peer that fails is left out, and said to have failed."""
        try:
            self.note(case, server, client, how(*args, **options))
        except Failed as why:
            if {server, client} <= {*OURS, "load", "ideal"}:
                raise
            self.failed[f"{case}, {server}/{client}"] = str(why)

    def others(self, *names):
        """Those clients that are wanted and installed."""
        return [name for name in names if self.peers and clients.is_installed(name)]

    def peer_servers(self, *names):
        return [name for name in names if name in self.servers]


def big(m):
    pairs = PAIRS + [(s, "openssh") for s in m.peer_servers("russh", "puressh", "proftpd", "dropbear", "rclone")]
    pairs += [("openssh", client) for client in m.others("rclone", "lftp")]
    for direction in ("down", "up"):
        for server, client in pairs:
            m.measure(f"big {direction}", server, client, m.stage.file, client, server, direction, "big")
    m.measure("big ideal", "ideal", "ideal", m.load.ideal, "big", m.stage.cipher)


def chacha(m):
    servers = ["openssh", "sterna", *m.peer_servers("russh", "puressh", "proftpd", "dropbear")]
    pairs = [(server, "openssh") for server in servers]
    for direction in ("down", "up"):
        for server, client in pairs:
            m.measure(f"chacha {direction}", server, client, m.stage.file, client, server, direction, "big",
                      cipher=CHACHA)
    m.measure("chacha ideal", "ideal", "ideal", m.load.ideal, "big", CHACHA)


def small(m):
    pairs = PAIRS + [(server, "openssh") for server in m.peer_servers("russh", "puressh")]
    pairs += [("openssh", client) for client in m.others("rclone", "lftp")]
    for direction in ("down", "up"):
        for server, client in pairs:
            m.measure(f"small {direction}", server, client, m.stage.tree, client, server, direction,
                      m.sizes.small_files)


def far_pairs(m):
    """Pairs, and whether the client is ours and so moves all."""
    pairs = [("openssh", "openssh"), ("openssh", "sterna"), ("sterna", "sterna")]
    pairs += [("openssh", client) for client in m.others("rclone", "lftp")]
    return [(server, client, client == "sterna") for server, client in pairs]


def far_big(m):
    way = Way(FAR_RTT_MS, FAR_RATE_MBIT, m.proxy)
    for direction in ("down", "up"):
        for server, client, all_of_it in far_pairs(m):
            name = "far" if all_of_it else "part"
            m.measure(f"far-big {direction}", server, client, m.stage.file, client, server, direction, name,
                      way=way)


def far_small(m):
    way = Way(FAR_RTT_MS, FAR_RATE_MBIT, m.proxy)
    for direction in ("down", "up"):
        for server, client, all_of_it in far_pairs(m):
            count = m.sizes.far_files if all_of_it else m.sizes.far_files_of_others
            m.measure(f"far-small {direction}", server, client, m.stage.tree, client, server, direction, count,
                      way=way)


def logins(m):
    # Dropbear takes five unauthenticated connections of one address: it is not asked.
    for server in ("openssh", "sterna", *m.peer_servers("russh", "puressh", "rclone", "proftpd")):
        m.measure("logins", server, "load", m.load.logins, server, m.sizes.login_parallel, m.sizes.login_s)


def stat(m):
    for depth in (1, 64):
        for server in ("openssh", "sterna", *m.peer_servers("russh", "puressh", "rclone", "dropbear")):
            m.measure(f"stat {depth}", server, "load", m.load.stats, server, "one", depth, m.sizes.stat_s)


def listing(m):
    for server in ("openssh", "sterna", *m.peer_servers("russh", "puressh", "rclone", "dropbear")):
        m.measure("list", server, "load", m.load.list, server, "many", m.sizes.entries)


def idle(m):
    for server in ("openssh", "sterna", *m.peer_servers("russh", "puressh", "rclone")):
        restart(m.stage, server)
        m.measure("idle", server, "load", m.load.idle, server, m.sizes.idle_sessions)


def fleet(m):
    for server in ("openssh", "sterna", *m.peer_servers("russh", "puressh", "rclone")):
        restart(m.stage, server)
        m.measure("fleet", server, "load", m.load.fleet, server, "fleet", m.sizes.fleet_sessions)


ROWS = {"big": big, "chacha": chacha, "small": small, "far-big": far_big, "far-small": far_small,
        "logins": logins, "stat": stat, "list": listing, "idle": idle, "fleet": fleet}


def prepare(stage, sizes, rows):
    """The content that the rows need."""
    files = {"big": sizes.big_mib} if {"big", "chacha"} & set(rows) else {}
    if "far-big" in rows:
        files |= {"far": sizes.far_mib, "part": sizes.far_mib_of_others}
    if "fleet" in rows:
        files["fleet"] = sizes.fleet_mib
    for name, mib in files.items():
        stage.digests[name] = stage.make_data(name, mib)
        # It is there before the servers are: rclone remembers what a directory holds.
        (stage.share / name).hardlink_to(stage.dir / name)
        (stage.share / name).chmod(0o666)
    (stage.share / "one").write_bytes(b"one")
    if "list" in rows:
        many = stage.share / "many"
        many.mkdir()
        for n in range(sizes.entries):
            (many / f"entry-{n:06}").touch()
