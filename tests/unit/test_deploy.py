"""The deployment as far as it can be tried without a container: the files agree with each other and the program."""

import os
import re
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import yaml

from lookalike.config import from_environment, read_gallery
from lookalike.indexes.elasticsearch.config import read_settings
from lookalike.indexes.milvus.config import Settings as MilvusSettings
from tests.support.command import lookalike

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PASSWORDS = {"POSTGRES_PASSWORD": "p1", "ELASTIC_PASSWORD": "e2", "MILVUS_PASSWORD": "m3"}
Mapping = dict[str, Any]


def compose() -> Mapping:
    """compose.yaml, parsed."""
    return cast(Mapping, yaml.safe_load((DEPLOY / "compose.yaml").read_text()))


SERVICES: Mapping = compose()["services"]


def filled(text: str) -> str:
    """The text with its variables replaced, as compose does it."""
    return re.sub(r"\$\{(\w+):[?-][^}]*\}", lambda match: PASSWORDS.get(match[1], "8000"), text)


def dockerfile() -> str:
    """The Dockerfile with continued lines joined."""
    return (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_has_one_version(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9/-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9]+)?", SERVICES[name]["image"])


def test_the_base_image_has_one_version() -> None:
    bases = re.findall(r"^FROM (\S+)", dockerfile(), re.MULTILINE)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", bases[0])


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_watched_bounded_and_keeps_its_data(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"]
    assert {"interval", "timeout", "retries", "start_period"} <= service["healthcheck"].keys()
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    named = [volume for volume in service["volumes"] if not volume.startswith(".")]
    assert named
    assert {volume.split(":")[0] for volume in named} <= compose()["volumes"].keys()
    for volume in set(service["volumes"]) - set(named):
        assert (DEPLOY / volume.split(":")[0]).is_file()


def test_only_lookalike_is_published_and_to_this_machine_alone() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert list(published) == ["lookalike"]
    assert all(str(port).startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_engines_cannot_be_reached_from_outside() -> None:
    assert compose()["networks"]["engines"]["internal"] is True
    for name in SERVICES.keys() - {"lookalike"}:
        assert SERVICES[name]["networks"] == ["engines"]


def test_passwords_are_required_and_have_no_default() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    used = set(re.findall(r"\$\{(\w*PASSWORD\w*)", text))
    assert used == PASSWORDS.keys()
    assert len(re.findall(r"\$\{\w*PASSWORD\w*:\?", text)) == len(re.findall(r"\$\{\w*PASSWORD", text))
    example = dict(
        line.split("=", 1) for line in (DEPLOY / ".env.example").read_text().splitlines() if re.match(r"\w", line)
    )
    assert example == dict.fromkeys(PASSWORDS, "")
    ignored = (ROOT / ".gitignore").read_text().splitlines(), (ROOT / ".dockerignore").read_text().splitlines()
    assert "/deploy/.env" in ignored[0]
    assert "deploy/.env" in ignored[1]


def test_the_addresses_name_services_and_are_understood() -> None:
    environment = {name: filled(value) for name, value in SERVICES["lookalike"]["environment"].items()}
    settings = from_environment(environment)
    assert settings.catalog is not None
    for address in (settings.catalog, *settings.index.values()):
        assert urlsplit(address).hostname in SERVICES
        assert urlsplit(address).hostname in SERVICES["lookalike"]["depends_on"]
    elastic = read_settings(settings.index["PHASH"]).connection
    assert (elastic.user, elastic.password, elastic.tls) == ("elastic", PASSWORDS["ELASTIC_PASSWORD"], False)
    milvus = MilvusSettings.read(settings.index["VGG16"]).connection
    assert (milvus.user, milvus.password) == ("root", PASSWORDS["MILVUS_PASSWORD"])
    assert urlsplit(settings.catalog).password == SERVICES["postgresql"]["environment"]["POSTGRES_PASSWORD"].replace(
        "${POSTGRES_PASSWORD:?set it in deploy/.env}", PASSWORDS["POSTGRES_PASSWORD"]
    )


def test_the_command_is_one_of_the_program() -> None:
    command = SERVICES["lookalike"]["command"]
    assert str(command) == str(yaml.safe_load(re.findall(r"^CMD (.*)", dockerfile(), re.MULTILINE)[0]))
    answer = lookalike(command[0], "--help")
    assert answer.code == 0
    for option in (word for word in command[1:] if word.startswith("--")):
        assert option in answer.text
    assert 'ENTRYPOINT ["lookalike"]' in dockerfile()
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["lookalike"] == "lookalike.cli:main"


def test_what_the_dockerfile_copies_is_there() -> None:
    copied = re.findall(r"^COPY (?!--from)(.*)", dockerfile(), re.MULTILINE)
    sources = [source for line in copied for source in line.split()[:-1]]
    assert sources
    assert all((ROOT / source).exists() for source in sources)
    assert {Path(source).name for source in sources if source.endswith(".lock")} == set(
        re.findall(r"-r (\S+\.lock)", dockerfile())
    )


def test_the_image_installs_what_the_tests_ran_with() -> None:
    def pins(path: Path) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", path.read_text(), re.MULTILINE))

    inside, tried = pins(DEPLOY / "requirements.lock"), pins(ROOT / "requirements" / "dev.lock")
    assert {name: tried.get(name) for name in inside} == inside
    assert pins(ROOT / "requirements" / "run.lock").items() <= inside.items()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    used = ("vgg16", "server", "elasticsearch", "milvus", "postgresql")
    packages = {re.split(r"[\[><=]", requirement)[0] for name in used for requirement in extras[name]}
    assert packages <= inside.keys()


def test_lookalike_runs_as_nobody_special_and_writes_to_its_volumes_alone() -> None:
    assert re.search(r"^USER lookalike$", dockerfile(), re.MULTILINE)
    service = SERVICES["lookalike"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    volumes = {volume.split(":")[1] for volume in service["volumes"]}
    assert volumes == set(yaml.safe_load(re.findall(r"^VOLUME (.*)", dockerfile(), re.MULTILINE)[0]))
    assert volumes == set(re.findall(r"LOOKALIKE_(?:GALLERY|CACHE)=(\S+)", dockerfile()))


def test_the_example_settings_are_read(tmp_path: Path) -> None:
    (tmp_path / "gallery.toml").write_text((DEPLOY / "gallery.toml").read_text())
    example = read_gallery(tmp_path)
    assert example.catalog is not None
    for address in (example.catalog, *example.index.values()):
        assert urlsplit(address).hostname in SERVICES
        assert urlsplit(address).password is None
    assert read_settings(example.index["phash"]).shards == 1
    assert MilvusSettings.read(example.index["vgg16"]).buckets == 64


def test_compose_itself_accepts_it_and_refuses_to_go_without_passwords() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no docker compose here")  # parsed above; no daemon is needed, but its own client is
    command = [docker, "compose", "--file", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    kept = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    good = subprocess.run(command, env=kept | PASSWORDS, capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stderr
    for missing in PASSWORDS:
        some = {name: value for name, value in PASSWORDS.items() if name != missing}
        bad = subprocess.run(command, env=kept | some, capture_output=True, text=True, check=False)
        assert bad.returncode != 0
        assert missing in bad.stderr


def test_no_password_is_in_the_repository() -> None:
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.name != ".env":
            assert not re.search(r"(?i)password[ \t]*[=:][ \t]*[\"']?\w", path.read_text()), path
            assert not path.stat().st_mode & stat.S_IXUSR, path
