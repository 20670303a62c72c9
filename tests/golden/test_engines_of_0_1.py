"""Galleries that version 0.1.0 made on PostgreSQL, Elasticsearch and Milvus, put back by these engines' own clients.

They open as they are: nothing is encoded, filled or exchanged; and they answer as then.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.golden import raw
from tests.golden.access import opened, refused
from tests.golden.questions import BYTES, DATA, FILES, OTHER_TENANT, again, differences, questions

PIPELINES = ("phash", "vgg16")


@dataclass(frozen=True)
class Loaded:
    """A gallery on engines: its folder, its catalog, what its indexes are called."""

    way: str
    folder: Path
    catalog: str
    names: raw.Names

    @property
    def keeps_features(self) -> bool:
        return "features=engine" not in raw.WAYS[self.way][0]

    def answers(self) -> Any:
        return json.loads((DATA / self.way / "answers.json").read_text())

    def state(self) -> dict[str, Any]:
        """Everything that is in the engines, and what shows whether it was written again."""
        return {
            "postgresql": raw.state_of_postgresql(self.catalog),
            "elasticsearch": raw.state_of_elasticsearch(self.names),
            "milvus": raw.state_of_milvus(self.names),
        }


@pytest.fixture(params=raw.WAYS, scope="module")
def loaded(request: pytest.FixtureRequest, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """The engines hold what was recorded; it is gone at the end.

    All tests have the same one, for loading it takes long: each leaves its answers as they are, but for the last.
    """
    way = str(request.param)
    recorded, folder = DATA / way, tmp_path_factory.mktemp(way) / "gallery"
    names = raw.names_in(recorded)
    hashes, vectors = raw.elasticsearch_url(), raw.milvus_url()
    with raw.database() as catalog:
        raw.sweep(names)
        try:
            raw.load_postgresql(catalog, recorded / "postgresql.sql")
            raw.load_elasticsearch(recorded / "elasticsearch.json")
            raw.load_milvus(recorded / "milvus.json")
            text = (recorded / "gallery.toml").read_text()
            for word, address in {"CATALOG": catalog, "ELASTICSEARCH": hashes, "MILVUS": vectors}.items():
                text = text.replace(f'"{word}', f'"{address}')
            folder.mkdir()
            (folder / "gallery.toml").write_text(text)
            yield Loaded(way, folder, catalog, names)
        finally:
            raw.sweep(names)


def changed(before: Any, after: Any) -> list[str]:
    """What is not as it was, named by engine and part."""
    return [
        f"{engine} {part}: {after[engine].get(part)} instead of {reply}"
        for engine, parts in before.items()
        for part, reply in parts.items()
        if part != "compared_pairs"  # what comparing pixels has shown is kept
        if after[engine].get(part) != reply
    ]


def unlike(loaded: Loaded, *, few: bool = False) -> list[str]:
    """Every difference between what the gallery answers and what it answered then."""
    expected = loaded.answers()
    with opened(loaded.folder) as gallery:
        asked = questions(PIPELINES, keys=loaded.keeps_features, few=few)
        assert few or list(asked) == list(expected)
        return [
            f"{title}{difference}"
            for title, ask in asked.items()
            for difference in differences(title, expected[title], ask(gallery))
        ]


def test_answers_are_those_of_then_and_nothing_is_written(loaded: Loaded, caplog: pytest.LogCaptureFixture) -> None:
    with opened(loaded.folder):
        pass  # the catalog's schema is migrated
    before = loaded.state()
    in_step = before["elasticsearch"]["mappings"]["_meta"]["lookalike"]["sequence"]
    assert before["milvus"]["rows"][0]["attributes"]["sequence"] == in_step
    with caplog.at_level(logging.WARNING):
        assert unlike(loaded) == []
        with opened(loaded.folder) as gallery:
            gallery.sync_indexes()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("lookalike")] == []
    assert changed(before, loaded.state()) == []


def test_the_same_images_again_change_nothing(loaded: Loaded) -> None:
    """But where their files are now, and of what time."""
    with opened(loaded.folder):
        pass  # the catalog's schema is migrated
    before = loaded.state()
    with opened(loaded.folder) as gallery:
        assert {one["outcome"] for one in again(gallery)} == {"unchanged"}
        gallery.sync_indexes()
    found = changed(before, loaded.state())
    assert [one for one in found if not one.startswith("postgresql images")] == []
    assert unlike(loaded, few=True) == []


def test_a_repair_answers_the_same(loaded: Loaded) -> None:
    """Indexes are rebuilt from the old catalog where that has the features; else nothing is touched."""
    with opened(loaded.folder):
        pass  # the catalog's schema is migrated
    before = loaded.state()
    with opened(loaded.folder) as gallery:
        if not loaded.keeps_features:
            assert refused(gallery.repair)
        else:
            gallery.repair()
    after = loaded.state()
    for engine in ("elasticsearch", "milvus"):
        assert (after[engine]["name"] == before[engine]["name"]) is not loaded.keeps_features
    assert unlike(loaded, few=True) == []


def test_it_is_gone_on_with(loaded: Loaded) -> None:
    """Changes go into the same index and the same collection."""
    [six] = [file for key, file in BYTES.items() if "six ü" in key]
    before, expected = loaded.state(), loaded.answers()
    sequence = expected["status"]["sequence"]
    with opened(loaded.folder) as gallery:
        [outcome] = gallery.add_files({"new": six}, {"new": {"album": "new"}}, OTHER_TENANT)
        assert (outcome["outcome"], outcome["sequence"]) == ("added", sequence + 1)
        gallery.set_attributes("two", {"album": "changed"})
        assert gallery.remove(["one", "to delete"]) == ["one"]
        gallery.sync_indexes()
        seen = {"min_sequence": sequence + 3}
        new = gallery.search(six, tenant=OTHER_TENANT, filter={"album": "new"}, **seen)["hits"]
        assert [hit[1] for hit in new] == ["new"]
        assert new[0][0] > max(record["id"] for record in expected["list all"])  # ids are not given twice
        for pipeline in PIPELINES:  # both engines know of it
            hits = gallery.search(FILES["two"], filter={"album": "changed"}, pipelines=[pipeline], **seen)["hits"]
            assert [hit[1] for hit in hits] == ["two"]
            hits = gallery.search(FILES["one"], pipelines=[pipeline], k=50, **seen)["hits"]
            assert "one" not in [hit[1] for hit in hits]
            assert len(hits) > 5 or loaded.way != "engines"
        status = gallery.status()
        assert [(one["rows"], one["saved_at"]) for one in status["pipelines"]] == [
            (one["rows"], sequence + 3) for one in expected["status"]["pipelines"]
        ]
    after = loaded.state()
    for engine in ("elasticsearch", "milvus"):
        assert after[engine]["name"] == before[engine]["name"]
