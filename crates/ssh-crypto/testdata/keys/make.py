#!/usr/bin/env python3
"""Makes the throw-away keys of this folder anew, in every file form that tests/key_files.rs reads.

Wants ssh-keygen, openssl and puttygen. KEY.pub is the public half of every KEY.FORM; whatever is encrypted
opens with "open sesame". Costs are small, so that tests may open each file often.
"""

import base64
import pathlib
import shutil
import struct
import subprocess
import tempfile

HERE = pathlib.Path(__file__).parent
PASSPHRASE = "open sesame"
KEYS = {
    "ed25519": ["-t", "ed25519"],
    "p256": ["-t", "ecdsa", "-b", "256"],
    "p384": ["-t", "ecdsa", "-b", "384"],
    "p521": ["-t", "ecdsa", "-b", "521"],
    "rsa": ["-t", "rsa", "-b", "2048"],
}


def run(*args: str) -> bytes:
    quiet = subprocess.DEVNULL
    return subprocess.run(args, check=True, stdout=subprocess.PIPE, stdin=quiet, stderr=quiet).stdout


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def keygen(folder: pathlib.Path, name: str, args: list[str]) -> pathlib.Path:
    path = folder / name
    path.unlink(missing_ok=True)
    run("ssh-keygen", "-q", *args, "-N", "", "-C", f"{name} of a test", "-f", str(path))
    return path


def seed(path: pathlib.Path) -> bytes:
    """The seed in an Ed25519 file that is not encrypted: first half of the 64 bytes before the comment."""
    body = "".join(path.read_text().splitlines()[1:-1])
    raw = base64.b64decode(body)
    at = raw.rindex(string(raw[raw.index(b"ssh-ed25519") + 15:][:32])) + 36 + 4
    return raw[at:at + 32]


def security_key(name: str, public: bytes) -> None:
    """A file like ssh-keygen -t NAME-sk writes one; the token's part is made up."""
    rest = b"\x01" + string(b"handle" * 8) + string(b"")
    section = b"\x2a\x2a\x2a\x2a" * 2 + public + rest + string(f"{name} of a test".encode())
    section += bytes(range(1, 8 - (len(section) - 1) % 8))
    raw = b"openssh-key-v1\x00" + string(b"none") * 2 + string(b"") + struct.pack(">I", 1)
    raw += string(public) + string(section)
    text = base64.b64encode(raw).decode()
    lines = [text[at:at + 70] for at in range(0, len(text), 70)]
    path = HERE / f"{name}.openssh"
    path.write_text("\n".join(
        ["-----BEGIN OPENSSH PRIVATE KEY-----", *lines, "-----END OPENSSH PRIVATE KEY-----", ""]))
    path.chmod(0o600)
    (HERE / f"{name}.pub").write_bytes(run("ssh-keygen", "-y", "-f", str(path)))
    encrypted = HERE / f"{name}.openssh-encrypted"
    shutil.copy(path, encrypted)
    run("ssh-keygen", "-q", "-p", "-a", "1", "-N", PASSPHRASE, "-f", str(encrypted))


def main() -> None:
    for old in HERE.iterdir():
        if old.suffix != ".py":
            old.unlink()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        secret = folder / "passphrase"
        secret.write_text(PASSPHRASE)
        for name, args in KEYS.items():
            forms(folder, secret, name, keygen(folder, name, args))
        while not (zeros := seed(path := keygen(folder, "ed25519-zeros", KEYS["ed25519"]))).endswith(b"\0"):
            assert len(zeros) == 32
        shutil.copy(f"{path}.pub", HERE)
        puttygen(path, secret, "ppk2", "version=2", False)
        puttygen(path, secret, "ppk3-encrypted", "memory=256,passes=2", True)
        p256 = (HERE / "p256.pub").read_text().split()[1]
        point = base64.b64decode(p256)[-65:]
    security_key("sk-ed25519", string(b"sk-ssh-ed25519@openssh.com") + string(bytes(32)) + string(b"ssh:"))
    security_key("sk-p256", string(b"sk-ecdsa-sha2-nistp256@openssh.com") + string(b"nistp256")
                 + string(point) + string(b"ssh:"))


def forms(folder: pathlib.Path, secret: pathlib.Path, name: str, path: pathlib.Path) -> None:
    def out(form: str) -> str:
        return str(HERE / f"{name}.{form}")

    shutil.copy(f"{path}.pub", HERE)
    shutil.copy(path, out("openssh"))
    shutil.copy(path, out("openssh-encrypted"))
    run("ssh-keygen", "-q", "-p", "-a", "1", "-N", PASSPHRASE, "-f", out("openssh-encrypted"))

    plain = folder / "plain"
    if name == "ed25519":
        der = bytes.fromhex("302e020100300506032b657004220420") + seed(path)
        plain.write_bytes(b"-----BEGIN PRIVATE KEY-----\n" + base64.b64encode(der)
                          + b"\n-----END PRIVATE KEY-----\n")
    else:
        shutil.copy(path, plain)
        run("ssh-keygen", "-q", "-p", "-m", "PKCS8", "-N", "", "-f", str(plain))
        for form in ["PEM", "PKCS8"]:
            for suffix, passphrase in [("", ""), ("-encrypted", PASSPHRASE)]:
                file = out(f"keygen-{form.lower()}{suffix}")
                shutil.copy(path, file)
                run("ssh-keygen", "-q", "-p", "-m", form, "-N", passphrase, "-f", file)
    if name in ["p256", "rsa"]:
        kind = "rsa" if name == "rsa" else "ec"
        old = ["-traditional"] if kind == "rsa" else []
        for cipher in ["aes128", "aes192", "aes256", "des3"]:
            run("openssl", kind, *old, f"-{cipher}", "-in", str(plain), "-out", out(f"dek-{cipher}"),
                "-passout", f"pass:{PASSPHRASE}")
    pkcs8 = ["openssl", "pkcs8", "-topk8", "-in", str(plain), "-out"]
    run(*pkcs8, out("pkcs8"), "-nocrypt")
    costs = {
        "pkcs8-scrypt": ["-scrypt", "-scrypt_N", "256"],
        "pkcs8-aes256": ["-v2", "aes-256-cbc", "-iter", "2048"],
        "pkcs8-aes192-sha512": ["-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA512", "-iter", "10"],
        "pkcs8-aes128-sha1": ["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1", "-iter", "10"],
        "pkcs8-des3": ["-v2", "des3", "-iter", "10"],
    }
    for form, args in costs.items() if name in ["ed25519", "p256", "rsa"] else []:
        run(*pkcs8, out(form), *args, "-passout", f"pass:{PASSPHRASE}")
    if name == "rsa":
        run(*pkcs8, out("pkcs8-pbes1"), "-v1", "PBE-SHA1-3DES", "-passout", f"pass:{PASSPHRASE}")

    puttygen(path, secret, "ppk2", "version=2", False)
    puttygen(path, secret, "ppk2-encrypted", "version=2", True)
    puttygen(path, secret, "ppk3", "version=3", False)
    puttygen(path, secret, "ppk3-encrypted", "memory=256,passes=2", True)
    if name == "p256":
        puttygen(path, secret, "ppk3-argon2i", "kdf=argon2i,memory=256,passes=2,parallelism=3", True)
        puttygen(path, secret, "ppk3-argon2d", "kdf=argon2d,memory=256,passes=2", True)
        puttygen(path, secret, "ppk3-default", "version=3", True)


def puttygen(path: pathlib.Path, secret: pathlib.Path, form: str, params: str, encrypt: bool) -> None:
    run("puttygen", str(path), "-o", str(HERE / f"{path.name}.{form}"), "--ppk-param", params,
        "--new-passphrase", str(secret) if encrypt else "/dev/null")


if __name__ == "__main__":
    main()
