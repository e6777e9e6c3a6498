"""The bars of the table: which figure of which row must reach what, and whether it does."""

import statistics
from dataclasses import dataclass

OPENSSH, STERNA, IDEAL = "openssh", "sterna", "ideal"


@dataclass(frozen=True)
class Need:
    """What the median must reach: `value` itself, or so many times the median of `of`."""

    value: float
    of: str | None = None
    at_most: bool = False

    def text(self):
        sign = "<=" if self.at_most else ">="
        if self.of == IDEAL:
            return f"{sign} {self.value:.0%} of the ideal pair"
        return f"{sign} {self.value:g} x OpenSSH" if self.of else f"{sign} {self.value:g}"

    def share(self, ours, base):
        """Above 1: met."""
        limit = self.value * (base if self.of else 1)
        return limit / max(ours, 1e-9) if self.at_most else ours / max(limit, 1e-9)


@dataclass(frozen=True)
class Bar:
    row: str
    case: str
    figure: str
    what: str
    needs: tuple
    # Server and client of ours, and of what it is compared with.
    ours: tuple = (STERNA, STERNA)
    base: tuple = (OPENSSH, OPENSSH)
    # The case of the ideal pair, and its figure if it has another name there.
    ideal: tuple = ()


def least(value, of=None):
    return Need(value, of)


def most(value):
    return Need(value, at_most=True)


def both_ways(row, figure, what, needs, **options):
    return [Bar(row, f"{row} {way}", figure, f"{what}, {way}", needs, **options) for way in ("down", "up")]


LOAD = {"ours": (STERNA, "load"), "base": (OPENSSH, "load")}
OUR_SERVER = {"ours": (STERNA, OPENSSH)}
OUR_CLIENT = {"ours": (OPENSSH, STERNA)}


def ideal_server(case):
    """What the server does is to send for "down" and to receive for "up"."""
    return (case, {"down": "server_cpu_s_per_gib", "up": "client_cpu_s_per_gib"})


BARS = [
    *both_ways("big", "mib_per_cpu_s", "big file, MiB per CPU s of both sides",
               (least(3, OPENSSH), least(0.85, IDEAL)), ideal=("big ideal", None)),
    *both_ways("big", "mib_per_s", "big file, MiB/s", (least(3.5, OPENSSH),), ideal=("big ideal", None)),
    *both_ways("big", "server_cpu_s_per_gib", "our server, OpenSSH's sftp: server CPU s per GiB", (most(1.3),),
               **OUR_SERVER, ideal=ideal_server("big ideal")),
    *both_ways("big", "client_cpu_s_per_gib", "our client, OpenSSH's sshd: client CPU s per GiB", (most(1.3),),
               **OUR_CLIENT, ideal=("big ideal", {"down": "client_cpu_s_per_gib", "up": "server_cpu_s_per_gib"})),
    *both_ways("chacha", "server_cpu_s_per_gib", "chacha20-poly1305, our server: CPU s per GiB", (most(1.9),),
               **OUR_SERVER, ideal=ideal_server("chacha ideal")),
    *both_ways("small", "files_per_s", "small files, Sterna pair, files/s", (least(8000),)),
    *both_ways("small", "files_per_s", "small files, our client, stock sshd, files/s", (least(2.5, OPENSSH),),
               **OUR_CLIENT),
    *both_ways("far-big", "mib_per_s", "100 ms, big file, Sterna pair, MiB/s", (least(107),)),
    Bar("far-big", "far-big down", "mib_per_s", "100 ms, big file, stock sshd, MiB/s, down", (least(107),),
        **OUR_CLIENT),
    *both_ways("far-small", "files_per_s", "100 ms, small files, Sterna pair, files/s", (least(500),)),
    *both_ways("far-small", "files_per_s", "100 ms, small files, stock sshd, files/s", (least(500),), **OUR_CLIENT),
    Bar("logins", "logins", "logins_per_s", "logins with one stat per s", (least(1300),), **LOAD),
    Bar("stat", "stat 1", "stats_per_s", "stat per s, depth 1", (least(8000),), **LOAD),
    Bar("stat", "stat 64", "stats_per_s", "stat per s, depth 64", (least(180_000),), **LOAD),
    Bar("list", "list", "seconds", "READDIR with attributes, s", (most(0.30),), **LOAD),
    Bar("idle", "idle", "kib_per_session", "idle session, KiB (PSS)", (most(20),), **LOAD),
    Bar("fleet", "fleet", "mib_per_s", "many sessions at once, MiB/s", (least(850),), **LOAD),
    Bar("fleet", "fleet", "slowest_by_fastest", "many sessions: slowest / fastest", (most(1.25),), **LOAD),
    Bar("fleet", "fleet", "server_rss_mib", "many sessions: server's RSS, MiB", (most(48),), **LOAD),
]


@dataclass
class Verdict:
    """A bar beside what was measured; each measured part is a list of all runs, or None."""

    bar: Bar
    ours: list
    base: list | None
    ideal: list | None
    best_other: tuple | None
    met: bool
    # The needs in words, each with how the median stands to it.
    needs: list


def judge(bar, results):
    """The verdict, or None if ours was not measured."""
    ours = column(results, (bar.case, *bar.ours), bar.figure)
    if not ours:
        return None
    base = column(results, (bar.case, *bar.base), bar.figure)
    ideal = ideal_of(bar, results)
    needs, met = [], True
    for need in bar.needs:
        compared = {None: [1], OPENSSH: base, IDEAL: ideal}[need.of]
        if not compared:
            needs.append(f"{need.text()}: not measured")
            met = False
            continue
        share = need.share(statistics.median(ours), statistics.median(compared))
        met &= share >= 1
        reached = f" ({statistics.median(ours) / statistics.median(compared):.2f})" if need.of else ""
        needs.append(f"{need.text()}{reached}: {'met' if share >= 1 else 'not met'}")
    return Verdict(bar, ours, base, ideal, best_other(bar, results), met, needs)


def column(results, key, figure):
    return [run[figure] for run in results.get(key, []) if figure in run]


def ideal_of(bar, results):
    if not bar.ideal:
        return None
    case, figures = bar.ideal
    figure = figures[bar.case.split()[-1]] if figures else bar.figure
    return column(results, (case, IDEAL, IDEAL), figure) or None


def best_other(bar, results):
    """The best median of a pair without ours and other than OpenSSH's own: its name and its runs."""
    least_is_best = bar.needs[0].at_most
    found = []
    for (case, server, client), runs in results.items():
        other = STERNA not in (server, client) and (server, client) != bar.base
        # A side of ours is compared with the same side of others, whatever is opposite.
        if case == bar.case and other and matches(bar, server, client):
            found.append((f"{server}/{client}", [run[bar.figure] for run in runs]))
    median = lambda entry: statistics.median(entry[1])
    return (min if least_is_best else max)(found, key=median) if found else None


def matches(bar, server, client):
    if bar.ours == OUR_SERVER["ours"]:
        return client == OPENSSH
    if bar.ours == OUR_CLIENT["ours"]:
        return server == OPENSSH
    return True
