"""The files of the page: what is vendored is what its README says, and nothing is fetched from elsewhere."""

from __future__ import annotations

import hashlib
import re
from importlib import resources

PAGE = resources.files("prosect.server").joinpath("page")


def test_the_vendored_viewer_is_the_one_whose_making_is_described() -> None:
    vendor = PAGE.joinpath("vendor")
    (stated,) = re.findall(r"SHA-256 `([0-9a-f]{64})`", vendor.joinpath("README.md").read_text(encoding="utf-8"))
    assert hashlib.sha256(vendor.joinpath("niivue.js").read_bytes()).hexdigest() == stated


def test_every_package_of_the_bundle_has_its_licence() -> None:
    vendor = PAGE.joinpath("vendor")
    text = vendor.joinpath("README.md").read_text(encoding="utf-8")
    licences = vendor.joinpath("LICENSES.txt").read_text(encoding="utf-8")
    named = re.findall(r"([@\w/-]+) (\d+\.\d+\.\d+)", text.split("With it came")[1])
    assert len(named) == 6
    for name, version in named:
        assert f"{name} {version}" in licences
    assert licences.count("Copyright") >= 7


def test_the_page_asks_nobody_but_its_own_server() -> None:
    for entry in PAGE.iterdir():
        if entry.name.endswith((".js", ".html", ".css")):
            text = entry.read_text(encoding="utf-8")
            addresses = [found for found in re.findall(r"https?://[^\s\"'`]+", text) if "www.w3.org" not in found]
            assert addresses == [], entry.name
            assert not re.search(r"\.innerHTML|\.outerHTML|insertAdjacentHTML|eval\(", text), entry.name
