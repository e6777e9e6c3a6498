"""One misbehaviour behind the encryption: ACTION PORT USER KEY.

Exits with status 0 if the server reacted as it should: it refused, or closed this connection.
"""

import os
import socket
import sys
import time

import paramiko
from paramiko import Transport
from paramiko.message import Message

# Longest wait for a reaction, in seconds.
REACTION_MAX = 30


def message(number: int, *parts: bytes | str | int | bool) -> Message:
    built = Message()
    built.add_byte(bytes([number]))
    for part in parts:
        if isinstance(part, bool):
            built.add_boolean(part)
        elif isinstance(part, int):
            built.add_int(part)
        else:
            built.add_string(part)
    return built


def wait_until_closed(transport: Transport) -> None:
    transport.join(REACTION_MAX)
    assert not transport.is_active(), "the server neither answered nor closed"


def assert_alive(transport: Transport) -> None:
    """The connection still works: a session opens, and SFTP answers."""
    sftp = paramiko.SFTPClient.from_transport(transport)
    assert sftp is not None
    sftp.listdir(".")
    sftp.close()


def assert_alive_again(transport: Transport) -> None:
    """The same once the server has noticed that the other channels are closed."""
    deadline = time.monotonic() + REACTION_MAX
    while True:
        try:
            return assert_alive(transport)
        except paramiko.ChannelException:
            assert time.monotonic() < deadline, "closed channels are never given back"


def channel_before_login(transport: Transport) -> None:
    try:
        transport.open_session(timeout=REACTION_MAX)
    except (paramiko.SSHException, EOFError):
        return wait_until_closed(transport)
    raise AssertionError("a channel was opened without a login")


def unknown_service(transport: Transport) -> None:
    transport._send_message(message(5, "no-such-service"))
    wait_until_closed(transport)


def wrong_signature(transport: Transport) -> None:
    transport._send_message(message(5, "ssh-userauth"))
    blob = KEY.asbytes()
    signature = Message()
    signature.add_string("ssh-ed25519")
    signature.add_string(os.urandom(64))
    request = message(
        50, USER, "ssh-connection", "publickey", True, "ssh-ed25519", blob, signature.asbytes()
    )
    transport._send_message(request)
    channel_before_login(transport)


def many_wrong_passwords(transport: Transport) -> None:
    for attempt in range(50):
        try:
            transport.auth_password(USER, f"wrong {attempt}")
        except (paramiko.AuthenticationException, paramiko.SSHException, EOFError):
            if not transport.is_active():
                return
        else:
            raise AssertionError("a wrong password was accepted")
    raise AssertionError("50 wrong passwords in one connection")


def data_for_no_channel(transport: Transport) -> None:
    transport._send_message(message(94, 77, b"data"))
    wait_until_closed(transport)


def unknown_message(transport: Transport) -> None:
    transport._send_message(message(191, b"what is this"))
    assert_alive(transport)


def unknown_global_request(transport: Transport) -> None:
    answer = transport.global_request("no-such-request@sterna", wait=True)
    assert answer is None, "it was granted"
    assert_alive(transport)


def unknown_channel_type(transport: Transport) -> None:
    for kind in ("no-such-type", "direct-tcpip", "x11"):
        try:
            transport.open_channel(
                kind, dest_addr=("127.0.0.1", 1), src_addr=("127.0.0.1", 2), timeout=REACTION_MAX
            )
        except paramiko.ChannelException:
            continue
        raise AssertionError(f"{kind} was opened")
    assert_alive(transport)


def unknown_channel_request(transport: Transport) -> None:
    session = transport.open_session(timeout=REACTION_MAX)
    try:
        session.invoke_subsystem("no-such-subsystem")
    except paramiko.SSHException:
        session.close()
        assert_alive(transport)
        return
    raise AssertionError("it was granted")


def shell_request(transport: Transport) -> None:
    for ask in ("shell", "command"):
        session = transport.open_session(timeout=REACTION_MAX)
        session.settimeout(REACTION_MAX)
        try:
            if ask == "shell":
                session.invoke_shell()
            else:
                session.exec_command("echo executed; id")
        except paramiko.SSHException:
            continue
        output = session.recv(1000)
        assert b"executed" not in output and b"uid=" not in output, "there is a shell"
        session.close()
    assert_alive(transport)


def many_channels(transport: Transport) -> None:
    opened = []
    for _ in range(2000):
        try:
            opened.append(transport.open_session(timeout=REACTION_MAX))
        except (paramiko.ChannelException, paramiko.SSHException, EOFError):
            break
    for session in opened:
        session.close()
    if transport.is_active():
        assert_alive_again(transport)


def more_than_the_window(transport: Transport) -> None:
    session = transport.open_session(timeout=REACTION_MAX)
    session.invoke_subsystem("sftp")
    # A packet that never ends, so that nothing is consumed for long, sent without looking at
    # the window.
    number, piece = session.remote_chanid, bytes(30_000)
    transport._send_message(message(94, number, (200_000).to_bytes(4, "big") + b"\x06"))
    try:
        for _ in range(5000):
            transport._send_message(message(94, number, piece))
            if not transport.is_active():
                return
    except (OSError, EOFError, paramiko.SSHException):
        return
    wait_until_closed(transport)


def more_than_the_packet_size(transport: Transport) -> None:
    session = transport.open_session(timeout=REACTION_MAX)
    session.invoke_subsystem("sftp")
    try:
        transport._send_message(message(94, session.remote_chanid, bytes(1 << 20)))
    except (OSError, EOFError, paramiko.SSHException):
        return
    wait_until_closed(transport)


BEFORE_LOGIN = {channel_before_login, unknown_service, wrong_signature, many_wrong_passwords}

action = globals()[sys.argv[1]]
PORT, USER = int(sys.argv[2]), sys.argv[3]
KEY = paramiko.Ed25519Key.from_private_key_file(sys.argv[4])

started = time.monotonic()
client = Transport(socket.create_connection(("127.0.0.1", PORT), REACTION_MAX))
client.start_client(timeout=REACTION_MAX)
if action not in BEFORE_LOGIN:
    client.auth_publickey(USER, KEY)
try:
    action(client)
finally:
    client.close()
print(f"{action.__name__}: as expected after {time.monotonic() - started:.1f} s")
