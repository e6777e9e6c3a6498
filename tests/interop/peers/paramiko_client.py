"""Paramiko as a client: PORT USER KEY KNOWN_HOSTS.

Reads one question a line, `["operation", [arguments]]`, and answers `{"ok": value}` or
`{"error": text}`. Paths are hexadecimal bytes.
"""

import json
import os
import socket
import stat
import sys

import paramiko


class Operations:
    def __init__(self, sftp: paramiko.SFTPClient) -> None:
        self.sftp = sftp

    def put(self, local: str, remote: str) -> None:
        self.sftp.put(local, remote)

    def get(self, remote: str, local: str) -> None:
        self.sftp.get(remote, local)

    def list(self, path: str) -> list[str]:
        return [os.fsencode(name).hex() for name in self.sftp.listdir(path)]

    def stat(self, path: str) -> dict[str, int | None]:
        attrs = self.sftp.stat(path)
        return {"size": attrs.st_size, "mode": attrs.st_mode, "mtime": attrs.st_mtime}

    def mkdir(self, path: str) -> None:
        self.sftp.mkdir(path)

    def rmdir(self, path: str) -> None:
        self.sftp.rmdir(path)

    def remove(self, path: str) -> None:
        self.sftp.remove(path)

    def rename(self, old: str, new: str) -> None:
        self.sftp.rename(old, new)

    def replace(self, old: str, new: str) -> None:
        self.sftp.posix_rename(old, new)

    def chmod(self, path: str, mode: int) -> None:
        self.sftp.chmod(path, mode)

    def set_mtime(self, path: str, mtime: int) -> None:
        self.sftp.utime(path, (mtime, mtime))

    def truncate(self, path: str, size: int) -> None:
        self.sftp.truncate(path, size)

    def symlink(self, target: str, link: str) -> None:
        self.sftp.symlink(target, link)

    def read_link(self, link: str) -> str:
        return os.fsencode(self.sftp.readlink(link)).hex()

    def put_tree(self, local: str, remote: str) -> None:
        self.sftp.mkdir(remote)
        for entry in os.scandir(local):
            target = f"{remote}/{entry.name}"
            if entry.is_symlink():
                self.sftp.symlink(os.readlink(entry.path), target)
            elif entry.is_dir():
                self.put_tree(entry.path, target)
            else:
                self.sftp.put(entry.path, target)

    def get_tree(self, remote: str, local: str) -> None:
        os.mkdir(local)
        # Not listdir_iter: it waits for ever for answers that a request in between has taken.
        for entry in self.sftp.listdir_attr(remote):
            source, target = f"{remote}/{entry.filename}", f"{local}/{entry.filename}"
            if stat.S_ISLNK(entry.st_mode):
                os.symlink(self.sftp.readlink(source), target)
            elif stat.S_ISDIR(entry.st_mode):
                self.get_tree(source, target)
            else:
                self.sftp.get(source, target)

    def remove_tree(self, path: str) -> None:
        for entry in self.sftp.listdir_attr(path):
            inner = f"{path}/{entry.filename}"
            if stat.S_ISDIR(entry.st_mode):
                self.remove_tree(inner)
            else:
                self.sftp.remove(inner)
        self.sftp.rmdir(path)


def main(port: str, user: str, key: str, known_hosts: str) -> None:
    client = paramiko.SSHClient()
    client.load_host_keys(known_hosts)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    # Paramiko leaves Nagle's algorithm on, which costs 40 ms for every small file.
    connected = socket.create_connection(("127.0.0.1", int(port)))
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.connect(
        "127.0.0.1",
        int(port),
        user,
        sock=connected,
        key_filename=key,
        allow_agent=False,
        look_for_keys=False,
    )
    operations = Operations(client.open_sftp())
    for line in sys.stdin:
        name, arguments = json.loads(line)
        words = [os.fsdecode(bytes.fromhex(a)) if isinstance(a, str) else a for a in arguments]
        try:
            answer = {"ok": getattr(operations, name)(*words)}
        except Exception as error:  # the test wants to see every kind
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    client.close()


main(*sys.argv[1:])
