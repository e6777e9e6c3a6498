"""Logins with AsyncSSH whose signatures are wrong, told by a JSON object:

    port, user, known_hosts
    method            "publickey" or "hostbased"
    key               file of the private key that is offered
    forgery           what happens to the signature:
                      "none"      nothing
                      "bit"       one bit is flipped, `from_end` bytes before the last byte
                      "replay"    a first connection signs and must get in; this one shows the
                                  signature of the first
                      "other key" the key in the file `signer` makes it
    client_host, client_user
                      for host-based logins

Lists the start directory. Ends with 0 when it got in, 5 when it was refused, 6 when the connection
was ended, 1 when anything else went wrong.
"""

import asyncio
import json
import sys

import asyncssh


class Signer:
    """What one key signs, and what comes of that."""

    def __init__(self, attempt: dict) -> None:
        self.attempt = attempt
        self.made: list[bytes] = []

    def offer(self, forgery: str):
        (pair,) = asyncssh.load_keypairs([(self.attempt["key"], None)])
        sign = pair.sign

        def forge(data: bytes) -> bytes:
            if forgery == "bit":
                signature = bytearray(sign(data))
                signature[-1 - self.attempt["from_end"]] ^= 1
                return bytes(signature)
            if forgery == "replay":
                return self.made[0]
            if forgery == "other key":
                (other,) = asyncssh.load_keypairs([(self.attempt["signer"], None)])
                return other.sign(data)
            signature = sign(data)
            self.made.append(signature)
            return signature

        pair.sign = forge
        return [pair]


async def log_in(attempt: dict, keys) -> None:
    is_host = attempt["method"] == "hostbased"
    async with asyncssh.connect(
        "127.0.0.1",
        attempt["port"],
        username=attempt["user"],
        known_hosts=attempt["known_hosts"],
        preferred_auth=[attempt["method"]],
        client_keys=None if is_host else keys,
        client_host_keys=keys if is_host else None,
        client_host=attempt.get("client_host"),
        client_username=attempt.get("client_user", "nobody"),
        client_host_keysign=False,
        agent_path=None,
        config=None,
    ) as connection:
        async with connection.start_sftp_client() as sftp:
            print(await sftp.listdir("."))


async def main(attempt: dict) -> None:
    signer = Signer(attempt)
    if attempt["forgery"] == "replay":
        try:
            await log_in(attempt, signer.offer("none"))
        except asyncssh.DisconnectError as e:
            raise AssertionError(f"the first connection did not get in: {e}") from e
        assert len(signer.made) == 1, "the first connection signed once"
    await log_in(attempt, signer.offer(attempt["forgery"]))


try:
    asyncio.run(main(json.loads(sys.argv[1])))
except asyncssh.PermissionDenied as refused:
    print(refused, file=sys.stderr)
    sys.exit(5)
except asyncssh.DisconnectError as ended:
    print(ended, file=sys.stderr)
    sys.exit(6)
