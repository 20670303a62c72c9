"""The catalog under SIGKILL: what was acknowledged stays, what was deleted stays gone."""

import json
import random
import time
from pathlib import Path

from lookalike.catalog import Catalog
from tests.support.catalogs import HASH, VECTOR, digest, entry
from tests.support.faults.forked_process import Child

KILLS = 20
BATCHES = 40
MAX_KILLS = 200
"""On a slow machine a writer may be killed before it acknowledges a batch; then more writers are killed."""


def write(path: str, seed: int, keys: int) -> None:
    """Mix batches of inserts, replacements and deletions, and tell what is about to be done and that it is done."""
    dice = random.Random(seed)
    with Catalog.open(path, create=True) as catalog:
        tenant = catalog.tenants.get_or_create("default")
        say("ready")
        for step in range(1_000_000):
            some = [f"k{dice.randrange(keys)}" for _ in range(dice.randrange(1, 40))]
            if dice.random() < 0.3:
                say("deleting", dict.fromkeys(some))
                gone = catalog.images.delete(tenant, some)
                say("done", [one.sequence for one in gone])
            else:
                contents = {key: f"{seed}-{step}-{n}" for n, key in enumerate(some)}
                say("putting", contents)
                puts = catalog.images.put([entry(tenant, key, content) for key, content in contents.items()])
                say("done", [put.sequence for put in puts])


def say(*words: object) -> None:
    """One line, out at once."""
    print(json.dumps(words), flush=True)


class Witness:
    """What the catalog must hold, from what its writers said: the state, and what the last batch was about."""

    def __init__(self) -> None:
        self.sure: dict[str, str | None] = {}
        self.unsure: dict[str, str | None] = {}
        self.seqs: list[int] = []
        self.batches = 0

    def hear(self, line: str) -> None:
        word, *rest = json.loads(line)
        if word in ("putting", "deleting"):
            self.unsure = rest[0]
        elif word == "done":
            self.sure.update(self.unsure)
            self.unsure = {}
            self.seqs += rest[0]
            self.batches += 1

    def settle(self, there: dict[str, str]) -> None:
        """Compare; a batch under way when the writer died is there as a whole, or not at all."""
        before = {key: content for key, content in self.sure.items() if content is not None}
        after = {key: content for key, content in {**self.sure, **self.unsure}.items() if content is not None}
        assert there in (before, after)
        self.sure.update(there if there == after else {})
        for key in self.sure.keys() - there.keys():
            self.sure[key] = None
        self.unsure = {}


def contents(catalog: Catalog, witness: Witness) -> dict[str, str]:
    """Content by key, told from the digests of everything ever said."""
    said = {**witness.sure, **witness.unsure}
    tenant = catalog.tenants.find("default")
    if tenant is None:
        return {}
    found: dict[str, str] = {}
    for record in catalog.images.list_page(tenant, limit=10_000):
        options = {
            digest(content): content for content in (said.get(record.key), witness.sure.get(record.key)) if content
        }
        assert record.sha256 in options, f"{record.key} holds what no writer has acknowledged last"
        found[record.key] = options[record.sha256]
    return found


def write_and_die(path: Path, seed: int, dice: random.Random, witness: Witness) -> None:
    """Let a writer live for a random while after its first word, kill it, and hear everything it said."""
    writer = Child(write, str(path), seed, 150)
    assert json.loads(writer.said.readline()) == ["ready"]
    time.sleep(dice.uniform(0.0, 0.25))
    for line in writer.kill().splitlines(keepends=True):
        if line.endswith("\n"):
            witness.hear(line)


def test_no_kill_loses_or_revives_anything(tmp_path: Path) -> None:
    dice = random.Random(7)
    path = tmp_path / "catalog.sqlite"
    witness = Witness()
    kills = 0
    while kills < KILLS or (witness.batches < BATCHES and kills < MAX_KILLS):
        write_and_die(path, kills, dice, witness)
        kills += 1
        with Catalog.open(path) as catalog:
            there = contents(catalog, witness)
            witness.settle(there)
            catalog.check()
            assert catalog.changes.last_sequence() >= max(witness.seqs, default=0)
            for spec in (HASH, VECTOR):
                changes = catalog.changes.since(spec, 0, 1_000_000)
                assert len(changes.upserts.ids) == len(there), "an image lost its features"
    assert witness.seqs == sorted(set(witness.seqs)), "sequence numbers must increase"
    assert witness.batches >= BATCHES, "the writers acknowledged too little to judge by"
    print(
        f"{kills} kills, {witness.batches} acknowledged batches, {len(witness.seqs)} changes: none lost, none revived"
    )
