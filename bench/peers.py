"""Servers beside OpenSSH's and ours: how each is started, and what is installed for them."""

import glob
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from stage import ROOT, USER, Failed, free_port

# From Debian; russh and puressh are built from `bench/russh_peer` and `bench/puressh_peer`.
PACKAGES = ["openssh-server", "openssh-client", "openssh-sftp-server", "rclone", "lftp", "proftpd-core",
            "proftpd-mod-crypto", "dropbear-bin", "libnss-wrapper"]


def install():
    """Peers from Debian, and the user that the servers know."""
    if os.getuid() != 0:
        sys.exit("bench: --install wants root")
    policy = Path("/usr/sbin/policy-rc.d")
    made = not policy.exists()
    if made:
        # Packages of servers must not start them.
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        subprocess.run(["apt-get", "update", "-q"], check=True)
        subprocess.run(["apt-get", "install", "-q", "-y", "--no-install-recommends", *PACKAGES], check=True,
                       env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    finally:
        if made:
            policy.unlink()
    if not any(user.pw_name == USER for user in pwd.getpwall()):
        # "*" is no password; without one, sshd takes the account for locked.
        subprocess.run(["useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent",
                        "--shell", "/bin/sh", "--password", "*", USER], check=True)


def start(stage, wanted):
    """Starts those of `wanted` that are there. Returns why the others are not."""
    missing = {}
    for name in wanted:
        try:
            STARTERS[name](stage, name)
        except (Missing, Failed) as why:
            if name in OURS:
                raise
            missing[name] = str(why)
            if name in stage.servers:
                stage.stop_server(name)
    return missing


class Missing(Exception):
    """Why a peer is not measured."""


def need(program):
    found = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not found:
        raise Missing(f"{program} is not installed (bench/run --install)")
    return found


def start_of_crate(stage, name):
    """A server of our own around a crate as it is published: `bench/NAME_peer`."""
    source = ROOT / f"bench/{name}_peer"
    binary = source / f"target/release/{name}-peer"
    if not binary.exists():
        need("cargo")
        print(f"bench: building {source.relative_to(ROOT)}, once", file=sys.stderr)
        built = subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=source)
        if built.returncode != 0:
            raise Missing(f"{source.relative_to(ROOT)} does not build")
    port = free_port()
    # Puressh's server takes whole paths of this machine.
    prefix = f"{stage.share}/" if name == "puressh" else "/"
    stage.serve(name, [binary, str(port), stage.share, stage.user, f"{stage.key}.pub"], port, prefix)


def start_rclone(stage, name):
    port = free_port()
    stage.serve(name, [need("rclone"), "serve", "sftp", stage.share, "--config", "/dev/null", "--addr",
                       f"127.0.0.1:{port}", "--user", stage.user, "--authorized-keys", f"{stage.key}.pub"],
                port, "/")


def start_dropbear(stage, name):
    """Dropbear with OpenSSH's sftp-server, and keys in a home directory of the stage."""
    program, convert = need("dropbear"), need("dropbearconvert")
    wrapper = next(iter(glob.glob("/usr/lib/*/libnss_wrapper.so")), None)
    if wrapper is None:
        raise Missing("dropbear reads keys in home directories only, and libnss-wrapper is not installed")
    home, user = stage.dir / "home", pwd.getpwnam(stage.user)
    if not home.exists():
        (home / ".ssh").mkdir(parents=True)
        keys = home / ".ssh/authorized_keys"
        shutil.copy(f"{stage.key}.pub", keys)
        for path, mode in ((home, 0o700), (home / ".ssh", 0o700), (keys, 0o600)):
            path.chmod(mode)
            os.chown(path, user.pw_uid, user.pw_gid)
        subprocess.run([convert, "openssh", "dropbear", stage.new_key("host_key_pem"), stage.dir / "host_key_dropbear"],
                       check=True, capture_output=True)
        (stage.dir / "passwd").write_text(f"{user.pw_name}:x:{user.pw_uid}:{user.pw_gid}::{home}:/bin/sh\n")
        (stage.dir / "group").write_text(f"bench:x:{user.pw_gid}:\n")
    port = free_port()
    stage.serve(name, [program, "-F", "-E", "-p", f"127.0.0.1:{port}", "-P", stage.dir / "dropbear.pid",
                       "-r", stage.dir / "host_key_dropbear"], port, f"{stage.share}/",
                env={**os.environ, "LD_PRELOAD": wrapper, "NSS_WRAPPER_PASSWD": str(stage.dir / "passwd"),
                     "NSS_WRAPPER_GROUP": str(stage.dir / "group")})


def start_proftpd(stage, name):
    program = need("proftpd")
    if not Path("/usr/lib/proftpd/mod_sftp.so").exists():
        raise Missing("mod_sftp is not installed (bench/run --install)")
    if os.getuid() != 0:
        raise Missing("ProFTPD wants to be started by root")
    port, user, directory = free_port(), pwd.getpwnam(stage.user), stage.dir
    host_key = directory / "host_key_proftpd"
    if not host_key.exists():
        stage.new_key(host_key.name)
    keys = subprocess.run(["ssh-keygen", "-e", "-f", f"{stage.key}.pub"], check=True, capture_output=True).stdout
    private_file(directory / "proftpd_keys", keys)
    private_file(directory / "proftpd_passwd",
                 f"{stage.user}:*:{user.pw_uid}:{user.pw_gid}::{stage.share}:/bin/sh\n".encode())
    private_file(directory / "proftpd.conf", (
        "ServerType standalone\nDefaultAddress 127.0.0.1\nSocketBindTight on\nUseIPv6 off\n"
        f"Port {port}\nUser root\nGroup root\nPidFile {directory}/proftpd.pid\n"
        f"ScoreboardFile {directory}/proftpd.scoreboard\nDelayTable none\nWtmpLog off\nTransferLog none\n"
        "ModulePath /usr/lib/proftpd\nLoadModule mod_sftp.c\nAuthOrder mod_auth_file.c\n"
        f"AuthUserFile {directory}/proftpd_passwd\nRootLogin on\nRequireValidShell off\nAllowOverwrite on\n"
        "UseEncoding off\nMaxInstances none\nSFTPEngine on\n"
        f"SFTPHostKey {host_key}\nSFTPAuthorizedUserKeys file:{directory}/proftpd_keys\n").encode())
    stage.serve(name, [program, "--nodaemon", "--quiet", "--config", directory / "proftpd.conf"],
                port, f"{stage.share}/")


def private_file(path, content):
    path.write_bytes(content)
    path.chmod(0o600)


STARTERS = {"russh": start_of_crate, "puressh": start_of_crate, "rclone": start_rclone,
            "dropbear": start_dropbear, "proftpd": start_proftpd,
            "openssh": lambda stage, _: stage.start_sshd(), "sterna": lambda stage, _: stage.start_sterna()}
# Without these there is nothing to compare.
OURS = ["openssh", "sterna"]
NAMES = ["russh", "puressh", "proftpd", "dropbear", "rclone"]


def restart(stage, name):
    """A fresh process, whose memory shows what is measured next and nothing before."""
    stage.stop_server(name)
    STARTERS[name](stage, name)
