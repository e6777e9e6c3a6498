"""The delay proxy of `bench/delay_proxy`, as the measurements use it."""

import subprocess


class DelayProxy:
    """A path of `rtt` milliseconds and `rate` Mbit/s to `port`, while the block runs."""

    def __init__(self, binary, port, rtt, rate):
        self.argv = [binary, "--to", f"127.0.0.1:{port}", "--rtt-ms", str(rtt), "--rate-mbit", str(rate)]

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stdout=subprocess.PIPE, text=True)
        return int(self.process.stdout.readline().rsplit(":", 1)[1])

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
