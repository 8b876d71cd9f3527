"""Pictures of a scan with what was found: three planes, a projection, names and volumes; and of clicks."""

from prosect.preview.picture import render, render_clicks, thumbnail

__all__ = ["render", "render_clicks", "thumbnail"]
