"""What the measurements share: a directory in memory, servers in control groups, checked content."""

import hashlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = ["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
           "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, process):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"bench: server ended with status {process.returncode}")
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    sys.exit("bench: server does not listen")


def digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def processor():
    return next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")


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

    def remove(self):
        for _ in range(50):
            try:
                return self.path.rmdir()
            except OSError:
                time.sleep(0.05)


class Stage:
    """A directory in memory with `share`, `local` and a key; and the servers of `share`."""

    # Who logs in; None: an ordinary user, who has no shell for commands if this is root's "nobody".
    USER = None

    def __init__(self, binary, cipher):
        self.dir = Path(tempfile.mkdtemp(prefix="sterna-bench-", dir="/dev/shm"))
        self.share = self.dir / "share"
        self.local = self.dir / "local"
        for d in (self.share, self.local):
            d.mkdir()
            d.chmod(0o777)
        self.dir.chmod(0o755)
        self.cipher = cipher
        self.binary = binary
        self.key = self.dir / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        # An ordinary user, so that sshd has its real process layout.
        self.user = self.USER or "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        # Name: process, group, port, path of the share.
        self.servers = {}

    def start_sshd(self):
        port = free_port()
        host_key = self.dir / "host_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host_key], check=True)
        keys = self.dir / "authorized_keys"
        shutil.copy(f"{self.key}.pub", keys)
        config = self.dir / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1:{port}\nHostKey {host_key}\nAuthorizedKeysFile {keys}\n"
            # Keys only, on loopback; and commands must not measure the start-up files of somebody's shell.
            f"PermitRootLogin prohibit-password\nSetEnv HOME={self.dir}\n"
            "StrictModes no\nUsePAM no\nPidFile none\nSubsystem sftp internal-sftp\n"
            f"Ciphers {self.cipher}\n")
        Path("/run/sshd").mkdir(exist_ok=True)
        group = Group("openssh")
        process = group.start(["/usr/sbin/sshd", "-D", "-e", "-f", config], stderr=subprocess.DEVNULL)
        self.servers["openssh"] = (process, group, port, f"{self.share}/")
        wait_for_port(port, process)

    def start_sterna(self):
        port = free_port()
        group = Group("sterna")
        process = group.start(
            [self.binary, "serve", self.share, "--listen", f"127.0.0.1:{port}", "--user", self.user,
             "--authorized-keys", f"{self.key}.pub", "--state-dir", self.dir / "state"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.servers["sterna"] = (process, group, port, "/")
        wait_for_port(port, process)

    def make_data(self, name, mib):
        """A file of that many MiB, each different. Returns its digest."""
        path = self.dir / name
        block = os.urandom(1 << 20)
        with open(path, "wb") as f:
            for i in range(mib):
                f.write(i.to_bytes(8, "big") + block[8:])
        return digest(path)

    def warm(self, size):
        """Touches the memory that the target will take: first touch may cost ten times more."""
        path = self.dir / "warm"
        with open(path, "wb") as f:
            block = bytes(1 << 20)
            for _ in range((size >> 20) + 64):
                f.write(block)
        path.unlink()

    def stop(self):
        for process, group, *_ in self.servers.values():
            process.send_signal(signal.SIGTERM)
            process.wait()
            group.remove()
        shutil.rmtree(self.dir, ignore_errors=True)
