"""Connecting to a Ray cluster that authenticates its members, or starting one on this machine."""

import os
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lookalike.cpu import usable_cores
from lookalike.errors import BadSetting, Unavailable
from lookalike.optional import require

LOCAL = "local"
"""The address of a cluster of this machine alone, which is started for the command and ends with it."""
LOCAL_OBJECT_STORE = 200_000_000
"""Bytes of shared memory of a local cluster: rows of the manifest and outcomes pass through it, images do not."""
CONNECT_SECONDS = 5.0
PROBE_SECONDS = 120.0
_VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray otherwise reports to its makers
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # the loss of a worker or a machine is no error here
    "RAY_TASK_MAX_RETRIES": "100",  # of reading a manifest's file, for a long file outlives many machines
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the behaviour of later versions, without the warning
}
_STATUS = "from ray.scripts.scripts import main; main()"
"""The program `ray`, which need not be in the PATH."""


@dataclass(frozen=True, slots=True)
class Workers:
    """Fewest and most workers; `most` is None for as many as the cluster has room for."""

    fewest: int = 1
    most: int | None = None


def parse_workers(text: str) -> Workers:
    """Parse `4`, `2-16` or `2-`; raises BadSetting for anything else."""
    match = re.fullmatch(r"(\d+)(?:(-)(\d*))?", text)
    if match is not None:
        fewest = int(match[1])
        most = fewest if match[2] is None else int(match[3]) if match[3] else None
        if fewest >= 1 and (most is None or most >= fewest):
            return Workers(fewest, most)
    raise BadSetting(f"--workers must be a number or a range, such as 8, 2-16 or 2-, not {text!r}")


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to the cluster at `host:port`, or start one of this machine for `local`, until the block ends.

    Raises:
        BadSetting: Ray is not installed, the address is invalid, or the cluster takes callers without a token.
        Unavailable: The cluster does not answer, or this machine is none of it.
    """
    is_local = address == LOCAL
    if not is_local:
        _check_address(address)
    variables = dict(_VARIABLES)
    if is_local:
        variables |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with _environment(variables):
        require("ray", purpose="lookalike ingest")
        if not is_local:
            _check_authenticated(address)
        import ray  # noqa: PLC0415 - of the extra ray, and seconds to import

        options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
        if is_local:
            options |= {
                "num_cpus": usable_cores(),
                "include_dashboard": False,
                "object_store_memory": LOCAL_OBJECT_STORE,
            }
        try:
            ray.init(**options)
        except ray.exceptions.AuthenticationError as error:
            raise _token_missing(address) from error
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise Unavailable(
                f"the Ray cluster at {address} cannot be joined: {error}. Run this command on a machine of the cluster "
                f"(`ray start --address={address}` makes this one a member)"
            ) from error
        try:
            yield
        finally:
            ray.shutdown()


def cores_of_workers(requested: int | None, workers: Workers) -> int:
    """Return the cores of a worker in the connected cluster: those requested, or all of the smallest machine.

    Raises:
        BadSetting: The cluster has no room for the fewest workers.
    """
    import ray  # noqa: PLC0415 - of the extra ray

    machines = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    each = requested or min((cores for cores in machines if cores), default=1)
    room = sum(cores // each for cores in machines)
    if room < workers.fewest:
        raise BadSetting(
            f"the cluster's machines, of {', '.join(map(str, sorted(machines)))} cores, have no room for "
            f"{workers.fewest} workers of {each}; lower --cores or --workers"
        )
    return each


def _check_address(address: str) -> None:
    """Raise BadSetting for what is no `host:port`, Unavailable where nothing listens there."""
    host, colon, port = address.rpartition(":")
    if "://" in address or not (colon and host and port.isdecimal()):
        raise BadSetting(
            f"--ray must be {LOCAL}, or the host:port of a Ray cluster's head, such as 10.0.0.1:6379, not {address!r}"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise Unavailable(f"no Ray cluster answers at {address}: {error}") from error


def _check_authenticated(address: str) -> None:
    """Raise BadSetting for a cluster that answers a caller without a token.

    Loopback is no exception: Ray's processes listen on all addresses of their machine, whatever address they are
    reached by (seen with Ray 2.60), and whoever reaches them can run any code as their user.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _STATUS, "status", "--address", address],
            env={**variables, "RAY_AUTH_MODE": "disabled"},
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"the Ray cluster at {address} does not answer within {PROBE_SECONDS:.0f} s") from error
    if probe.returncode == 0:
        raise BadSetting(
            f"the Ray cluster at {address} takes any caller that reaches it, who can then run code on its machines and "
            "read the catalog's password. Start it with a token: `ray get-auth-token --generate`, copy the file "
            "~/.ray/auth_token to every machine, and `RAY_AUTH_MODE=token ray start ...` on each; then run this "
            "command with RAY_AUTH_MODE=token"
        )
    if "AuthenticationError" not in probe.stderr:
        last = (probe.stderr.strip() or probe.stdout.strip() or "no message").splitlines()[-1]
        raise Unavailable(f"the Ray cluster at {address} does not answer: {last}")


def _token_missing(address: str) -> BadSetting:
    return BadSetting(
        f"the Ray cluster at {address} refused this process: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or "
        "RAY_AUTH_TOKEN_PATH to the cluster's token, or put it into ~/.ray/auth_token"
    )


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process, which Ray's processes inherit, for the time of a block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
