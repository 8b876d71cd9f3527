"""A whole trunk from mid-thigh to the throat, built inside out: one cavity, walls around it, organs that fill it."""

from prosect.phantom.body.person import Person, draw_person
from prosect.phantom.body.whole import FIELD_OF_VIEW, body_anatomy

__all__ = ["FIELD_OF_VIEW", "Person", "body_anatomy", "draw_person"]
