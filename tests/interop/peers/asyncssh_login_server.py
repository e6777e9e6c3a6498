"""Shares a directory over SFTP with AsyncSSH after asking: HOW DIRECTORY HOST_KEY.

HOW is what it asks:
    rounds   keyboard-interactive: a password, then two questions, then none
    one      keyboard-interactive: a password
    echo     keyboard-interactive: a password that is seen while it is typed
    expired  a password, which must then be changed

Prints `listening on 127.0.0.1:PORT` when it is ready and runs until it is killed.
"""

import asyncio
import os
import sys

import asyncssh

PASSWORD = "correct horse"

passwords = {"tern": PASSWORD}
expired = {"tern"}


class Server(asyncssh.SSHServer):
    def __init__(self, how: str) -> None:
        self.how = how
        self.round = 0

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return False

    def kbdint_auth_supported(self) -> bool:
        return self.how != "expired"

    def password_auth_supported(self) -> bool:
        return self.how == "expired"

    def get_kbdint_challenge(self, username, lang, submethods):
        self.round = 1
        return ("Welcome", "", "", [("Password: ", self.how == "echo")])

    def validate_kbdint_response(self, username, responses):
        if self.round == 1:
            if responses != [passwords[username]]:
                return False
            if self.how != "rounds":
                return True
            self.round = 2
            questions = [("Code: ", False), ("Colour: ", True)]
            return ("", "Two more questions\x07", "", questions)
        if self.round == 2:
            if responses != ["123456", "blue"]:
                return False
            self.round = 3
            return ("", "", "", [])
        return responses == []

    def validate_password(self, username: str, password: str) -> bool:
        if password != passwords[username]:
            return False
        if username in expired:
            raise asyncssh.PasswordChangeRequired("Your password has expired")
        return True

    def change_password(self, username: str, old_password: str, new_password: str) -> bool:
        if old_password != passwords[username]:
            return False
        if len(new_password) < 8:
            raise asyncssh.PasswordChangeRequired("That one is too weak")
        passwords[username] = new_password
        expired.discard(username)
        return True


async def main(how: str, directory: str, host_key: str) -> None:
    os.chdir(directory)
    server = await asyncssh.create_server(
        lambda: Server(how),
        "127.0.0.1",
        0,
        server_host_keys=[host_key],
        sftp_factory=True,
    )
    print(f"listening on 127.0.0.1:{server.get_port()}", flush=True)
    await server.wait_closed()


asyncio.run(main(*sys.argv[1:]))
