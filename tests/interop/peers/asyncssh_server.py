"""Shares a directory over SFTP with AsyncSSH: DIRECTORY AUTHORIZED_KEYS HOST_KEY.

Prints `listening on 127.0.0.1:PORT` when it is ready and runs until it is killed.
"""

import asyncio
import sys

import asyncssh


async def main(directory: str, authorized_keys: str, host_key: str) -> None:
    def sftp(connection: asyncssh.SSHServerChannel) -> asyncssh.SFTPServer:
        return asyncssh.SFTPServer(connection, chroot=directory.encode())

    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[host_key],
        authorized_client_keys=authorized_keys,
        sftp_factory=sftp,
        sftp_version=6,
    )
    print(f"listening on 127.0.0.1:{server.get_port()}", flush=True)
    await server.wait_closed()


asyncio.run(main(*sys.argv[1:]))
