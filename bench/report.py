"""What is printed and written: the machine, every measured pair, and the table with its bars."""

import os
import platform
import statistics
import subprocess
from pathlib import Path

from bars import BARS, judge

FLAGS = ["aes", "vaes", "vpclmulqdq", "avx2", "avx512f", "sha_ni"]
# Figures of a pair in the list of all pairs, in this order, those that it has.
SHOWN = [("mib_per_s", "MiB/s"), ("mib_per_cpu_s", "MiB/CPU s"), ("server_cpu_s_per_gib", "server CPU s/GiB"),
         ("client_cpu_s_per_gib", "client CPU s/GiB"), ("files_per_s", "files/s"), ("logins_per_s", "logins/s"),
         ("failed", "failed"), ("stats_per_s", "stat/s"), ("entries", "entries"), ("seconds", "s"),
         ("kib_per_session", "KiB/session"), ("slowest_by_fastest", "slowest/fastest"), ("server_rss_mib", "RSS MiB"),
         ("server_cpu_s", "server CPU s"), ("client_cpu_s", "client CPU s")]


def output(argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True)
    except OSError:
        return "not there"
    return (done.stdout + done.stderr).strip().splitlines()[0] if done.stdout + done.stderr else "?"


def of_processor(name):
    """What /proc says about the first processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith(name)), "?")


def processor():
    return of_processor("model name")


def machine(binary, stage):
    """What a reader must know about where this was measured."""
    has = of_processor("flags").split()
    memory = int(Path("/proc/meminfo").read_text().split()[1]) >> 20
    return {"processors": os.cpu_count(), "model": processor(), "flags": [flag for flag in FLAGS if flag in has],
            "memory_gib": memory, "kernel": platform.release(), "openssh": output(["ssh", "-V"]),
            "sterna": output([binary, "--version"]), "sshd_subsystem": stage.sftp_server(), "user": stage.user}


def cpu_times():
    """Busy, idle and stolen time of all processors so far."""
    user, nice, system, idle, iowait, irq, softirq, steal = \
        map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
    return {"busy": user + nice + system + irq + softirq, "idle": idle + iowait, "steal": steal}


def steal_share(before, after):
    spent = {name: after[name] - before[name] for name in before}
    return spent["steal"] / max(sum(spent.values()), 1)


def number(value):
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(runs):
    """Median, and smallest and largest if there are several."""
    if not runs:
        return "-"
    median = number(statistics.median(runs))
    return median if len(runs) == 1 else f"{median} ({number(min(runs))}..{number(max(runs))})"


def pair_line(server, client, runs):
    """One pair and all its figures."""
    shown = [(key, name) for key, name in SHOWN if key in runs[0]]
    figures = [f"{name} {spread([run[key] for run in runs])}" for key, name in shown
               if key != "failed" or any(run[key] for run in runs)]
    return f"{server:8} {client:8} {', '.join(figures)}"


def print_pairs(results):
    last = None
    for (case, server, client), runs in results.items():
        if case != last:
            print(f"\n{case}")
        last = case
        print(f"  {pair_line(server, client, runs)}")


def verdicts(results, rows):
    found = [judge(bar, results) for bar in BARS if bar.row in rows]
    return [verdict for verdict in found if verdict]


def print_table(results, rows):
    heads = ["what", "OpenSSH", "best other", "ideal pair", "Sterna", "must reach", ""]
    lines = []
    for v in verdicts(results, rows):
        other = f"{spread(v.best_other[1])} {v.best_other[0]}" if v.best_other else "-"
        lines.append([v.bar.what, spread(v.base), other, spread(v.ideal), spread(v.ours), "; ".join(v.needs),
                      "met" if v.met else "NOT MET"])
    widths = [max(len(line[i]) for line in [heads, *lines]) for i in range(len(heads))]
    for line in [heads, ["-" * width for width in widths], *lines]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |")
    met = sum(line[-1] == "met" for line in lines)
    print(f"{met} of {len(lines)} bars are met.")


def as_json(about, sizes, results, rows):
    measured = [{"case": case, "server": server, "client": client, "runs": runs}
                for (case, server, client), runs in results.items()]
    bars = [{"what": v.bar.what, "case": v.bar.case, "figure": v.bar.figure, "sterna": v.ours, "openssh": v.base,
             "ideal": v.ideal, "best_other": v.best_other, "needs": v.needs, "met": v.met}
            for v in verdicts(results, rows)]
    return {"machine": about, "sizes": vars(sizes), "measured": measured, "bars": bars}
