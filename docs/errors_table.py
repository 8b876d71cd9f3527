"""Write the table of error codes in docs/reference/errors.md from the places in the code that raise them.

python docs/errors_table.py            (rewrites the table; says which codes lack words)
python docs/errors_table.py --check    (only says whether it is up to date)

Code, class and exit status come from the code; what a code means and what to do are kept from the table.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from prosect import errors

SOURCE = Path(errors.__file__).parent
TABLE = Path(__file__).parent / "reference" / "errors.md"
HEAD = "| code | class | exit | what it means | what to do |\n|---|---|---|---|---|\n"
KINDS = {name: kind for name in errors.__all__
         if issubclass(kind := getattr(errors, name), errors.ProsectError)}  # fmt: skip
Codes = dict[str, set[str]]


def main() -> int:
    """Rewrite or check the table; the status is 1 where it is out of date or words are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing")
    args = parser.parse_args()
    old = TABLE.read_text(encoding="utf-8")
    new = with_table(old, codes_raised(SOURCE))
    if not args.check:
        TABLE.write_text(new, encoding="utf-8")
    missing = [line.split("`")[1] for line in new.splitlines() if line.startswith("| `") and "|  |" in line]
    if missing:
        sys.stderr.write(f"words are missing for {', '.join(missing)}\n")
    return int(bool(missing) or (args.check and old != new))


def codes_raised(source: Path) -> Codes:
    """Return the error classes by code, for every place below `source` that makes an error."""
    found: Codes = defaultdict(set)
    for path in sorted(source.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
                for code in codes_of(node):
                    found[code].add(node.func.id)
    return found


def codes_of(call: ast.Call) -> Iterator[str]:
    """Yield the codes that one call can give: those written there, or the default of its class."""
    given = next((keyword.value for keyword in call.keywords if keyword.arg == "code"), None)
    if given is None:
        yield KINDS[call.func.id].default_code  # type: ignore[attr-defined]
        return
    if isinstance(given, ast.JoinedStr):
        yield "".join(part.value if isinstance(part, ast.Constant) else "*" for part in given.values)  # type: ignore[misc]
        return
    for node in ast.walk(given):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isupper():
            yield node.value


def with_table(text: str, codes: Codes) -> str:
    """Return the page with its table made anew."""
    start = text.index(HEAD)
    end = text.find("\n\n", start)
    rest = "" if end < 0 else text[end:]
    words = {}
    for line in text[start + len(HEAD) : end if end >= 0 else None].splitlines():
        code, _, _, meaning, remedy = (cell.strip() for cell in line.strip("|").split("|"))
        words[code.strip("`")] = (meaning, remedy)
    rows = [row(code, codes[code], *words.get(code, ("", ""))) for code in sorted(codes)]
    return text[:start] + HEAD + "\n".join(rows) + (rest or "\n")


def row(code: str, kinds: set[str], meaning: str, remedy: str) -> str:
    """Return one line of the table."""
    statuses = sorted({KINDS[kind].exit_status for kind in kinds})
    names = ", ".join(f"`{kind}`" for kind in sorted(kinds))
    return f"| `{code}` | {names} | {', '.join(map(str, statuses))} | {meaning} | {remedy} |"


if __name__ == "__main__":
    sys.exit(main())
