"""Networks that can be cut: a network namespace, joined to this host by a pair of virtual interfaces.

While the link is down packets vanish, in both directions and without a word: no reset, no refusal, no "unreachable".
Servers inside go on, and reach themselves. Needs Linux, root and `ip` (iproute2).
"""

import ctypes
import ipaddress
import itertools
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.support.requirements import skip_or_fail

_POOL = ipaddress.ip_network("198.18.0.0/15")  # set aside for trials of networks (RFC 2544): nobody is there
_CLONE_NEWNET = 0x40000000
_HOME = Path("/proc/thread-self/ns/net")
_NAME = re.compile(r"\blk(\d+)n\d+\b")
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()


@dataclass(frozen=True)
class Network:
    """A namespace whose servers are reached at `address`."""

    name: str
    address: str

    def cut(self) -> None:
        """Let every packet vanish from now on."""
        _ip("-n", self.name, "link", "set", f"{self.name}b", "down")

    def mend(self) -> None:
        """Let packets pass again."""
        _ip("-n", self.name, "link", "set", f"{self.name}b", "up")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """For the block, this thread and the processes it starts are in the namespace."""
        with _HOME.open("rb") as home, Path("/run/netns", self.name).open("rb") as there:
            _enter(there)
            try:
                yield
            finally:
                _enter(home)


@contextmanager
def network() -> Iterator[Network]:
    """A network of one's own, gone afterwards; skips where none can be made, saying why."""
    if shutil.which("ip") is None:
        skip_or_fail("no program `ip` (iproute2), so no network to cut")
    if os.geteuid() != 0:
        skip_or_fail("only root may make network namespaces, so no network to cut")
    _sweep()
    name = f"lk{os.getpid()}n{next(_numbers)}"
    try:
        try:
            _ip("netns", "add", name)
            address = _join(name)
        except OSError as error:
            skip_or_fail(f"no network to cut: {error}")
            raise
        yield Network(name, address)
    finally:
        _forget(name)


def _join(name: str) -> str:
    """Lay the link; gives the address of the namespace."""
    here, there = _free_pair()
    _ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
    _ip("address", "add", f"{here}/30", "dev", f"{name}a")
    _ip("-n", name, "address", "add", f"{there}/30", "dev", f"{name}b")
    _ip("link", "set", f"{name}a", "up")
    for end in ("lo", f"{name}b"):
        _ip("-n", name, "link", "set", end, "up")
    # Behind a router nobody says that a host no longer answers; here the kernel would, were the neighbour not fixed.
    found = re.search(r"link/ether (\S+)", _ip("-n", name, "-o", "link", "show", f"{name}b"))
    assert found is not None
    _ip("neighbour", "replace", there, "lladdr", found[1], "dev", f"{name}a", "nud", "permanent")
    return there


def _free_pair() -> tuple[str, str]:
    """The two addresses of a block of four that no interface of this host has."""
    taken = _ip("-4", "-o", "address")
    blocks = _POOL.num_addresses // 4
    for number in range(os.getpid(), os.getpid() + blocks):
        first = _POOL[4 * (number % blocks)]
        here, there = str(first + 1), str(first + 2)
        if f" {here}/" not in taken:
            return here, there
    raise OSError(f"every address of {_POOL} is taken")


def _sweep() -> None:
    """Remove what killed test runs left behind, and the servers that they left in it."""
    for found in _NAME.finditer(_ip("netns", "list")):
        if not Path("/proc", found[1]).exists():
            for left in _ip("netns", "pids", found[0]).split():
                with suppress(ProcessLookupError):
                    os.kill(int(left), signal.SIGKILL)
            _forget(found[0])


def _forget(name: str) -> None:
    for words in (("link", "delete", f"{name}a"), ("netns", "delete", name)):
        subprocess.run(["ip", *words], capture_output=True, check=False)  # either may not be there


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _enter(namespace: IO[bytes]) -> None:
    if _libc.setns(namespace.fileno(), _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot enter the network namespace")
