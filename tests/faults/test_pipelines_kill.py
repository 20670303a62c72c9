"""Pipelines come and go under load and kills: nothing is lost or revived, and every answer is that of its pipelines."""

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np

from lookalike import factory
from lookalike.catalog import backfills
from lookalike.config import GallerySettings, from_environment
from lookalike.distances import pairwise
from lookalike.factory import create_gallery, open_gallery
from lookalike.gallery import Gallery, index_move, pipeline_changes, pipeline_pool
from lookalike.results import ImageFeatures
from lookalike.types import Item
from tests.faults.test_kill import GONE, State, believe, say
from tests.support.drawn_images import drawn
from tests.support.engines import elasticsearch, postgresql
from tests.support.faults.forked_process import Child
from tests.support.toy_encoders import write_toy_models
from tests.support.waiting import wait_until

STABLE, CHANGING = 12, 24
"""Images that stay, and images of each writer that it removes and adds again."""
IMAGES = 8
WRITERS = ("a", "b")
USED = ({"phash"}, {"phash", "toy"}, {"toy"})
MAX_KILL_SECONDS = 0.6
"""Time from the beginning of a step within which it is killed."""
DROP_SECONDS = 2.0
"""Seconds until an index is deleted that no process searches any more. They learn of it within 0.2, and a search that
has begun goes on with the index that it began with."""
PAUSE = 0.2
"""Seconds between what a child does, so that the steps get their share of the processor."""


def files_of(photos: Path, owner: str, number: int) -> dict[str, Path]:
    """The files by key; each holds one of `IMAGES` images, by its number."""
    return {f"{owner}-{n}": photos / f"{owner}-{n}.png" for n in range(number)}


def image_of(key: str) -> int:
    return int(key.split("-")[1]) % IMAGES


@contextmanager
def opened(folder: str) -> Iterator[Gallery]:
    factory.INLINE_LIMIT = 64  # in this process: starting others takes longer than what they would do
    pipeline_pool.REFRESH_SECONDS = 0.2
    pipeline_changes.DROP_SECONDS = index_move.DROP_SECONDS = DROP_SECONDS
    os.environ["LOOKALIKE_MODELS"] = str(Path(folder).parent / "models.toml")
    with open_gallery(folder) as gallery:
        yield gallery


def write(folder: str, seed: int, owner: str) -> None:
    """Add and remove images until killed; say `try KEY STATE` before a change, `done KEY STATE` after it."""
    rng = random.Random(seed)
    files = files_of(Path(folder).parent / "photos", owner, CHANGING)
    with opened(folder) as gallery:
        print("ready", flush=True)
        while True:
            chosen = {key: image_of(key) for key in rng.sample(sorted(files), rng.choice((1, 6)))}
            say("try", chosen)
            for outcome in gallery.add_iter([Item(key, files[key]) for key in chosen]):
                assert outcome.outcome != "rejected", outcome
                say("done", {outcome.key: chosen[outcome.key]})
            gone = dict.fromkeys(rng.sample(sorted(files), 3), GONE)
            say("try", gone)
            gallery.remove(gone)
            say("done", gone)
            time.sleep(PAUSE)


def search(folder: str, seed: int) -> None:
    """Search until killed, and say which pipelines answered, on which engines; a wrong answer ends it."""
    rng = random.Random(seed)
    stable = files_of(Path(folder).parent / "photos", "stable", STABLE)
    images = [stable[f"stable-{n}"] for n in range(IMAGES)]
    with opened(folder) as gallery:
        features = {name: features_by(gallery, images, name) for name in gallery.encoded_pipelines}
        print("ready", flush=True)
        while True:
            number = rng.randrange(IMAGES)
            answer = gallery.search(images[number], k=200, verify=False, orientations=False)
            used = set(answer.exact_within)
            assert used in USED, used
            assert not answer.failed, answer.failed
            assert {"sha256"} == {hit.pipeline for hit in answer.hits if image_of(hit.key) == number}
            assert stable.keys() <= {hit.key for hit in answer.hits}, used
            for hit in answer.hits:
                if hit.evidence != "exact":
                    if hit.pipeline not in features:
                        features[hit.pipeline] = features_by(gallery, images, hit.pipeline)
                    right = features[hit.pipeline][number, image_of(hit.key)]
                    assert hit.pipeline in used
                    assert abs(hit.distance - right) < 0.003, (hit, right)
            engines = [opened.pipeline.engine.partition(":")[0] for opened in gallery._pipelines.now_open()]
            print("+".join(sorted(used)), "+".join(engines), flush=True)
            time.sleep(PAUSE)


def features_by(gallery: Gallery, images: list[Path], name: str) -> np.ndarray:
    """The distances of images by a pipeline, computed from the encoder's output."""
    rows = []
    for _, encoded in gallery.encode(images, pipelines=[name]):
        assert isinstance(encoded, ImageFeatures)
        rows.append(encoded.features[name])
    [spec] = [spec for spec in gallery.feature_specs() if spec.name == name]
    stacked = np.stack([row for row in rows if row is not None])
    return np.minimum(pairwise(spec.metric, stacked, stacked) / spec.scale, 1.0)


def change(folder: str, step: str, *arguments: str) -> None:
    """Take one step of changing the pipelines."""
    with opened(folder) as gallery:
        print("begun", flush=True)
        steps: dict[str, Callable[[], object]] = {
            "add": lambda: gallery.add_pipeline(arguments[0]),
            "backfill": lambda: backfill(gallery),
            "promote": lambda: gallery.promote_pipeline(arguments[0], replace="replace" in arguments),
            "drop": lambda: gallery.drop_pipeline(arguments[0]),
            "move": lambda: gallery.move_index(*arguments),
            "drop-index": lambda: drop_index(gallery, arguments[0]),
        }
        steps[step]()
        print("finished", flush=True)


def backfill(gallery: Gallery) -> None:
    """Images come and go meanwhile: none is left without features. What a killed worker had is soon taken over."""
    backfills.LEASE_SECONDS = 2.0
    assert gallery.backfill("toy").missing == 0


def drop_index(gallery: Gallery, name: str) -> None:
    """Drop the index that does not answer, unless the step that was killed has."""
    if next(pipeline for pipeline in gallery.pipeline_states() if pipeline.name == name).other_index is not None:
        gallery.drop_index(name)


def check(folder: str) -> None:
    """Say what each key holds, as catalog, features and indexes have it."""
    with opened(folder) as gallery:
        gallery.catalog.check()
        records = gallery.ls(limit=1000)
        rows = {pipeline.name: pipeline.rows for pipeline in gallery.status().pipelines}
        assert set(rows.values()) == {len(records)}, rows
        assert all(pipeline.missing == 0 for pipeline in gallery.pipeline_states() if pipeline.state == "active")
        for record in records:
            print("holds", record.key, image_of(record.key), flush=True)
        print("whole", flush=True)


def taken(folder: Path, rng: random.Random, seconds: float, step: str, *arguments: str) -> None:
    """Take a step, which is killed in the middle first, within so many seconds."""
    first = Child(change, str(folder), step, *arguments)
    assert first.said.readline() == "begun\n"
    time.sleep(rng.uniform(0, seconds))
    first.kill()
    second = Child(change, str(folder), step, *arguments)
    assert [second.said.readline() for _ in range(2)] == ["begun\n", "finished\n"], (step, arguments)
    second.kill()


class Running:
    """A child that works until it is killed, and what it has said, which a thread reads meanwhile."""

    def __init__(self, work: Callable[..., None], *arguments: object) -> None:
        self._child = Child(work, *arguments)
        assert self._child.said.readline() == "ready\n"
        self.lines: list[str] = []
        self._reader = Thread(target=lambda: self.lines.extend(iter(self._child.said.readline, "")), daemon=True)
        self._reader.start()

    def kill(self) -> list[list[str]]:
        """SIGKILL it; gives what it said, whole lines only. It must not have ended by itself."""
        assert self._reader.is_alive(), "it ended by itself"
        self.end()
        return [line.split() for line in self.lines if line.endswith("\n")]

    def end(self) -> None:
        self._child.end()
        self._reader.join()


STEPS = (
    ("add", "toy", "phash"),
    ("backfill", "toy", "phash"),
    ("promote", "toy", "phash+toy"),
    ("promote", "phash", "phash"),
    ("promote", "toy replace", "toy"),
    ("promote", "phash", "phash"),
    ("drop", "toy", "phash"),
)
"""What is done, to which pipeline, and which ones answer then."""


def test_pipelines_come_and_go_under_load_and_kills(tmp_path: Path) -> None:
    take_steps(tmp_path, ("phash",), STEPS, MAX_KILL_SECONDS, lambda said, wanted: said[0] == wanted)


MOVES = (
    ("move", "phash elasticsearch", "elasticsearch+hnsw"),
    ("move", "phash mih", "mih+hnsw"),
    ("drop-index", "phash", "mih+hnsw"),
    ("move", "toy flat", "mih+flat"),
    ("move", "toy hnsw", "mih+hnsw"),
    ("move", "phash elasticsearch", "elasticsearch+hnsw"),
)
"""What is done, to which pipeline, and which engines answer then."""


def test_indexes_move_and_move_back_under_load_and_kills(tmp_path: Path) -> None:
    """The kills come while an index is built, compared, switched to, and deleted."""
    url = f"{elasticsearch.server()}?mode=exact"
    steps = [(step, what.replace("elasticsearch", url), engines) for step, what, engines in MOVES]
    seconds = 1.5 * DROP_SECONDS
    take_steps(tmp_path, ("phash", "toy"), steps, seconds, lambda said, wanted: said[1] == wanted)


def take_steps(
    tmp_path: Path,
    pipelines: tuple[str, ...],
    steps: Sequence[tuple[str, str, str]],
    seconds: float,
    answers_as: Callable[[list[str], str], bool],
) -> None:
    """Take each step, killed within `seconds` first, under load, until searches say what they are to say after it."""
    rng = random.Random(14)
    folder, photos = tmp_path / "gallery", tmp_path / "photos"
    photos.mkdir()
    write_toy_models(tmp_path)
    files = [files_of(photos, "stable", STABLE), *(files_of(photos, owner, CHANGING) for owner in WRITERS)]
    for of_owner in files:
        for key, path in of_owner.items():
            drawn(image_of(key), (48, 36)).save(path)
    state: State = {key: {str(image_of(key))} for key in files[0]}
    answers: dict[str, int] = {}
    acknowledged = 0
    with postgresql.database() as url, ExitStack() as ends:
        settings = replace(from_environment(), models=tmp_path / "models.toml")
        create_gallery(folder, GallerySettings(pipelines, catalog=url), settings)
        with open_gallery(folder, settings=settings) as gallery:
            gallery.add([Item(key, path) for key, path in files[0].items()])

        def begin(name: str, seed: int) -> Running:
            child = Running(search, str(folder), seed) if name == "search" else Running(write, str(folder), seed, name)
            ends.callback(child.end)
            return child

        def kill(name: str) -> int:
            said = running.pop(name).kill()
            if name != "search":
                return believe(said, state)
            for used, _ in said:
                answers[used] = answers.get(used, 0) + 1
            return 0

        running = {name: begin(name, n) for n, name in enumerate((*WRITERS, "search"))}
        for turn, (step, what, answering) in enumerate(steps):
            taken(folder, rng, seconds, step, *what.split())
            said = running["search"].lines
            before = len(said)

            def answered(said: list[str] = said, before: int = before, wanted: str = answering) -> bool:
                return any(answers_as(line.split(), wanted) for line in said[before:] if line.endswith("\n"))

            wait_until(answered)
            victim = rng.choice(sorted(running))
            acknowledged += kill(victim)
            running[victim] = begin(victim, 10 * turn + 10)
        acknowledged += sum(kill(name) for name in sorted(running))
        lost, revived = compared_with(folder, state)
    print(f"{len(steps)} steps, {acknowledged} acknowledged changes, answers {answers}, {lost} lost, {revived} revived")
    assert acknowledged > 0
    assert (lost, revived) == (0, 0)


def compared_with(folder: Path, state: State) -> tuple[int, int]:
    """How many acknowledged changes are lost, and how many keys hold what they may not; `state` is what holds now."""
    child = Child(check, str(folder))
    holds: dict[str, str] = {}
    while (line := child.said.readline()) != "whole\n":
        assert line, "the check failed"
        _, key, image = line.split()
        holds[key] = image
    child.kill()
    now = {key: holds.get(key, GONE) for key in {*state, *holds}}
    wrong = [key for key, may_be in state.items() if now[key] not in may_be]
    lost = sum(now[key] == GONE for key in wrong)
    state.update({key: {what} for key, what in now.items()})
    return lost, len(wrong) - lost
