"""What the measurements share: a directory in memory, a user with a key, servers, checked content."""

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
from dataclasses import dataclass
from pathlib import Path

from group import Group

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = ["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
           "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"]
# What any of our clients may ask an sshd for. The client's order decides.
CIPHERS = ["aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr"]
# An ordinary user with a shell and nothing that the shell would read: `bench/run --install` makes it.
USER = "sterna-bench"


class Failed(Exception):
    """A measurement did not work: who failed at what."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, process):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Failed(f"{Path(process.args[0]).name} ended with status {process.returncode}")
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise Failed(f"{Path(process.args[0]).name} does not listen")


def digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def tree_digest(root):
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return [(str(p.relative_to(root)), digest(p)) for p in files]


def default_user():
    """An ordinary user if root measures, so that sshd has its real process layout."""
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid()).pw_name
    return USER if any(user.pw_name == USER for user in pwd.getpwall()) else "nobody"


@dataclass
class Server:
    process: subprocess.Popen
    group: Group
    port: int
    # Path of the share as its clients see it, with a slash at the end.
    prefix: str


class Stage:
    """A directory in memory with `share`, `local` and a key; and the servers of `share`."""

    def __init__(self, binary, cipher, user=None):
        # Whoever ends a measurement does not want to keep its servers and its gigabytes of memory.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended"))
        self.dir = Path(tempfile.mkdtemp(prefix="sterna-bench-", dir="/dev/shm"))
        self.share = self.dir / "share"
        self.local = self.dir / "local"
        for d in (self.share, self.local):
            d.mkdir()
            d.chmod(0o777)
        self.dir.chmod(0o755)
        self.cipher = cipher
        self.binary = binary
        self.key = self.new_key("key")
        self.user = user or default_user()
        self.servers = {}

    def new_key(self, name):
        path = self.dir / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        return path

    def serve(self, name, argv, port, prefix, **options):
        """Starts a server in a control group of its own, and waits until it listens."""
        group = Group(name)
        process = group.start(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
        self.servers[name] = Server(process, group, port, prefix)
        wait_for_port(port, process)

    def sftp_server(self):
        """sshd's subsystem: the program of a stock sshd, which a user without a shell cannot run."""
        program = next((p for p in ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server")
                        if os.path.exists(p)), None)
        shells = Path("/etc/shells").read_text().split()
        return program if program and pwd.getpwnam(self.user).pw_shell in shells else "internal-sftp"

    def start_sshd(self):
        port = free_port()
        keys, config = self.dir / "authorized_keys", self.dir / "sshd_config"
        host_key = self.dir / "host_key"
        if not host_key.exists():
            self.new_key("host_key")
        shutil.copy(f"{self.key}.pub", keys)
        text = (
            f"ListenAddress 127.0.0.1:{port}\nHostKey {host_key}\nAuthorizedKeysFile {keys}\n"
            # Keys only, on loopback; and commands must not measure the start-up files of somebody's shell.
            f"PermitRootLogin prohibit-password\nSetEnv HOME={self.dir}\n"
            f"StrictModes no\nUsePAM no\nPidFile none\nSubsystem sftp {self.sftp_server()}\n"
            f"Ciphers {','.join(dict.fromkeys([self.cipher, *CIPHERS]))}\n"
            # Many logins at a time come from one address here.
            "MaxStartups 2000\n")
        if "persourcepenalties" in sshd_settings():
            text += "PerSourcePenalties no\n"
        config.write_text(text)
        Path("/run/sshd").mkdir(exist_ok=True)
        self.serve("openssh", ["/usr/sbin/sshd", "-D", "-e", "-f", config], port, f"{self.share}/")

    def start_sterna(self):
        port = free_port()
        self.serve("sterna",
                   [self.binary, "serve", self.share, "--listen", f"127.0.0.1:{port}", "--user", self.user,
                    "--authorized-keys", f"{self.key}.pub", "--state-dir", self.dir / "state"],
                   port, "/")

    def make_data(self, name, mib):
        """A file of that many MiB, each different; it may be less than one. Returns its digest."""
        path = self.dir / name
        block, left = os.urandom(1 << 20), round(mib * (1 << 20))
        with open(path, "wb") as f:
            while left > 0:
                f.write((left.to_bytes(8, "big") + block[8:])[:left])
                left -= len(block)
        return digest(path)

    def make_tree(self, tree, count):
        """So many files of 4 KiB, all different, 250 in each directory; everybody may write there."""
        if tree.exists():
            return
        for n in range(count):
            directory = tree / f"d{n // 250:03}"
            if n % 250 == 0:
                directory.mkdir(parents=True)
            (directory / f"f{n:05}").write_bytes(n.to_bytes(4, "big") * 1024)
        for path in [tree, *tree.iterdir()]:
            path.chmod(0o777)

    def warm(self, size):
        """Touches the memory that the target will take: first touch may cost ten times more."""
        path = self.dir / "warm"
        with open(path, "wb") as f:
            block = bytes(1 << 20)
            for _ in range((size >> 20) + 64):
                f.write(block)
        path.unlink()

    def stop_server(self, name):
        server = self.servers.pop(name)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait()
        server.group.remove()

    def stop(self):
        for name in list(self.servers):
            self.stop_server(name)
        shutil.rmtree(self.dir, ignore_errors=True)


def sshd_settings():
    """Names of the settings that this sshd knows, in small letters."""
    said = subprocess.run(["/usr/sbin/sshd", "-T", "-f", "/dev/null"], capture_output=True, text=True)
    return {line.split()[0] for line in said.stdout.splitlines() if line}
