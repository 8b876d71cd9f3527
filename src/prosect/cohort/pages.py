"""Pages about a cohort that need no server and no script: one file each, light or dark as the reader's machine is."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

__all__ = ["Cells", "escape", "page", "table", "tiles"]

Cells = Sequence[str]

STYLE = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--text:#1b2430;--quiet:#5c6773;--line:#dfe3e8;--accent:#0b6bcb;
--good:#1a7f45;--bad:#b3261e;--code:#eef1f4}
@media(prefers-color-scheme:dark){:root{--page:#12161b;--card:#1b2129;--text:#e6eaef;--quiet:#9aa5b1;--line:#303944;
--accent:#6cb2ff;--good:#5bc98a;--bad:#ff8a80;--code:#242c36}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;padding:2rem 1.5rem;max-width:70rem;background:var(--page);
color:var(--text)}
h1{font-size:1.45rem;line-height:1.3;margin:0 0 1rem}h2{font-size:1.05rem;margin:2rem 0 .6rem}
p{margin:.3rem 0}.quiet{color:var(--quiet)}.bad{color:var(--bad)}
.card,.tiles>div,.wide{background:var(--card);border:1px solid var(--line);border-radius:10px}
.card{padding:1rem 1.2rem;margin:0 0 1rem}.card h2{margin-top:0;overflow-wrap:anywhere}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(7rem,1fr));gap:.8rem;margin:1rem 0}
.tiles>div{padding:.7rem 1rem}.tiles b{display:block;font-size:1.5rem;font-variant-numeric:tabular-nums}
.tiles span{color:var(--quiet);font-size:.85rem}
progress{width:100%;height:.7rem;accent-color:var(--accent)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.45rem .9rem;border-top:1px solid var(--line);vertical-align:top}
tr:first-child th{border-top:0}th{color:var(--quiet);font-weight:600;font-size:.85rem}
td{overflow-wrap:break-word;max-width:24rem}td:last-child{min-width:9rem}
img{max-width:100%;border-radius:6px;margin-top:.8rem;display:block}
code{background:var(--code);border-radius:6px;padding:.35rem .6rem;display:block;margin-top:.7rem;overflow-x:auto;
white-space:pre;font:13px/1.4 ui-monospace,monospace;user-select:all}
footer{margin-top:2.5rem;color:var(--quiet);font-size:.85rem}
"""
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">{refresh}
<title>{title}</title><style>{style}</style></head>
<body><main><h1>{title}</h1>{body}</main>
<footer>{foot}Research use only: not for diagnosis or treatment.</footer></body></html>
"""


def escape(text: str) -> str:
    """Return text for a page; names of scans are anybody's."""
    return html.escape(text)


def page(title: str, blocks: Iterable[str], *, foot: str = "", refresh_s: int | None = None) -> str:
    """Return a page.

    Args:
        title: What stands above it, as plain text.
        blocks: What it holds, escaped already.
        foot: What stands below it, as plain text.
        refresh_s: After how many seconds the page asks for itself again.
    """
    refresh = ""
    if refresh_s is not None:
        refresh = f'<meta http-equiv="refresh" content="{refresh_s}">'
    words = ""
    if foot:
        words = f"{escape(foot)} "
    return PAGE.format(title=escape(title), body="".join(blocks), foot=words, refresh=refresh, style=STYLE)


def tiles(facts: Iterable[tuple[str, str]]) -> str:
    """Return numbers that are seen first, each with what it counts, as plain text."""
    cells = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for value, name in facts)
    return f'<div class="tiles">{cells}</div>'


def table(title: str, heads: Cells, rows: Iterable[Cells]) -> str:
    """Return a table under a title, of plain text; nothing where there is no row."""
    lines = []
    for row in rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row)
        lines.append(f"<tr>{cells}</tr>")
    if not lines:
        return ""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    return f'<h2>{escape(title)}</h2><div class="wide"><table><tr>{head}</tr>{"".join(lines)}</table></div>'
