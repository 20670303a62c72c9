"""`pytest --cpu-times`: the processor time of each test, of its process and of the processes that it waited for.

Unlike a duration, it says little about what else the machine does. Servers that a run shares are not in it.
"""

import os
from collections import Counter
from collections.abc import Iterator

import pytest

TESTS = 30
"""How many of the most expensive tests are listed."""
NAME = "cpu_seconds"


def now() -> float:
    """User and system time of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class CpuTimes:
    """Measures in each process of a run, and reports in its first one."""

    def __init__(self) -> None:
        self._began = 0.0
        self._seconds: Counter[str] = Counter()
        self._elapsed: Counter[str] = Counter()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        self._began = now()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        try:
            yield
        finally:
            item.user_properties.append((NAME, now() - self._began))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._elapsed[report.nodeid] += report.duration
        if report.when == "teardown":
            self._seconds[report.nodeid] += sum(
                float(str(value)) for name, value in report.user_properties if name == NAME
            )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        files: Counter[str] = Counter()
        elapsed: Counter[str] = Counter()
        for nodeid, seconds in self._seconds.items():
            files[nodeid.partition("::")[0]] += seconds
            elapsed[nodeid.partition("::")[0]] += self._elapsed[nodeid]
        terminalreporter.section("processor time (elapsed), in seconds")
        for file, seconds in files.most_common():
            terminalreporter.line(f"{seconds:8.1f} ({elapsed[file]:6.1f})  {file}")
        for nodeid, seconds in self._seconds.most_common(TESTS):
            terminalreporter.line(f"{seconds:8.2f} ({self._elapsed[nodeid]:6.2f})  {nodeid}")
        terminalreporter.line(f"{files.total():8.1f} in all")
