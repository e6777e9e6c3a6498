"""AsyncSSH as a client: PORT USER KEY KNOWN_HOSTS VERSION.

Reads one question a line, `["operation", [arguments]]`, and answers `{"ok": value}` or
`{"error": text}`. Paths are hexadecimal bytes.
"""

import asyncio
import json
import sys

import asyncssh


class Operations:
    def __init__(self, sftp: asyncssh.SFTPClient) -> None:
        self.sftp = sftp

    async def put(self, local: bytes, remote: bytes) -> None:
        await self.sftp.put(local, remote)

    async def get(self, remote: bytes, local: bytes) -> None:
        # A link that points elsewhere on the server is refused unless it is followed there.
        await self.sftp.get(remote, local, follow_symlinks=True)

    async def data_ranges(self, path: bytes, size: int) -> list[list[int]]:
        async with self.sftp.open(path, "rb") as file:
            return [list(part) async for part in file.request_ranges(0, size)]

    async def list(self, path: bytes) -> list[str]:
        names = await self.sftp.listdir(path)
        return [name.hex() for name in names if name not in (b".", b"..")]

    async def stat(self, path: bytes) -> dict[str, int | None]:
        attrs = await self.sftp.stat(path)
        return {"size": attrs.size, "mode": attrs.permissions, "mtime": attrs.mtime}

    async def mkdir(self, path: bytes) -> None:
        await self.sftp.mkdir(path)

    async def rmdir(self, path: bytes) -> None:
        await self.sftp.rmdir(path)

    async def remove(self, path: bytes) -> None:
        await self.sftp.remove(path)

    async def rename(self, old: bytes, new: bytes) -> None:
        await self.sftp.rename(old, new)

    async def replace(self, old: bytes, new: bytes) -> None:
        await self.sftp.posix_rename(old, new)

    async def chmod(self, path: bytes, mode: int) -> None:
        await self.sftp.chmod(path, mode)

    async def set_mtime(self, path: bytes, mtime: int) -> None:
        await self.sftp.utime(path, (mtime, mtime))

    async def truncate(self, path: bytes, size: int) -> None:
        await self.sftp.truncate(path, size)

    async def symlink(self, target: bytes, link: bytes) -> None:
        await self.sftp.symlink(target, link)

    async def read_link(self, link: bytes) -> str:
        return (await self.sftp.readlink(link)).hex()

    async def hard_link(self, existing: bytes, link: bytes) -> None:
        await self.sftp.link(existing, link)

    async def put_tree(self, local: bytes, remote: bytes) -> None:
        await self.sftp.put(local, remote, recurse=True)

    async def get_tree(self, remote: bytes, local: bytes) -> None:
        await self.sftp.get(remote, local, recurse=True)

    async def remove_tree(self, path: bytes) -> None:
        await self.sftp.rmtree(path)


async def main(port: str, user: str, key: str, known_hosts: str, version: str) -> None:
    async with asyncssh.connect(
        "127.0.0.1",
        int(port),
        username=user,
        client_keys=[key],
        known_hosts=known_hosts,
        agent_path=None,
        config=None,
    ) as connection:
        # Without an encoding, names are bytes on both sides.
        async with connection.start_sftp_client(
            path_encoding=None, sftp_version=int(version)
        ) as sftp:
            operations = Operations(sftp)
            for line in sys.stdin:
                name, arguments = json.loads(line)
                words = [bytes.fromhex(a) if isinstance(a, str) else a for a in arguments]
                try:
                    answer = {"ok": await getattr(operations, name)(*words)}
                except Exception as error:  # the test wants to see every kind
                    answer = {"error": f"{type(error).__name__}: {error}"}
                print(json.dumps(answer), flush=True)


asyncio.run(main(*sys.argv[1:]))
