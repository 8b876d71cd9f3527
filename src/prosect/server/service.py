"""What a server can be asked for, whatever protocol asks. Dialects translate into these calls and hold nothing.

State: the queue of the device, and the newest jobs and replies. Locks are taken in one order: a session first, then the
device. Everything here blocks, so it is called from worker threads, never from the event loop.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from prosect.boxes import Box
from prosect.errors import FormatError, PromptError, ProsectError
from prosect.progress import Watch
from prosect.server.brush import Stroke, rasterise
from prosect.server.clicking import Click, refuse_disagreement
from prosect.server.device import CAPACITY, Device, Job, result_in_time
from prosect.server.drawing import Shape, answer_shape
from prosect.server.exports import export, require_ending
from prosect.server.library import Library, delete_upload
from prosect.server.live import Event, LiveSession
from prosect.server.metrics import Metrics
from prosect.server.paths import output_path
from prosect.server.readiness import ANSWERS_NAME, Readiness
from prosect.server.replies import Jobs, Replies, job_event
from prosect.server.scans import OpenScan
from prosect.server.shelf import Source
from prosect.server.training_set import TrainingSet, write_training_set
from prosect.session import Change, Session, Suggestion

__all__ = ["Changed", "Service"]

FOREIGN_S = 55.0  # other viewers give up after 60; our page shows how far the model is, and cancels


class Changed(Protocol):
    """What became of an action, as far as pages have to know."""

    @property
    def box(self) -> Box | None:
        """Where masks may have changed, in voxels of the scan as stored; None where they did not."""


Answer = TypeVar("Answer")
Outcome = TypeVar("Outcome", bound=Changed)


class Service:
    """All verbs of the server.

    Args:
        library: Its scans, sessions and models.
        clock: Seconds that only grow; replies are kept for some minutes.
    """

    def __init__(self, library: Library, clock: Callable[[], float]) -> None:
        self.library, self.settings, self.shelf, self._clock = library, library.settings, library.shelf, clock
        for name, path in library.kept_models().items():
            self.shelf.offer(Source(name, None, path))
        self.metrics = Metrics()
        # Each session may wait for the answer to one click; beside them there are drafts.
        self.device = Device(CAPACITY + self.settings.max_sessions, self._note_times)
        self.readiness = Readiness(self.shelf, self.device, self.settings.work / ANSWERS_NAME)
        self.jobs, self._replies = Jobs(), Replies(clock)

    # Scans and sessions

    def open_scan(self, root: str, path: str = "", series: str | None = None) -> OpenScan:
        """Open a scan below a root; see `Library.open_scan`."""
        return self.library.open_scan(root, path, series)

    def keep_upload(self, path: Path, name: str, series: str | None = None) -> OpenScan:
        """Open a scan that a client sent; see `Library.keep_upload`."""
        return self.library.keep_upload(path, name, series)

    def forget_scan(self, identity: str) -> None:
        """Let go of a scan on which no session works; see `Library.forget_scan`."""
        self.require_writing()
        self.library.forget_scan(identity)

    def begin(
        self, scan: str, overlap: str = "allow", near_miss_mm: float = 3.0, dialect: str = "native"
    ) -> LiveSession:
        """Begin a session on a scan; see `Library.create_session`."""
        self.require_writing()
        return self.library.create_session(scan, overlap, near_miss_mm, dialect)

    def session(self, identity: str) -> LiveSession:
        """Return a session, in memory or not; see `Library.session`."""
        return self.library.session(identity)

    def end(self, identity: str) -> None:
        """End a session and delete its journal; see `Library.end_session`."""
        self.require_writing()
        self.library.end_session(identity)

    def require_writing(self) -> None:
        """Raise PromptError (`READ_ONLY`) where the server was started to show only."""
        if self.settings.read_only:
            raise PromptError("This server only shows; start it with --edit to change masks.", code="READ_ONLY")

    # Actions: each returns the delta of what changed

    def click(self, identity: str, click: Click, revision: int | None = None, key: str | None = None) -> bytes:
        """Correct a structure where a person clicked.

        Raises:
            ProsectError: The click is refused, or the client has an old revision (`REVISION_OLD`).
        """
        live = self.library.session(identity)

        def act(session: Session, watch: Watch) -> Change:
            refuse_disagreement(click, session)
            live.require_slot(session, click.structure)
            return session.click(click.position, click.positive, click.structure, click.space, watch=watch)

        return self._act(identity, "click", act, revision, key)

    def undo(self, identity: str, revision: int | None = None, key: str | None = None) -> bytes:
        """Take the last action back."""
        return self._act(identity, "undo", lambda session, _watch: session.undo(), revision, key)

    def redo(self, identity: str, revision: int | None = None, key: str | None = None) -> bytes:
        """Do again what was undone last."""
        return self._act(identity, "redo", lambda session, _watch: session.redo(), revision, key)

    def clear(self, identity: str, structure: str, revision: int | None = None, key: str | None = None) -> bytes:
        """Empty a structure."""
        return self._act(identity, "clear", lambda session, _watch: session.clear(structure), revision, key)

    def paint(self, identity: str, stroke: Stroke, revision: int | None = None, key: str | None = None) -> bytes:
        """Add or remove the voxels under a brush."""
        live = self.library.session(identity)
        view = live.scan.view

        def act(session: Session, _watch: Watch) -> Change:
            live.require_slot(session, stroke.structure)
            box, bits = rasterise(stroke, session.volume.grid, view)
            return session.paint(stroke.structure, box, bits, positive=not stroke.erase)

        return self._act(identity, "brush", act, revision, key)

    def draw(self, identity: str, shape: Shape, revision: int | None = None, key: str | None = None) -> bytes:
        """Correct a structure by a box or lasso, which become clicks; see `drawing`."""
        live = self.library.session(identity)
        view = live.scan.view

        def act(session: Session, watch: Watch) -> Change:
            live.require_slot(session, shape.structure)
            return answer_shape(session, watch, shape, view)

        return self._act(identity, shape.kind, act, revision, key)

    def rename(
        self, identity: str, structure: str, name: str, revision: int | None = None, key: str | None = None
    ) -> bytes:
        """Call a structure something else; see `Session.rename`."""
        return self._act(identity, "rename", lambda session, _watch: session.rename(structure, name), revision, key)

    def start_from_file(self, identity: str, path: Path, names: Sequence[str] | None) -> bytes:
        """Take the masks of an uploaded label file as drafts; the file is deleted."""
        try:
            return self._act(identity, "masks", lambda session, watch: session.start_from(path, names, watch=watch))
        finally:
            delete_upload(path, self.library.uploads)

    def suggest(self, identity: str, structure: str | None) -> Suggestion | None:
        """Return where a click would tell most, or None."""
        with self.library.session(identity).hold() as session:
            return self.device.submit(identity, lambda _watch: session.suggest(structure), kind="suggestion").result()

    def save(self, identity: str, output: str, kind: str) -> list[str]:
        """Write a session's labels below the output root and return the names of the files.

        Raises:
            FormatError: See `output_path` and `require_ending`; or there is no root, or the file exists.
        """
        self.require_writing()
        require_ending(output, kind)
        target = self._free_place(output)
        made = export(self.library.session(identity), kind)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(made.path, target)
        finally:
            shutil.rmtree(made.path.parent, ignore_errors=True)
        return [output]

    def write_training_set(
        self, output: str, sessions: Sequence[str] | None, structures: Sequence[str] | None = None
    ) -> TrainingSet:
        """Write scans and labels of sessions below the output root, for `prosect finetune`; see `training_set`.

        Raises:
            ProsectError: As for `save`, or the sessions share no structure.
        """
        self.require_writing()
        target = self._free_place(output)
        chosen = [each.identity for each in self.library.sessions()] if sessions is None else sessions
        lives = [self.library.session(identity) for identity in chosen]
        if sessions is None:  # sessions in which nothing was done yet are no examples
            lives = [each for each in lives if any(row["voxels"] for row in each.state()["structures"])]
        return write_training_set(lives, self.shelf.clicker().vocabulary, target, structures)

    def _free_place(self, output: str) -> Path:
        """Return a path below the output root at which nothing is yet."""
        root = self.settings.output_root
        if root is None:
            raise FormatError(
                "This server saves no files; start it with --output-root, or export.", code="PATH_FORBIDDEN"
            )
        target = output_path(root, output)
        if target.exists():
            raise FormatError(f"{target.name} exists; choose another name.", code="OUTPUT_EXISTS")
        return target

    def add_model(self, path: Path, name: str) -> None:
        """Offer a model whose weights a client sent; tensors are read and no code is run.

        Raises:
            FormatError: It is no model that can be loaded; the file is deleted.
        """
        self.require_writing()
        try:
            self.shelf.add(Source(name, None, path))
            self.library.keep_model(name, path)
        except ProsectError as error:
            delete_upload(path, self.library.uploads)
            # A file that a client sent is the client's to change; what the server was started with would be ours.
            raise FormatError(str(error), code=error.code) from error

    def lock(self, identity: str, structure: str, locked: bool) -> None:
        """Protect a structure, or release it."""
        self.require_writing()
        live = self.library.session(identity)
        with live.hold() as session:
            session.lock(structure, locked)
            live.note_change(session, None)

    def appearance(self, identity: str, structure: str, colour: str | None, visible: bool | None) -> None:
        """Take a colour or visibility that a person chose; it belongs to the display, so no action is recorded."""
        self.require_writing()
        live = self.library.session(identity)
        with live.hold() as session:
            self.library.keep_appearance(live, structure, colour, visible)
            live.note_change(session, None)

    def labels(self, identity: str, box: Box | None, tight: bool = False) -> bytes:
        """Return the labels of a box of the scan, or of all of it, as they are now.

        Args:
            identity: The session.
            box: Where, in voxels of the scan as stored; None is everywhere.
            tight: Leave out what is empty around the structures; for a page that has painted nothing yet.
        """
        live = self.library.session(identity)
        with live.hold() as session:
            whole = Box((0, 0, 0), session.volume.grid.shape)
            asked = whole if box is None else box & whole
            return live.delta(session, asked & live.extent(session) if tight else asked)

    def missed(self, identity: str, revision: int) -> Event | None:
        """Return what a page that was away since a revision should be told, or None where nothing changed."""
        live = self.library.session(identity)
        with live.hold() as session:
            return live.missed(session, revision)

    def draft(self, identity: str, model: str | None, names: Sequence[str] | None) -> Job[Any]:
        """Begin to draft structures and return the job; the session can be clicked meanwhile.

        Raises:
            ProsectError: There is no such session or model, or the queue is full.
        """
        self.require_writing()
        live = self.library.session(identity)
        job = self._submit_draft(live, model, names)
        threading.Thread(target=self._finish_draft, args=(live, job), daemon=True, name="prosect-draft").start()
        return job

    def draft_now(self, identity: str, names: Sequence[str] | None) -> Change | None:
        """Draft structures and return what changed, None where nothing was found; it takes as long as it takes.

        Raises:
            ProsectError: There is no such session or structure, or the queue is full.
        """
        self.require_writing()
        live = self.library.session(identity)
        labels = self._submit_draft(live, None, names).result()
        if not labels.present:
            return None
        return self.perform(identity, "draft's masks", lambda session, watch: session.start_from(labels, watch=watch))

    def _submit_draft(self, live: LiveSession, model: str | None, names: Sequence[str] | None) -> Job[Any]:
        key = model or self.shelf.keys[0]
        volume = live.scan.volume
        chosen = None if names is None else list(names)
        job = self.device.submit(
            live.entry.identity,
            lambda watch: self.shelf.draft(key, volume, chosen, watch),
            kind="draft",
            urgent=False,
            listen=lambda each: self._tell_of_job(live, each, ends=False),
        )
        self.jobs.add(job)
        return job

    def _finish_draft(self, live: LiveSession, job: Job[Any]) -> None:
        """Take a finished draft into its session: masks first, then the clicks that were made meanwhile."""
        try:
            labels = job.result()
            self._act(live.entry.identity, "draft's masks", lambda session, _watch: session.start_from(labels), None)
        except BaseException as error:  # nobody waits for this thread, so the page is told
            job.error = error
            job.state = "failed" if job.state == "done" else job.state
        self._tell_of_job(live, job, ends=True)

    def announce_end(self) -> None:
        """Tell pages that the server goes; their streams of events end with that."""
        for live in self.library.live():
            live.tell({"event": "bye"})

    def stop(self) -> None:
        """End the device's thread and close the journals."""
        self.device.stop()
        for live in self.library.live():
            live.suspend()

    def perform(self, identity: str, kind: str, act: Callable[[Session, Watch], Outcome]) -> Outcome:
        """Do what another protocol asks of a session, on the device, and return what `act` returns.

        Args:
            identity: The session.
            kind: What pages are told that it is.
            act: Does it, and says in `box` where masks may have changed.

        Raises:
            ProsectError: It is refused, or not done after 55 s (`MODEL_SLOW`); nothing has changed then.
        """
        self.require_writing()
        live = self.library.session(identity)
        with live.hold() as session:
            before = session.revision
            job = self._submit_click(live, kind, lambda watch: act(session, watch))
            outcome = result_in_time(job, FOREIGN_S)
            if session.revision != before:
                live.note_change(session, outcome.box)
        return outcome

    def _act(
        self,
        identity: str,
        kind: str,
        act: Callable[[Session, Watch], Change],
        revision: int | None = None,
        key: str | None = None,
    ) -> bytes:
        """Do an action on the device and return its delta; a key that was used before gets the same reply again."""
        self.require_writing()
        live = self.library.session(identity)
        with live.hold() as session:
            # Looked up with the session held: the first request with this key may still have been at work.
            kept = self._replies.find(identity, key)
            if kept is not None:
                return kept
            if revision is not None and revision != session.revision:
                raise PromptError(
                    f"The session is at revision {session.revision}, the client at {revision}; load the labels again.",
                    code="REVISION_OLD",
                )
            change = self._submit_click(live, kind, lambda watch: act(session, watch)).result()
            began = self._clock()
            delta = live.delta(session, change.box, change)
            self.metrics.time("pack_seconds", self._clock() - began)
            self._replies.add(identity, key, delta)
            live.note_change(session, change.box)
        return delta

    def _submit_click(self, live: LiveSession, kind: str, work: Callable[[Watch], Answer]) -> Job[Answer]:
        """Put urgent work on a session that is held into the queue."""
        job = self.device.submit(
            live.entry.identity, work, kind=kind, listen=lambda each: self._tell_of_job(live, each, ends=True)
        )
        self.jobs.add(job)
        return job

    def _note_times(self, job: Job[Any]) -> None:
        self.metrics.time("queue_seconds", job.waited_s, kind=job.kind)
        self.metrics.time("model_seconds", job.worked_s, kind=job.kind)

    def _tell_of_job(self, live: LiveSession, job: Job[Any], ends: bool) -> None:
        live.tell(job_event(job, ends))
