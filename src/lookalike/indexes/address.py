"""Engine addresses: URLs with options, parsed strictly."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from lookalike.errors import BadSetting

SECRET_OPTIONS = ("api_key", "token")
"""Options of engines that are as good as a password."""
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of `scheme://user:password@host:port/path?option=value`, or of an embedded engine, `mih?m=5`."""

    scheme: str
    host: str
    port: int | None
    user: str | None
    password: str | None = field(repr=False)
    path: str
    options: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Parse a URL, or a name with options; raises BadSetting, whose message never shows a password."""
        location, _, query = text.strip().partition("?")
        try:
            parts = urlsplit(location if "://" in location else f"{location}://")
            port = parts.port
        except ValueError as error:
            raise BadSetting(f"invalid address {without_password(text)!r}: {error}") from None
        if not parts.scheme:
            raise BadSetting(f"invalid address {without_password(text)!r}; write NAME or scheme://host:port")
        pairs = parse_qsl(query, keep_blank_values=True)
        if len(dict(pairs)) != len(pairs):
            raise BadSetting(f"an option is given twice in {without_password(text)!r}")
        user, password = (None if part is None else unquote(part) for part in (parts.username, parts.password))
        return cls(parts.scheme, parts.hostname or "", port, user, password, unquote(parts.path), dict(pairs))

    def text(self, name: str, default: str, *, choices: tuple[str, ...] = ()) -> str:
        """A text option, one of `choices` if any are given; raises BadSetting."""
        value = self.options.get(name, default)
        if choices and value not in choices:
            raise BadSetting(f"{name} of {self} must be one of {', '.join(choices)}, not {value!r}")
        return value

    def number(self, name: str, default: int, *, minimum: int = 1, maximum: int = 1 << 31) -> int:
        value = self.options.get(name, str(default))
        if not re.fullmatch(r"-?\d{1,12}", value) or not minimum <= int(value) <= maximum:
            raise BadSetting(f"{name} of {self} must be an integer from {minimum} to {maximum}, not {value!r}")
        return int(value)

    def fraction(self, name: str, default: float, *, minimum: float = 0.0, maximum: float = 1.0) -> float:
        value = self.options.get(name, str(default))
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not minimum <= number <= maximum:
            raise BadSetting(f"{name} of {self} must be from {minimum} to {maximum}, not {value!r}")
        return number

    def flag(self, name: str, default: bool) -> bool:
        value = self.options.get(name, str(default)).lower()
        if value not in _FLAGS:
            raise BadSetting(f"{name} of {self} must be true or false, not {value!r}")
        return _FLAGS[value]

    def check_options(self, *names: str) -> None:
        """Raise BadSetting for an option that is not one of `names`."""
        if unknown := sorted(self.options.keys() - set(names)):
            known = f"the options are {', '.join(names)}" if names else "it has no options"
            raise BadSetting(f"{self} has no option {unknown[0]!r}; {known}")

    def __str__(self) -> str:
        """The address without password and options, for messages."""
        if not (self.host or self.path):
            return self.scheme
        at = f"{quote(self.user)}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{at}{host}{f':{self.port}' if self.port else ''}{self.path}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, so that credentials may be sent to it without TLS."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def without_secret(text: str) -> str:
    """A URL without its password, API key and token, as the catalog stores it."""
    location, mark, query = re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1@", text.strip()).partition("?")
    kept = [option for option in query.split("&") if option.partition("=")[0] not in SECRET_OPTIONS]
    return location + mark + "&".join(kept) if any(kept) else location


def without_password(text: str) -> str:
    """A URL with its password masked, for messages; works for invalid URLs too."""
    return re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", text)
