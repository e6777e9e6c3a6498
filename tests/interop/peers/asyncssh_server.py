"""Shares a directory over SFTP with AsyncSSH: DIRECTORY AUTHORIZED_KEYS HOST_KEY.

Prints `listening on 127.0.0.1:PORT` when it is ready and runs until it is killed.
"""

import asyncio
import os
import sys

import asyncssh


async def main(directory: str, authorized_keys: str, host_key: str) -> None:
    # Not its `chroot`, with which it does not show where relative links point.
    os.chdir(directory)
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[host_key],
        authorized_client_keys=authorized_keys,
        sftp_factory=True,
        sftp_version=6,
    )
    print(f"listening on 127.0.0.1:{server.get_port()}", flush=True)
    await server.wait_closed()


asyncio.run(main(*sys.argv[1:]))
