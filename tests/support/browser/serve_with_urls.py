"""A server of the real service that may fetch images from this machine: `GALLERY PORT`, the port of a test's host."""

import ipaddress
import json
import sys
from pathlib import Path

import lookalike
from lookalike.server.serve import BindAddress, run
from lookalike.server.url_fetch.fetcher import Fetcher

if __name__ == "__main__":
    gallery, port = Path(sys.argv[1]), int(sys.argv[2])
    fetcher = Fetcher(allow=[ipaddress.ip_network("127.0.0.0/8")], ports=[port])
    with lookalike.open(gallery) as service:
        run(
            service,
            BindAddress(port=0),
            fetcher=fetcher,
            on_ready=lambda url: print(json.dumps({"url": url}), flush=True),
        )
