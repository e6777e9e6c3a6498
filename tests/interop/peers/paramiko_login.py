"""One login with Paramiko, told by a JSON object:

    port, user, known_hosts
    steps             what is tried, one after the other, in one connection:
                      ["publickey", FILE]
                      ["password", PASSWORD]
                      ["keyboard-interactive", {PART OF A QUESTION: ANSWER}]
                      An answer {"totp": SECRET} is the code of the step behind this one.
                      A third item is another user name.
                      ["channel", null] opens a session, which only a login may.

Lists the start directory. Ends with 0 when it got in, 5 when it was refused, 6 when the server ended
the connection, 1 when anything else went wrong.
"""

import base64
import hashlib
import hmac
import json
import socket
import struct
import sys
import time

import paramiko

# Longest wait for a reaction, in seconds.
REACTION_MAX = 30


def totp(secret: str) -> str:
    """RFC 6238, with SHA-1 and six digits."""
    counter = struct.pack(">Q", int(time.time()) // 30 + 1)
    digest = hmac.digest(base64.b32decode(secret), counter, hashlib.sha1)
    start = digest[-1] & 15
    (number,) = struct.unpack(">I", digest[start : start + 4])
    return f"{(number & 0x7FFFFFFF) % 1_000_000:06}"


def answers(known: dict):
    def answer(title: str, instructions: str, prompts: list) -> list[str]:
        found = []
        for prompt, _ in prompts:
            matching = [a for q, a in known.items() if q in prompt]
            if not matching:
                raise ValueError(f"no answer to {prompt!r}")
            found.append(totp(matching[0]["totp"]) if isinstance(matching[0], dict) else matching[0])
        return found

    return answer


def log_in(transport: paramiko.Transport, user: str, method: str, proof, other=None) -> None:
    user = other or user
    if method == "publickey":
        transport.auth_publickey(user, paramiko.PKey.from_path(proof))
    elif method == "password":
        transport.auth_password(user, proof, fallback=False)
    elif method == "channel":
        transport.open_session(timeout=REACTION_MAX)
        raise ValueError("a channel was opened before the login was complete")
    else:
        transport.auth_interactive(user, answers(proof))


def main(attempt: dict) -> None:
    port = attempt["port"]
    connected = socket.create_connection(("127.0.0.1", port))
    transport = paramiko.Transport(connected)
    try:
        transport.start_client(timeout=60)
        known = paramiko.HostKeys(attempt["known_hosts"])
        if not known.check(f"[127.0.0.1]:{port}", transport.get_remote_server_key()):
            raise ValueError("the host key is not known")
        for step in attempt["steps"]:
            log_in(transport, attempt["user"], *step)
        print(paramiko.SFTPClient.from_transport(transport).listdir("."))
    except paramiko.AuthenticationException as refused:
        ended = not transport.is_active()
        print(type(refused).__name__, refused, file=sys.stderr)
        sys.exit(6 if ended else 5)
    except (paramiko.SSHException, EOFError) as broken:
        print(type(broken).__name__, broken, file=sys.stderr)
        transport.join(REACTION_MAX)
        sys.exit(1 if transport.is_active() else 6)
    finally:
        transport.close()


main(json.loads(sys.argv[1]))
