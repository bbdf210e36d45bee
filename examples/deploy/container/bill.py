#!/usr/bin/env python3
"""The bill of materials in CycloneDX, of what is in the image and nothing else, and the licences that go with it.

bill.py SOURCE FEATURES FOLDER      makes sbom.cdx.json and third-party.txt in FOLDER

cargo-cyclonedx describes every crate that a workspace may need and none of what a build script builds, so `cargo tree`
says which of them are in the program, and the decoder's own parts are added: FFmpeg, and the package of its AV1 decoder.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

TOOL = "cargo-cyclonedx@0.5.9"
DECODER = "picchu-decoder"
SYSTEM = ["libc6", "libgcc-s1", "ca-certificates"]
TARGET = f"{os.uname().machine}-unknown-linux-gnu"

Document = dict[str, Any]


def cargo(package: Path, *words: str) -> str:
    return subprocess.run(
        ["cargo", *words], cwd=package, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def document(package: Path, features: str) -> Document:
    """What is built into the package at `package`, which is a copy: the tool writes beside the manifests."""
    chosen = ["--features", features, "--target", TARGET]
    cargo(
        package,
        "cyclonedx",
        "--quiet",
        "--format=json",
        "--spec-version=1.5",
        "--override-filename=bill",
        *chosen,
    )
    text = (package / "bill.json").read_text()
    # Where it lay while it was described says nothing, and would differ each time.
    described: Document = json.loads(text.replace(f"path+file://{package}", "path+file:///source"))
    tree = cargo(
        package, "tree", "--locked", "--edges=normal", "--no-dedupe", "--prefix=none", "--format={p}", *chosen
    )
    return only(described, set(re.findall(r"^(\S+) v(\S+)", tree, re.MULTILINE)))


def only(described: Document, built: set[tuple[str, str]]) -> Document:
    """The document without the crates that are not built in."""
    components = [c for c in described["components"] if (c["name"], c["version"]) in built]
    root = described["metadata"]["component"]
    kept = {component["bom-ref"] for component in [root, *components]}
    missing = built - {(c["name"], c["version"]) for c in [root, *components]}
    if missing:
        raise SystemExit(f"built in, and not described: {sorted(missing)}")
    edges = [
        {"ref": edge["ref"], "dependsOn": [ref for ref in edge.get("dependsOn", []) if ref in kept]}
        for edge in described["dependencies"]
        if edge["ref"] in kept
    ]
    # Not of the parts, but of the moment.
    metadata = {name: value for name, value in described["metadata"].items() if name != "timestamp"}
    whole = {name: value for name, value in described.items() if name != "serialNumber"}
    return {**whole, "metadata": metadata, "components": components, "dependencies": edges}


def with_decoder(program: Document, av1: Document, ffmpeg: str) -> Document:
    """The document with the program that decodes films: FFmpeg in version `ffmpeg`, and its AV1 decoder."""
    decoder = next(c["bom-ref"] for c in program["components"] if c["name"] == DECODER)
    part = {
        "type": "library",
        "bom-ref": f"ffmpeg@{ffmpeg}",
        "name": "FFmpeg",
        "version": ffmpeg,
        "description": "Linked into the program that decodes films, which is part of this one and can be replaced",
        "scope": "required",
        "licenses": [{"license": {"id": "LGPL-2.1-or-later"}}],
        "purl": f"pkg:generic/ffmpeg@{ffmpeg}",
        "externalReferences": [
            {"type": "website", "url": "https://ffmpeg.org"},
            {"type": "distribution", "url": f"https://crates.io/crates/ffmpeg-src/{ffmpeg}"},
        ],
    }
    root = av1["metadata"]["component"]["bom-ref"]
    edges = {edge["ref"]: set(edge["dependsOn"]) for edge in program["dependencies"]}
    edges[decoder].add(part["bom-ref"])
    for edge in av1["dependencies"]:
        ref = part["bom-ref"] if edge["ref"] == root else edge["ref"]
        edges.setdefault(ref, set()).update(edge["dependsOn"])
    components = {c["bom-ref"]: c for c in [*program["components"], *av1["components"], part]}
    return {
        **program,
        "components": [components[ref] for ref in sorted(components)],
        "dependencies": [{"ref": ref, "dependsOn": sorted(edges[ref])} for ref in sorted(edges)],
    }


def system() -> list[Document]:
    """Debian's packages of which the image has files."""
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', Path("/etc/os-release").read_text(), re.MULTILINE))
    show = ["dpkg-query", "--show", "--showformat", "${Package} ${Version} ${Architecture}\n", *SYSTEM]
    listed = subprocess.run(show, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [
        {
            "type": "library",
            "bom-ref": f"debian:{name}@{version}",
            "name": name,
            "version": version,
            "scope": "required",
            "purl": f"pkg:deb/debian/{name}@{quote(version, safe='')}?arch={arch}&distro=debian-{release['VERSION_ID']}",
        }
        for name, version, arch in map(str.split, listed.splitlines())
    ]


def licences(packages: list[Document], components: list[Document]) -> str:
    """The licences that lie in the crates' sources, each text once, after the names of those that have it."""
    texts: dict[str, list[str]] = {}
    without = []
    folders = {(p["name"], p["version"]): Path(p["manifest_path"]).parent for p in packages if p["source"]}
    for component in components:
        name = f"{component['name']} {component['version']}"
        folder = folders.get((component["name"], component["version"]))
        if folder is None:
            continue
        files = sorted(
            f for f in folder.iterdir() if f.is_file() and re.match(r"(?i)licen[cs]e|copying|notice", f.name)
        )
        for file in files:
            texts.setdefault(file.read_text(errors="replace").strip(), []).append(name)
        if not files:
            said = component.get("licenses", [{}])[0]
            without.append(
                f"{name}: {said.get('expression') or said.get('license', {}).get('id', 'not told')}"
            )
    line = "=" * 100
    parts = [f"{line}\n{', '.join(dict.fromkeys(names))}\n{line}\n{text}\n" for text, names in texts.items()]
    parts.append(
        f"{line}\nWith no text of a licence in the crate\n{line}\n" + "".join(f"{each}\n" for each in without)
    )
    return "\n".join(parts)


def main(source: Path, features: str, out: Path) -> None:
    if not shutil.which("cargo-cyclonedx"):
        cargo(source, "install", "--locked", "--quiet", TOOL)
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "program")
        shutil.copytree(source, package, ignore=shutil.ignore_patterns(".*", "target"))
        program = document(package, features)
        av1 = Path(folder, "av1")
        av1.mkdir()
        shutil.copy(package / "decoder/build/av1.toml", av1 / "Cargo.toml")
        shutil.copy(package / "decoder/build/av1.lock", av1 / "Cargo.lock")
        (av1 / "lib.rs").touch()
        metadata = [
            json.loads(
                cargo(each, "metadata", "--locked", "--format-version=1", f"--filter-platform={TARGET}")
            )
            for each in [package, av1]
        ]
        packages = [each for found in metadata for each in found["packages"]]
        ffmpeg = next(each["version"] for each in packages if each["name"] == "ffmpeg-src")
        bill = with_decoder(program, document(av1, "asm"), ffmpeg)
        notices = licences(packages, bill["components"])
    bill["components"] += system()
    (out / "sbom.cdx.json").write_text(json.dumps(bill, indent=1) + "\n")
    (out / "third-party.txt").write_text(notices)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2], Path(sys.argv[3]).resolve())
