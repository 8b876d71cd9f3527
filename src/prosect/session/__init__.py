"""One person editing one scan. Loads no torch: the model that answers clicks comes in as an argument."""

from prosect.session.changes import Change, Suggestion
from prosect.session.journal import Record, read_record
from prosect.session.protocols import ClickModel, Responder
from prosect.session.session import Session

__all__ = ["Change", "ClickModel", "Record", "Responder", "Session", "Suggestion", "read_record"]
