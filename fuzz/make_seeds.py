#!/usr/bin/env python3
"""Writes the seed inputs in corpus/<target>/ from the test vectors: a few valid messages each.

Not corpus/key_files/: those are throw-away keys, made by ssh-keygen, openssl and puttygen in each file form.
"""

import pathlib
import struct

HERE = pathlib.Path(__file__).parent
VECTORS = HERE.parent / "crates/ssh-proto/testdata/vectors.txt"

# First bytes that are message numbers, and not the length of something.
NUMBERS = {1, 3, 5, 7, 20, 80, 81, 192, 193, *range(50, 62), *range(90, 101)}


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def framed(*payloads: bytes) -> bytes:
    return b"".join(struct.pack(">H", len(p)) + p for p in payloads)


def sftp(*packets: bytes) -> bytes:
    return b"".join(string(p) for p in packets)


def write(target: str, seeds: dict[str, bytes]) -> None:
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in seeds.items():
        (folder / name).write_bytes(data)


def messages() -> dict[str, bytes]:
    """Name to payload, for every vector that is a whole SSH message."""
    found = {}
    for line in VECTORS.read_text().splitlines():
        name, _, value = line.partition(" = ")
        field = name.partition(".")[2]
        if not value or field in {"H", "Q_C", "Q_S"} or field.startswith(("bytes_to", "signature")):
            continue
        data = bytes.fromhex(value)
        if data[0] in NUMBERS and len(data) < 1000:
            found[name.replace(".", "_")[:40]] = data
    return found


def main() -> None:
    all_messages = messages()
    write("ssh_messages", all_messages)

    kexinits = [m for m in all_messages.values() if m[0] == 20]
    init = b"\x1e" + string(bytes(range(1, 33)))
    write("handshake", {
        "server_kexinit": b"\x00" + framed(kexinits[0], init, b"\x15"),
        "client_kexinit": b"\x01" + framed(kexinits[1], b"\x1f" + string(b"k") * 3, b"\x15"),
        "ignore_first": b"\x00" + framed(b"\x02" + string(b"x"), kexinits[0]),
        "raw_version": b"\xff" + b"SSH-2.0-OpenSSH_10.0\r\n",
        "raw_banner": b"\xff" + b"hello\r\nSSH-1.99-old\n",
    })

    login = [m for m in all_messages.values() if m[0] in (50, 51, 52, 53, 60)]
    channel = [m for m in all_messages.values() if m[0] >= 80]
    channel.sort(key=lambda m: m[0])
    write("session", {
        "server_login": b"\x02" + framed(*login),
        "client_login": b"\x03" + framed(*login),
        "server_channels": b"\x00" + framed(*channel),
        "client_channels": b"\x01" + framed(*channel),
        "server_rekey": b"\x04" + framed(*channel[:4], *kexinits[:1], init),
        "client_rekey": b"\x05" + framed(*channel[:4], *kexinits[1:2], init),
        "compressed": b"\x10" + framed(*channel[:6]),
        "all_at_once": b"\x08" + framed(*channel),
    })

    ed25519 = string(b"ssh-ed25519") + string(bytes(32))
    p256 = string(b"ecdsa-sha2-nistp256") + string(b"nistp256") + string(b"\x04" + bytes(64))
    rsa = string(b"ssh-rsa") + string(b"\x01\x00\x01") + string(b"\x00" + b"\xc1" * 256)
    sk = string(b"sk-ssh-ed25519@openssh.com") + string(bytes(32)) + string(b"ssh:")
    write("public_keys", {
        "ed25519": string(ed25519) + string(b"ssh-ed25519") + string(bytes(64)),
        "p256": string(p256) + string(b"ecdsa-sha2-nistp256")
        + string(string(b"\x01" * 32) + string(b"\x02" * 32)),
        "rsa": string(rsa) + string(b"rsa-sha2-256") + string(bytes(256)),
        "sk": string(sk) + string(b"sk-ssh-ed25519@openssh.com") + string(bytes(64)) + bytes(5),
        "line": b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNX4bdyGZBJVMb me",
    })
    line = (HERE / "corpus/public_keys/line").read_bytes()
    write("authorized_keys", {
        "plain": line + b"\n# comment\n\n",
        "authority": b'cert-authority,principals="a,b",expiry-time="20300101Z" ' + line + b"\n",
        "options": b'restrict,command="a \\" b, c",from="10.0.0.0/8" ' + line + b"\n",
    })

    files = HERE.parent / "crates/ssh-files/testdata"
    hashed = (files / "known_hosts_hashed").read_bytes()
    write("known_hosts", {
        "hashed": b"alpha.example.org\n" + hashed,
        "patterns": b"[h]:2222\n*,!x " + line + b"\n[h]:2222,h " + line + b"\n",
        "markers": b"h.lab\n@cert-authority *.lab " + line + b"\n@revoked * " + line + b"\n",
    })
    write("shosts", {
        "lines": b"h\nalice\nbob\n# x\nh\n-h bob\n+\n@net alice\n192.0.2.7 alice\n",
    })
    vector = (files / "vectors.txt").read_text().split("T25.krl = ")[1].split("\n")[0]
    write("revoked_keys", {
        "vector": bytes.fromhex(vector),
        "all_forms": (files / "all_forms.krl").read_bytes(),
        "every_authority": (files / "every_authority.krl").read_bytes(),
        "list": b"# lost\n" + line + b"\n" + (files / "id_rsa.pub").read_bytes(),
    })

    stat = b"\x11" + struct.pack(">I", 1) + string(b"/a")
    open_ = b"\x03" + struct.pack(">I", 2) + string(b"/a") + struct.pack(">II", 1, 0)
    write_ = b"\x06" + struct.pack(">I", 3) + string(b"h") + struct.pack(">Q", 9) + string(b"data")
    attrs = struct.pack(">IQIIIII", 0xF, 5, 1000, 1000, 0o644, 1, 2)
    setstat = b"\x09" + struct.pack(">I", 4) + string(b"/a") + attrs
    extended = b"\xc8" + struct.pack(">I", 5) + string(b"posix-rename@openssh.com")
    extended += string(b"/a") + string(b"/b")
    begin = b"\x01" + struct.pack(">I", 3)
    write("sftp_server", {
        "whole": b"\xff" + sftp(begin, stat, open_, write_, setstat, extended),
        "pieces": b"\x02" + sftp(begin, stat, open_, write_),
    })
    version = b"\x02" + struct.pack(">I", 3) + string(b"limits@openssh.com") + string(b"1")
    status = b"\x65" + struct.pack(">II", 0, 2) + string(b"no") + string(b"")
    handle = b"\x66" + struct.pack(">I", 1) + string(b"h")
    data = b"\x67" + struct.pack(">I", 2) + string(b"data")
    name = b"\x68" + struct.pack(">II", 3, 1) + string(b"a") + string(b"-rw a") + attrs
    reply_attrs = b"\x69" + struct.pack(">I", 4) + attrs
    write("sftp_client", {
        "whole": b"\xff" + sftp(version, status, handle, data, name, reply_attrs),
        "pieces": b"\x03" + sftp(version, handle, name),
    })
    write("wire_reader", {
        "fields": bytes([0x1B, 0x1D, 0x1E, 0x01, 0x02, 0x00]) + string(b"abc")
        + string(b"\x00\x80") + string(b"a,b,c") + bytes(12),
    })

    path, none = string(b"/a"), bytes(5)
    number = b"\x01" + struct.pack(">I", 0o644)
    flags = bytes([1, 0, 0, 1, 0, 1])
    time = struct.pack(">QI", 1 << 30, 999_999_999)
    change = b"\x01" + struct.pack(">Q", 9) + number + b"\x01" + time * 2 + b"\x01" + number + none
    file = b"\x00" + struct.pack(">QIII", 9, 0o644, 1, 2) + time * 3 + struct.pack(">QQQ", 1, 2, 3)
    names = struct.pack(">I", 2) + string(b"user.a") + string(b"user.b")
    xattr = b"\x02" + string(b"user.a") + string(b"value") + b"\x01"
    write("worker_messages", {
        "open": b"\x00\x01" + path + flags + number,
        "read_dir": b"\x00\x04" + struct.pack(">II", 1, 100),
        "set_attrs": b"\x00\x08" + path + change + b"\x01",
        "rename": b"\x00\x0c" + path + string(b"/b") + b"\x01",
        "xattr": b"\x00\x12" + path + xattr,
        "failed": b"\x01\x00\x01" + struct.pack(">I", 13),
        "attrs": b"\x01\x03" + file,
        "entries": b"\x01\x06\x01" + struct.pack(">I", 2) + (string(b"a") + file) * 2,
        "space": b"\x01\x07" + bytes(80) + b"\x01\x00",
        "names": b"\x01\x09" + names,
        "password": b"\x02\x02" + string(b"ann") + string(b"secret") + string(b"192.0.2.7"),
        "keys": b"\x02\x03" + string(b"ann"),
        "known": b"\x03\x01" + string(b"/srv") + string(b"/") + string(line) + string(b"/k"),
        "refused": b"\x03\x00" + string(b"no such user"),
    })
    record = b'{"seq":%d,"time":"2026-01-01T00:00:00.000Z","event":"%s","prev":"' + b"0" * 64 + b'"%s}\n'
    signature = b',"sig":"' + b"0" * 128 + b'"'
    write("typed_places", {
        "uri": b"\x00sftp://ann@[2001:db8::1]:2222/~/a%20b",
        "scp_like": b"\x00ann@host:~/in/a b",
        "hop": b"\x01ssh://ann@host:22/",
        "bare_hop": b"\x01ann@[::1]:22",
        "local": b"\x02./a:b",
        "remote": b"\x02host:/a",
    })
    write("manifests", {
        "lines": b"d41d8cd98f00b204e9800998ecf8427e  a b\nd41d *c\n",
        "escaped": b"\\d41d8cd9  a\\nb\\\\c\\r\n",
    })
    write("state_file", {
        "unchanged": b"",
        "header": bytes([0, 0, 18, 1]),
        "bytes": bytes([0, 16, 0, 5, 0, 31, 240, 255, 0, 48, 3, 1]),
        "pieces": bytes([2, 16, 0, 9, 3, 32, 0, 100]),
        "cut": bytes([5, 80, 0, 0]),
    })
    write("audit_log", {
        "unchanged": b"\x01",
        "bytes": b"\x01" + bytes([0, 0, 9, 1, 0, 1, 0, 32]),
        "cut": b"\x01" + bytes([5, 2, 0, 0]),
        "lines": b"\x01" + bytes([4, 0, 0, 0, 3, 0, 0, 255, 1, 1, 0, 10]),
        "log": b"\x00" + record % (1, b"start", b"") + record % (2, b"checkpoint", signature),
        "last": b"\x00" + record % (2**64 - 1, b"start", b"") + record % (1, b"start", b""),
    })


if __name__ == "__main__":
    main()
