"""Pictures of a scan with what was found: three planes, a projection, names and volumes; and of clicks."""

from prosect.preview.picture import picture, render, render_clicks, thumbnail

__all__ = ["picture", "render", "render_clicks", "thumbnail"]
