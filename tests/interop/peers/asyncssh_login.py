"""One login with AsyncSSH, told by a JSON object:

    port, user, known_hosts
    methods           names, in the order in which they are tried
    key               file of a private key
    certificate       true: the certificate beside it goes along
    password          for the method of that name
    new_password      what a password that must be changed becomes
    answers           for keyboard-interactive: part of a question to answer
    host_key, host_certificate, client_host, client_user
                      for host-based logins

Lists the start directory. Ends with 0 when it got in, 5 when it was refused, 6 when the connection
was ended, 1 when anything else went wrong.
"""

import asyncio
import json
import sys

import asyncssh


def keys(attempt: dict, name: str, certified: str):
    if name not in attempt:
        return None
    key = attempt[name]
    if attempt.get(certified):
        return [(key, key + "-cert.pub")]
    return [(key, None)]


class Client(asyncssh.SSHClient):
    def __init__(self, attempt: dict) -> None:
        self.attempt = attempt

    def kbdint_auth_requested(self) -> str | None:
        return "" if "answers" in self.attempt else None

    def kbdint_challenge_received(self, name, instructions, lang, prompts):
        answers = self.attempt["answers"]
        found = [[a for q, a in answers.items() if q in prompt] for prompt, _ in prompts]
        return [matching[0] for matching in found] if all(found) else None

    def password_change_requested(self, prompt: str, lang: str):
        if "new_password" not in self.attempt:
            return NotImplemented
        return self.attempt["password"], self.attempt["new_password"]


async def main(attempt: dict) -> None:
    async with asyncssh.connect(
        "127.0.0.1",
        attempt["port"],
        username=attempt["user"],
        known_hosts=attempt["known_hosts"],
        preferred_auth=attempt["methods"],
        client_keys=keys(attempt, "key", "certificate"),
        password=attempt.get("password"),
        client_host_keys=keys(attempt, "host_key", "host_certificate"),
        client_host=attempt.get("client_host"),
        client_username=attempt.get("client_user", "nobody"),
        client_host_keysign=False,
        client_factory=lambda: Client(attempt),
        agent_path=None,
        config=None,
    ) as connection:
        async with connection.start_sftp_client() as sftp:
            print(await sftp.listdir("."))


try:
    asyncio.run(main(json.loads(sys.argv[1])))
except asyncssh.PermissionDenied as refused:
    print(refused, file=sys.stderr)
    sys.exit(5)
except asyncssh.DisconnectError as ended:
    print(ended, file=sys.stderr)
    sys.exit(6)
