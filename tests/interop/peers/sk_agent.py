"""An agent with one security key that no hardware stands behind: SOCKET KEY USE.

KEY is the file of a plain ed25519 or ecdsa key, which plays the token. USE is a file that says how
the token is used next, and is read at each signature: FLAGS COUNTER, and perhaps the flags that the
signature claims where they are not those that were signed. Flag 1: touched, 4: its user verified.

Prints the public key as a line of authorized_keys once it listens.
Spec: OpenSSH PROTOCOL.u2f and PROTOCOL.agent.
"""

import base64
import hashlib
import os
import socket
import struct
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

APPLICATION = b"ssh:"

FAILURE = 5
REQUEST_IDENTITIES, IDENTITIES_ANSWER = 11, 12
SIGN_REQUEST, SIGN_RESPONSE = 13, 14


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def mpint(number: int) -> bytes:
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def read_string(data: bytes) -> tuple[bytes, bytes]:
    (length,) = struct.unpack_from(">I", data)
    return data[4 : 4 + length], data[4 + length :]


class Token:
    def __init__(self, file: str) -> None:
        with open(file, "rb") as opened:
            self.key = serialization.load_ssh_private_key(opened.read(), None)
        public = self.key.public_key()
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            self.kind = b"sk-ssh-ed25519@openssh.com"
            raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            fields = string(raw)
        else:
            self.kind = b"sk-ecdsa-sha2-nistp256@openssh.com"
            point = public.public_bytes(
                serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
            )
            fields = string(b"nistp256") + string(point)
        self.blob = string(self.kind) + fields + string(APPLICATION)

    def line(self) -> str:
        return f"{self.kind.decode()} {base64.b64encode(self.blob).decode()} token"

    def sign(self, message: bytes, flags: int, counter: int, claimed: int) -> bytes:
        signed = (
            hashlib.sha256(APPLICATION).digest()
            + struct.pack(">BI", flags, counter)
            + hashlib.sha256(message).digest()
        )
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            raw = self.key.sign(signed)
        else:
            r, s = utils.decode_dss_signature(self.key.sign(signed, ec.ECDSA(hashes.SHA256())))
            raw = mpint(r) + mpint(s)
        return string(self.kind) + string(raw) + struct.pack(">BI", claimed, counter)


def answer(token: Token, use: str, request: bytes) -> bytes:
    if request[0] == REQUEST_IDENTITIES:
        listed = struct.pack(">I", 1) + string(token.blob) + string(b"token")
        return bytes([IDENTITIES_ANSWER]) + listed
    if request[0] == SIGN_REQUEST:
        blob, rest = read_string(request[1:])
        message, _ = read_string(rest)
        if blob == token.blob:
            with open(use) as opened:
                flags, counter, *claimed = map(int, opened.read().split())
            signature = token.sign(message, flags, counter, claimed[0] if claimed else flags)
            return bytes([SIGN_RESPONSE]) + string(signature)
    return bytes([FAILURE])


def serve(connection: socket.socket, token: Token, use: str) -> None:
    with connection, connection.makefile("rwb") as stream:
        while length := stream.read(4):
            request = stream.read(*struct.unpack(">I", length))
            stream.write(string(answer(token, use, request)))
            stream.flush()


def main(path: str, key: str, use: str) -> None:
    token = Token(key)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen()
    print(token.line(), flush=True)
    while True:
        # A client that goes away in the middle is no concern of the next one.
        try:
            serve(listener.accept()[0], token, use)
        except (OSError, struct.error, TypeError) as e:
            print(type(e).__name__, e, file=sys.stderr, flush=True)


main(*sys.argv[1:])
