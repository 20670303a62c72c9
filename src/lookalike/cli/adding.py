"""`add`: images into the gallery, each reported once it is durable."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import get_args

from lookalike.cli.failures import ExitCode
from lookalike.cli.gallery_access import name_of, open_gallery_or_client
from lookalike.cli.json_output import outcome_object
from lookalike.cli.options import Session, pairs
from lookalike.cli.output import counted, emit, print_error, print_line, printable
from lookalike.cli.progress import ProgressBar
from lookalike.encoders import is_pulled, pull
from lookalike.errors import Reason
from lookalike.gallery import Gallery, parse_value
from lookalike.image_files import items_from
from lookalike.types import Outcome

EXAMPLES = 3
"""Rejected images that are named for each reason."""
KINDS = {
    "added": "added",
    "duplicate": "added as duplicates of others",
    "updated": "updated",
    "unchanged": "unchanged",
    "rejected": "rejected",
}
"""Outcomes in the order and the words in which people are told of them."""


def add(session: Session, paths: Sequence[str], key: str | None, attr: Sequence[str] | None) -> int:
    """Add files and folders; gives 1 where any image was rejected."""
    attributes = {name: parse_value(value) for name, value in pairs(attr, "--attr").items()} or None
    items = items_from(paths, key=key, attributes=attributes)
    tally = AddSummary()
    with open_gallery_or_client(session, create=True) as gallery:
        if isinstance(gallery, Gallery):
            fetch_weights(session, gallery.pipelines)
        try:
            with ProgressBar("Adding", lambda: items_from(paths, key=key), quiet=session.json) as counting:
                for outcome in gallery.add_iter(items, tenant=session.tenant):
                    if session.json:
                        emit(outcome_object(outcome))
                    tally.count(outcome)
                    counting.advance()
        except KeyboardInterrupt:
            print_error(f"interrupted; {tally.so_far()}. Run the same command again to go on from there")
            raise
    if not session.json:
        tally.print(name_of(session))
    return ExitCode.PARTIAL if tally.kinds["rejected"] else ExitCode.OK


def fetch_weights(session: Session, pipelines: Sequence[str]) -> None:
    """Fetch what is missing before the work starts, with a progress bar of its own."""
    settings = session.settings
    for name in pipelines:
        if not is_pulled(name, settings.cache, user_file=settings.models):
            print_error(f"fetching the weights of {name}, this once")
            pull(name, settings.cache, user_file=settings.models)


class AddSummary:
    """Outcomes by kind, and why images were rejected, with a few examples of each reason."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._examples: dict[str, list[Outcome]] = {}
        self._started = time.monotonic()

    def count(self, outcome: Outcome) -> None:
        """Count one."""
        self.kinds[outcome.outcome] += 1
        if outcome.outcome == "rejected":
            word = (outcome.reason or "").partition(":")[0]
            word = word.replace("_", " ") if word in get_args(Reason) else "other"
            self._reasons[word] += 1
            examples = self._examples.setdefault(word, [])
            if len(examples) < EXAMPLES:
                examples.append(outcome)

    def so_far(self) -> str:
        """`1,200 added, 3 rejected`."""
        told = [f"{self.kinds[kind]:,} {word}" for kind, word in KINDS.items() if self.kinds[kind]]
        return ", ".join(told) or "nothing was added"

    def print(self, gallery: str) -> None:
        """The summary for people."""
        total = self.kinds.total()
        if not total:
            print_line("No images found.")
            return
        seconds = time.monotonic() - self._started
        print_line(f"{counted(total, 'image')}: {self.so_far()}   ({seconds:.1f} s, {total / seconds:,.0f}/s)")
        print_line(f"Gallery: {printable(gallery)}")
        for word, n in self._reasons.most_common():
            print_line(f"Rejected, {word} ({n:,}):")
            for outcome in self._examples[word]:
                why = (outcome.reason or "").removeprefix(word.replace(" ", "_") + ": ")
                print_line(f"  {printable(outcome.key)}: {printable(why)}")
            if n > EXAMPLES:
                print_line(f"  and {n - EXAMPLES:,} more; add --json names them all")
