"""Which gallery a command works on: one of this machine, or one that a service keeps."""

from lookalike.cli.options import Session
from lookalike.client import Client
from lookalike.errors import BadSetting
from lookalike.gallery import Gallery

AnyGallery = Gallery | Client
"""Both have the methods that commands call."""


def open_gallery_or_client(session: Session, *, create: bool = False) -> AnyGallery:
    """The service that is named, else the gallery of this machine; raises NotFound where there is none of these.

    The key is taken from LOOKALIKE_KEY alone: on a command line, every process of the machine could read it.
    """
    url = server_of(session)
    if url is None:
        return session.open(create=create)
    return Client(url, session.settings.key)


def server_of(session: Session) -> str | None:
    """The URL of the service: that of `--server`, or, unless a gallery is named, that of LOOKALIKE_SERVER."""
    if session.server is None:
        return session.settings.server if session.gallery is None else None
    if session.gallery is not None:
        raise BadSetting("--server and --gallery name two galleries; give one of them")
    return session.server


def name_of(session: Session) -> str:
    """The gallery's folder or the service's URL, to show."""
    return server_of(session) or str(session.folder)
