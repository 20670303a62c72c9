"""Which gallery a command works on: a local one, or one behind a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from lookalike.errors import BadSetting

if TYPE_CHECKING:
    from lookalike.cli.options import Session
    from lookalike.client import Client
    from lookalike.gallery import Gallery

    AnyGallery: TypeAlias = Gallery | Client
    """Both have the methods that commands call."""


def open_gallery_or_client(session: Session, *, create: bool = False) -> AnyGallery:
    """Open the local gallery, or connect to the server that is configured; raises NotFound where there is no gallery.

    The API key is read from LOOKALIKE_KEY only: a command line is visible to every process of the machine.
    """
    url = server_of(session)
    if url is None:
        return session.open(create=create)
    from lookalike.client import Client  # noqa: PLC0415 - loads httpx, which local galleries do not need

    return Client(url, session.settings.key)


def server_of(session: Session) -> str | None:
    """The server's URL: that of `--server`, or, without `--gallery`, that of LOOKALIKE_SERVER."""
    if session.server is None:
        return session.settings.server if session.gallery is None else None
    if session.gallery is not None:
        raise BadSetting("--server and --gallery exclude each other; remove one of them")
    return session.server


def name_of(session: Session) -> str:
    """The gallery's folder or the server's URL, to show."""
    return server_of(session) or str(session.folder)
