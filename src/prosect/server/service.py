"""What a server can be asked for, whatever protocol asks. Dialects translate into these calls and hold nothing.

State: the jobs, and the replies that may be asked for again. Locks are taken in one order: a session first, then the
device. Everything here blocks, so it is called from worker threads, never from the event loop.
"""

from __future__ import annotations

import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from prosect.boxes import Box
from prosect.errors import FormatError, PromptError
from prosect.progress import Watch
from prosect.server.brush import Stroke, rasterise
from prosect.server.clicking import Click, refuse_disagreement
from prosect.server.device import Device, Job
from prosect.server.exports import export
from prosect.server.library import Library, delete_upload
from prosect.server.live import LiveSession
from prosect.server.paths import output_path
from prosect.server.wire import problem_text
from prosect.session import Change, Session

__all__ = ["Service"]

CLICK_S = 55.0  # some clients give up after 60
KEPT_REPLIES_S = 600.0
MAX_JOBS = 200


class Service:
    """All verbs of the server.

    Args:
        library: Its scans, sessions and models.
        clock: Seconds that only grow, for how long replies are kept.
    """

    def __init__(self, library: Library, clock: Callable[[], float]) -> None:
        self.library, self.settings, self.shelf = library, library.settings, library.shelf
        self.device = Device()
        self._clock = clock
        self._jobs: OrderedDict[str, Job[Any]] = OrderedDict()
        self._replies: OrderedDict[tuple[str, str], tuple[float, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    # Actions: each returns the delta of what changed

    def click(self, identity: str, click: Click, revision: int | None = None, key: str | None = None) -> bytes:
        """Correct a structure where a person clicked.

        Raises:
            ProsectError: The click is refused, or the client has an old revision (`REVISION_OLD`).
        """

        def act(session: Session, watch: Watch) -> Change:
            refuse_disagreement(click, session)
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

        view = self.library.session(identity).scan.view

        def act(session: Session, _watch: Watch) -> Change:
            box, bits = rasterise(stroke, session.volume.grid, view)
            return session.paint(stroke.structure, box, bits, positive=not stroke.erase)

        return self._act(identity, "brush", act, revision, key)

    def start_from_file(self, identity: str, path: Path, names: Sequence[str] | None) -> bytes:
        """Take the masks of an uploaded label file as drafts; the file is deleted."""
        try:
            return self._act(identity, "masks", lambda session, watch: session.start_from(path, names, watch=watch))
        finally:
            delete_upload(path, self.library.uploads)

    def clicks(self, identity: str) -> list[dict[str, Any]]:
        """Return the clicks that count, structure by structure."""
        rows = []
        with self.library.session(identity).hold() as session:
            for state in session.states:
                for click in session.clicks(state.name):
                    rows.append(
                        {
                            "structure": state.name,
                            "position_ras": list(click.position_ras),
                            "positive": click.positive,
                        }
                    )
        return rows

    def suggest(self, identity: str, structure: str | None) -> dict[str, Any] | None:
        """Return where a click would tell most, or None."""
        live = self.library.session(identity)
        with live.hold() as session:
            job = self.device.submit(identity, lambda _watch: session.suggest(structure), kind="suggestion")
            found = job.result(CLICK_S)
        if found is None:
            return None
        return {
            "structure": found.structure,
            "position_ras": list(found.position_ras),
            "positive": found.positive,
            "volume_ml": found.volume_ml,
        }

    def save(self, identity: str, output: str, kind: str) -> list[str]:
        """Write a session's labels below the output root and return the names of the files.

        Raises:
            FormatError: There is no output root (`OUTPUT_FORBIDDEN`), the path leads out of it, or the file exists.
        """
        root = self.settings.output_root
        if root is None:
            raise FormatError(
                "This server saves no files; start it with --output-root, or export.", code="PATH_FORBIDDEN"
            )
        target = output_path(root, output)
        if target.exists():
            raise FormatError(f"{target.name} exists; choose another name.", code="OUTPUT_EXISTS")
        made = export(self.library.session(identity), kind)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(made.path, target)
        finally:
            shutil.rmtree(made.path.parent, ignore_errors=True)
        return [output]

    def is_ready(self) -> bool:
        """Return whether the model that answers clicks is loaded."""
        return self.shelf.is_ready

    def measures(self) -> dict[str, float]:
        """Return what those who run the server watch; no names and no paths."""
        return {
            "sessions_live": sum(each.is_live for each in self.library.live()),
            "sessions_known": len(self.library.sessions()),
            "queue_length": self.device.waiting,
            "scan_bytes": self.library.scans.held_bytes,
        }

    def lock(self, identity: str, structure: str, locked: bool) -> None:
        """Protect a structure, or release it."""
        live = self.library.session(identity)
        with live.hold() as session:
            session.lock(structure, locked)
        self._changed(live, None)

    def appearance(self, identity: str, structure: str, colour: str | None, visible: bool | None) -> None:
        """Take a colour or visibility that a person chose; it belongs to the display, so no action is recorded."""
        live = self.library.session(identity)
        self.library.keep_appearance(live, structure, colour, visible)
        self._changed(live, None)

    def labels(self, identity: str, box: Box | None) -> bytes:
        """Return the labels of a box of the scan, or of all of it, as they are now."""
        live = self.library.session(identity)
        with live.hold() as session:
            whole = Box((0, 0, 0), session.volume.grid.shape)
            return live.delta(session, whole if box is None else box & whole)

    def draft(self, identity: str, model: str | None, names: Sequence[str] | None) -> Job[Any]:
        """Begin to draft structures and return the job; the session can be clicked meanwhile.

        Raises:
            ProsectError: There is no such session or model, or the queue is full.
        """
        live = self.library.session(identity)
        key = model or self.shelf.keys[0]
        volume = live.scan.volume
        chosen = None if names is None else list(names)
        job = self.device.submit(
            identity,
            lambda watch: self.shelf.draft(key, volume, chosen, watch),
            kind="draft",
            urgent=False,
            listen=lambda each: self._job_event(live, each, ends=False),
        )
        self._remember(job)
        threading.Thread(target=self._finish_draft, args=(live, job), daemon=True, name="prosect-draft").start()
        return job

    def _finish_draft(self, live: LiveSession, job: Job[Any]) -> None:
        """Take a finished draft into its session: masks first, then the clicks that were made meanwhile."""
        try:
            labels = job.result()
            self._act(live.entry.identity, "draft", lambda session, _watch: session.start_from(labels), None)
        except BaseException as error:  # nobody waits for this thread, so the page is told
            job.error = error
            job.state = "failed" if job.state == "done" else job.state
        self._job_event(live, job, ends=True)

    def job(self, identity: str) -> Job[Any]:
        """Return a job.

        Raises:
            PromptError: There is none (`JOB_UNKNOWN`).
        """
        with self._lock:
            job = self._jobs.get(identity)
        if job is None:
            raise PromptError(f"There is no job '{identity:.40}' here.", code="JOB_UNKNOWN")
        return job

    def stop(self) -> None:
        """Tell pages that the server goes, end the device's thread and close the journals."""
        everyone = self.library.live()
        for live in everyone:
            live.tell({"event": "bye"})
        self.device.stop()
        for live in everyone:
            live.suspend()

    def _act(
        self,
        identity: str,
        kind: str,
        act: Callable[[Session, Watch], Change],
        revision: int | None = None,
        key: str | None = None,
    ) -> bytes:
        """Do an action on the device and return its delta; a key that was used before gets the same reply again."""
        kept = self._reply(identity, key)
        if kept is not None:
            return kept
        live = self.library.session(identity)
        with live.hold() as session:
            if revision is not None and revision != session.revision:
                raise PromptError(
                    f"The session is at revision {session.revision}, the client at {revision}; load the labels again.",
                    code="REVISION_OLD",
                )
            job = self.device.submit(
                identity,
                lambda watch: act(session, watch),
                kind=kind,
                listen=lambda each: self._job_event(live, each, ends=True),
            )
            self._remember(job)
            try:
                change = job.result(CLICK_S)
            except TimeoutError:
                job.cancel()  # it stops before its next pass and changes nothing
                change = job.result()
            delta = live.delta(session, change.box, change)
        self._keep_reply(identity, key, delta)
        self._changed(live, change.box)
        return delta

    def _changed(self, live: LiveSession, box: Box | None) -> None:
        """Tell pages that something changed, and where in the display copy."""
        with live.hold() as session:
            shown = None if box is None else live.scan.view.box(box)
            where = None if shown is None else {"start": list(shown.start), "stop": list(shown.stop)}
            live.tell({"event": "changed", "revision": session.revision, "box": where})

    def _job_event(self, live: LiveSession, job: Job[Any], ends: bool) -> None:
        state = job.state
        if state in ("done",) and not ends:
            state = "running"  # the masks still have to be taken into the session
        live.tell(
            {
                "event": "job",
                "id": job.identity,
                "kind": job.kind,
                "state": state,
                "done": job.done,
                "total": job.total,
                "text": job_text(job),
                "problem": None if job.error is None else problem_text(job.error),
            }
        )

    def _remember(self, job: Job[Any]) -> None:
        with self._lock:
            self._jobs[job.identity] = job
            while len(self._jobs) > MAX_JOBS:
                self._jobs.popitem(last=False)

    def _reply(self, identity: str, key: str | None) -> bytes | None:
        if key is None:
            return None
        with self._lock:
            when, reply = self._replies.get((identity, key), (0.0, b""))
        fresh = bool(reply) and self._clock() - when < KEPT_REPLIES_S
        return reply if fresh else None

    def _keep_reply(self, identity: str, key: str | None, reply: bytes) -> None:
        if key is None:
            return
        with self._lock:
            self._replies[(identity, key)] = (self._clock(), reply)
            while len(self._replies) > MAX_JOBS:
                self._replies.popitem(last=False)


def job_text(job: Job[Any]) -> str:
    """Return how far a job is, in words."""
    if job.state == "queued":
        return "waiting for the model"
    if job.state == "running" and job.total:
        return f"{job.kind}: step {job.done} of {job.total}"
    return job.state
