"""Other people's verifier on our log: aics-tlog (PyPI), which shares no code with us.

check_aics.py DIR, where DIR was written by `cargo run -p yunei-audit --example conformance_log`.
"""

import pathlib
import random
import shutil
import sys

import aics_tlog
from aics_tlog import FileSystemTileReader, parse_note, parse_vkey, verify_checkpoint
from aics_tlog.hashing import leaf_hash
from aics_tlog.verified import VerifiedTileReader, audit_tiles

home = pathlib.Path(sys.argv[1])
public = home / "log" / "public"
log_key = parse_vkey((home / "vkey").read_text().strip())
witness = parse_vkey((home / "witness-vkey").read_text().strip())


def head(path):
    note = parse_note(path.read_bytes())
    result = verify_checkpoint(note, log_key, [witness], 1)
    if not result.ok:
        raise ValueError(result.error)
    return result.size, result.root


def whole(folder):
    """Signature, cosignature, every tile, every entry; raises on the first thing wrong."""
    size, root = head(folder / "checkpoint")
    return audit_tiles(FileSystemTileReader(folder), size, root)


report = whole(public)
size, root = head(public / "checkpoint")
print(f"aics-tlog: {report.size} entries, {report.tiles} tiles, {report.bundles} bundles accepted, 1 cosignature")


def proof_lines(text):
    import base64

    return [base64.b64decode(line, validate=True) for line in text.splitlines() if line]


count = 0
for path in sorted(home.glob("proof-*")):
    index = int(path.name.split("-")[1])
    lines = path.read_text().split("\n\n", 1)
    head_lines = lines[0].splitlines()
    assert head_lines[:2] == ["c2sp.org/tlog-proof@v1", f"index {index}"], head_lines[:2]
    proof = proof_lines("\n".join(head_lines[2:]))
    leaf = leaf_hash((home / f"entry-{index}").read_bytes())
    (home / "c").write_text(lines[1])
    n, r = head(home / "c") if "witness.example" in lines[1] else (size, root)
    assert aics_tlog.verify_inclusion(leaf, index, n, proof, r), path
    wrong = leaf[:-1] + bytes([leaf[-1] ^ 1])
    assert not aics_tlog.verify_inclusion(wrong, index, n, proof, r), path
    count += 1
print(f"aics-tlog: {count} inclusion proofs accepted, and refused for another leaf")

verified = VerifiedTileReader(FileSystemTileReader(public), size, root)
tree = aics_tlog.MerkleTree([verified.entry(n) for n in range(size)])
count = 0
for path in sorted(home.glob("consistency-*")):
    _, old, new = path.name.split("-")
    old, new = int(old), int(new)
    old_root = tree.root(old)
    proof = proof_lines(path.read_text())
    assert new == size and aics_tlog.verify_consistency(old, new, old_root, root, proof), path
    wrong = old_root[:-1] + bytes([old_root[-1] ^ 1])
    assert not aics_tlog.verify_consistency(old, new, wrong, root, proof), path
    count += 1
half_size, half_root = head(home / "checkpoint-half")
proof = aics_tlog.consistency_proof_from_tiles(verified, half_size, size)
assert aics_tlog.verify_consistency(half_size, size, half_root, root, proof)
print(f"aics-tlog: {count} consistency proofs accepted, and refused for another root; half-way checkpoint is a prefix")

# Every file that the newest tree is made of, one byte flipped: at its ends, and at places drawn from a fixed seed.
FLIPS = 1500
copy = home / "flipped"
shutil.rmtree(copy, ignore_errors=True)
shutil.copytree(public, copy)
whole(copy)


def newest(path):
    """Whether a file is part of the newest tree, and not a partial tile of an earlier one."""
    if not path.parent.name.endswith(".p"):
        return True
    level = path.relative_to(copy).parts[1]
    span = 1 if level == "entries" else 256 ** int(level)
    number = int(path.parent.name[:-2])
    return (size // span) // 256 == number and (size // span) % 256 == int(path.name)


files = [path for path in sorted(p for p in copy.rglob("*") if p.is_file()) if newest(path)]
lengths = [path.stat().st_size for path in files]
places = {(n, at) for n, length in enumerate(lengths) for at in (0, 1, length // 3, length // 2, length - 2, length - 1)}
dice = random.Random(20261126)
while len(places) < FLIPS:
    n = dice.choices(range(len(files)), weights=lengths)[0]
    places.add((n, dice.randrange(lengths[n])))
for n, at in sorted(places):
    data = files[n].read_bytes()
    broken = bytearray(data)
    broken[at] ^= 1 << dice.randrange(8)
    files[n].write_bytes(broken)
    try:
        whole(copy)
    except Exception:
        pass
    else:
        sys.exit(f"aics-tlog accepted {files[n].relative_to(copy)} with byte {at} flipped")
    files[n].write_bytes(data)
whole(copy)
print(f"aics-tlog: {len(places)} flipped bytes of {sum(lengths)} refused, one at a time")
