"""What stands in for programs, and holds what they wait for, in the tests: it stays until it is told to go on, so
that no test depends on how fast this machine is. (What shall never end by itself is `sleep infinity` in a script,
`signal.pause()` in Python.)"""
import subprocess


def until(command):
    """A shell command that waits until this one, which has no single quotes, succeeds: wait_until for scripts."""
    return f"timeout 60 sh -c 'until {command}; do sleep 0.05; done'"  # real time: the pause between two looks


class Held:
    """A lock on a file of the host's, held from here on until let_go."""

    def __init__(self, host, path, kind="flock"):
        self.process = host.python("import fcntl, os, sys\n"
                                   f"fcntl.{kind}(os.open({path!r}, os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)\n"
                                   "print('held')\nsys.stdin.read()", stdin=subprocess.PIPE)
        assert self.process.line == "held", self.process.line

    def let_go(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)
