"""Which commands are declared for which arguments."""

import subprocess
import sys

import pytest

from lookalike.cli.main import COMMANDS, register
from lookalike.cli.options import app
from tests.support.command import lookalike


def test_every_command_is_found_by_its_name() -> None:
    register()
    declared = [(info.callback.__module__, info.name) for info in app.registered_commands if info.callback]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        callback = group.typer_instance.registered_commands[0].callback
        assert callback is not None
        declared.append((callback.__module__, group.name))
    package = "lookalike.cli.commands"
    named = [(f"{package}.{module}", name) for module, names in COMMANDS.items() for name in names]
    assert sorted(map(str, declared)) == sorted(map(str, named))


@pytest.mark.parametrize(
    ("arguments", "declared"),
    [
        (["ls"], {"images"}),
        (["-g", "search", "ls", "--json"], {"images"}),
        (["--server", "http://x", "--gallery=search", "why-not"], {"explain"}),
        (["pipelines", "add"], {"pipelines"}),
        (["-g", "search", "--help"], set(COMMANDS)),
        (["--json", "-h", "ls"], set(COMMANDS)),
        (["no-such-command"], set(COMMANDS)),
        (["-g"], set(COMMANDS)),
        ([], set(COMMANDS)),
    ],
)
def test_only_the_named_command_is_declared(arguments: list[str], declared: set[str]) -> None:
    code = f"""
import sys
from lookalike.cli.main import COMMANDS, register
register({arguments!r})
print(*(name for name in COMMANDS if f"lookalike.cli.commands.{{name}}" in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == declared


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "x.jpg", "-k", "many"], "valid integer"),
        (["search", "x.jpg", "--threshold", "near"], "valid number"),
        (["search", "x.jpg", "-k"], "requires an argument"),
    ],
)
def test_values_of_other_types_are_checked(arguments: list[str], message: str) -> None:
    done = lookalike(*arguments)
    assert done.code == 2
    assert message in done.err
