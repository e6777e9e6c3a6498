"""Clients that move files: how each is started to fetch or send one file or one tree."""

import shutil
import shlex

from stage import OPTIONS

# Asked for behind the wanted cipher where a peer may not have it; the first that both have is taken.
FALLBACKS = ["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr"]


def is_installed(client):
    return client in ("openssh", "sterna") or shutil.which(client) is not None


def ciphers(wanted):
    return ",".join(dict.fromkeys([wanted, *FALLBACKS]))


def argv(stage, client, server, port, direction, source, target, tree=False, cipher=None, verify="off"):
    """The command line, and what the program reads as its input.

    `source` and `target` are names: in the share and in the local directory for "down", the other way
    round for "up".
    """
    prefix = stage.servers[server].prefix
    down = direction == "down"
    remote = f"{prefix}{source if down else target}"
    local = stage.local / (target if down else source)
    cipher_option = f"Ciphers={ciphers(cipher or stage.cipher)}"
    ssh = ["-P", str(port), "-i", stage.key, "-o", cipher_option, *OPTIONS]
    if client == "sterna":
        place = f"{stage.user}@127.0.0.1:{remote}"
        return [stage.binary, "get" if down else "put", "-q", f"--verify={verify}", *(["-r"] if tree else []),
                *ssh, *([place, local] if down else [local, place])], None
    if client == "openssh":
        flag = "-r " if tree else ""
        batch = f"get {flag}{remote} {local}" if down else f"put {flag}{local} {remote}"
        return ["sftp", "-q", "-b", "-", *ssh, f"{stage.user}@127.0.0.1"], batch
    if client == "rclone":
        place = (f":sftp,host=127.0.0.1,port={port},user={stage.user},key_file={stage.key},"
                 f"disable_hashcheck=true,shell_type=none:{remote}")
        return ["rclone", "copy" if tree else "copyto", "-q", "--config", "/dev/null",
                *([place, local] if down else [local, place])], None
    if client == "lftp":
        connect = shlex.join(["ssh", "-a", "-x", "-i", str(stage.key), "-o", cipher_option, *OPTIONS])
        if tree:
            # Whatever it has next to the names and the content, the others do not move either.
            move = f"mirror {'' if down else '-R '}--no-perms {remote if down else local} {local if down else remote}"
        else:
            move = f"get {remote} -o {local}" if down else f"put {local} -o {remote}"
        script = (f"set cmd:fail-exit true; set net:max-retries 1; set sftp:connect-program {shlex.quote(connect)}; "
                  f"open -u {stage.user},none -p {port} sftp://127.0.0.1; {move}")
        return ["lftp", "--norc", "-c", script], None
    raise ValueError(client)
