#!/usr/bin/env python3
"""Verifies this bundle with Python's standard library alone: python3 verify.py [HEAD.note ...]

Every file against the manifest, every line and leaf hash, every tile, the root at every
checkpoint, every signature (Ed25519 as in RFC 8032, written out below). Exit code 1 on any damage.
"""

import base64
import glob
import hashlib
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SIGNATURES_MAX = 200  # Python takes some milliseconds for each; beyond it the newest are checked
damages = []


def damage(what):
    damages.append(what)


def sha(data):
    return hashlib.sha256(data).digest()


def node(left, right):
    return sha(b"\x01" + left + right)


def read(name):
    with open(os.path.join(HERE, name), "rb") as file:
        return file.read()


# Ed25519, in extended coordinates.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(n, p):
    total = (0, 1, 1, 0)
    while n:
        if n & 1:
            total = add(total, p)
        p, n = add(p, p), n >> 1
    return total


def point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - x2) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def signed(public, message, signature):
    a, r = point(public), point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L or len(signature) != 64:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    left, right = times(s, BASE), add(r, times(h, a))
    same_x = (left[0] * right[2] - right[0] * left[2]) % P == 0
    return same_x and (left[1] * right[2] - right[1] * left[2]) % P == 0


def manifest():
    names = {}
    for number, line in enumerate(read("MANIFEST.sha256").decode("utf-8", "replace").splitlines(), 1):
        found = re.fullmatch(r"([0-9a-f]{64})  ([A-Za-z0-9_-][A-Za-z0-9._/-]*)", line)
        if not found or ".." in found[2] or found[2] in names:
            damage(f"MANIFEST.sha256 line {number} is not a line of a manifest")
            continue
        names[found[2]] = found[1]
    there = set()
    for folder, folders, files in os.walk(HERE):
        for name in files + [f for f in folders if os.path.islink(os.path.join(folder, f))]:
            path = os.path.join(folder, name)
            short = os.path.relpath(path, HERE)
            if os.path.islink(path) or not os.path.isfile(path):
                damage(f"{short} is not a file of a bundle: nothing more was opened")
                return False
            there.add(short)
    for name in sorted(there - set(names) - {"MANIFEST.sha256"}):
        damage(f"{name} is not in MANIFEST.sha256")
    for name, expected in names.items():
        if name not in there:
            damage(f"{name} is missing")
            continue
        digest = hashlib.sha256()
        with open(os.path.join(HERE, name), "rb") as file:
            for chunk in iter(lambda: file.read(1 << 20), b""):
                digest.update(chunk)
        if digest.hexdigest() != expected:
            damage(f"{name} does not have the hash in MANIFEST.sha256")
    return True


def files(pattern):
    return sorted(glob.glob(os.path.join(glob.escape(HERE), pattern)))


def key_files():
    keys = []
    for path in files("audit/keys/*.vkey"):
        try:
            lines = open(path, encoding="utf-8").read().rstrip("\n").split("\n")
            name, ident, encoded = lines[0].split("+", 2)
            raw = base64.b64decode(encoded, validate=True)
            ident_is = sha(name.encode() + b"\n" + raw)[:4]
            ok = raw[0] == 1 and len(raw) == 33 and ident_is.hex() == ident
            if keys:
                message = f"{lines[0]}\n{lines[1]}\n".encode()
                ok = ok and signed(keys[-1][2], message, base64.b64decode(lines[2]))
                ok = ok and int(lines[1]) >= keys[-1][3]
            if not ok:
                raise ValueError
            keys.append((name, ident_is, raw[1:], int(lines[1])))
        except (ValueError, IndexError):
            damage(f"{os.path.relpath(path, HERE)} is not a key that the one before it signed")
    return keys


def head(text, name, keys, check):
    """Size and root that a note vouches for."""
    try:
        body, signatures = text.split("\n\n", 1)
        origin, size, root = (body + "\n").rstrip("\n").split("\n")
        size, root = int(size), base64.b64decode(root, validate=True)
        for line in signatures.rstrip("\n").split("\n"):
            dash, signer, encoded = line.split(" ")
            raw = base64.b64decode(encoded, validate=True)
            for place, (key_name, ident, public, first) in enumerate(keys):
                if dash != "\u2014" or signer != key_name or raw[:4] != ident:
                    continue
                until = keys[place + 1][3] if place + 1 < len(keys) else size
                if origin == key_name and first <= size <= until:
                    if not check or signed(public, (body + "\n").encode(), raw[4:]):
                        return size, root, name
        damage(f"{name} (size {size}) is signed by no key that is valid for its lines")
    except (ValueError, IndexError):
        damage(f"{name} is not a checkpoint")
    return None


def heads(keys, witnesses):
    text = read("audit/checkpoints.notes").decode("utf-8", "replace")
    blocks = re.findall(r".*?\n\n.*?\n(?:\n|\Z)", text, re.S)
    if "".join(blocks) != text:
        damage("audit/checkpoints.notes ends within a checkpoint")
    found, last = [], 0
    for number, block in enumerate(blocks, 1):
        name = f"checkpoint {number} of audit/checkpoints.notes"
        one = head(block, name, keys, len(blocks) - number < SIGNATURES_MAX)
        if one and one[0] < last:
            damage(f"{name} covers {one[0]} lines: fewer than one before")
        if one:
            found.append(one)
            last = one[0]
    witnessed = 0
    for place, path in enumerate(witnesses + files("audit/witness/*.note")):
        one = head(open(path, encoding="utf-8").read(), f"witness {path}", keys, True)
        if one:
            found.append(one)
            witnessed = max(witnessed, one[0] if place < len(witnesses) else 0)
    return found, len(blocks), witnessed


def tile_name(level, index, width):
    digits, rest = f"{index % 1000:03}", index // 1000
    while rest:
        digits, rest = f"x{rest % 1000:03}/{digits}", rest // 1000
    return f"audit/tiles/tile/{level}/{digits}" + (f".p/{width}" if width < 256 else "")


def tile(level, index, width):
    name = tile_name(level, index, width)
    try:
        data = read(name)
    except OSError:
        data = b""
    if len(data) != 32 * width:
        damage(f"{name} is missing or not whole")
        return []
    return [data[at : at + 32] for at in range(0, len(data), 32)]


def fold(row):
    while len(row) > 1:
        row = [node(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def tree(size, wanted):
    """The root of the leaves in the tiles; compares every head and the tiles above."""
    by_size = {}
    for found in wanted:
        by_size.setdefault(found[0], []).append(found)
    roots, above, count, proved = [], {}, 0, 0

    def root():
        total = None
        for _, value in reversed(roots):
            total = value if total is None else node(value, total)
        return total if total is not None else sha(b"")

    def compare():
        good = 0
        for _, expected, name in by_size.pop(count, []):
            if expected == root():
                good = count
            else:
                damage(f"{name} has another root: a line from {proved} to {count - 1} or it changed")
        return good or proved

    proved = compare()
    for index in range(-(-size // 256)):
        row = tile(0, index, min(256, size - 256 * index))
        if not row:
            return root(), proved
        for leaf in row:
            value, height = leaf, 0
            while roots and roots[-1][0] == height:
                value, height = node(roots.pop()[1], value), height + 1
            roots.append((height, value))
            count += 1
            if count in by_size:
                proved = compare()
        level = 0
        while len(row) == 256:
            above.setdefault(level + 1, [0, []])[1].append(fold(row))
            level += 1
            row = above[level][1]
            if len(row) == 256:
                check_tile(level, above[level][0], row)
                above[level] = [above[level][0] + 1, []]
    for level, (index, row) in above.items():
        if row:
            check_tile(level, index, row)
    for found in by_size.values():
        for covers, _, name in found:
            damage(f"{name} covers {covers} lines: lines {count} to {covers - 1} are missing")
    return root(), proved


def check_tile(level, index, row):
    if tile(level, index, len(row)) != row:
        damage(f"{tile_name(level, index, len(row))} is not the hashes of the tiles below it")


END = re.compile(
    rb'"i":(\d+),"instance":"[^"]*","kind":"[^"]*","mono":\d+,"prev":"([0-9a-f]{64})","t":\d+,"v":\d+\}\n\Z'
)


def lines(facts):
    size, at, before, held = facts["tree"]["size"], facts["lines"]["first"], None, (None, [])
    for path in files("ledger/*.jsonl"):
        with open(path, "rb") as file:
            for line in file:
                found = END.search(line[-400:])
                if not found or int(found[1]) != at:
                    damage(f"line {at} is damaged, missing or not in its place")
                    return
                if before is not None and found[2] != before:
                    damage(f"line {at} does not name the hash of line {at - 1}")
                leaf = sha(b"\x00" + line[:-1])
                if held[0] != at // 256:
                    held = (at // 256, tile(0, at // 256, min(256, size - at // 256 * 256)))
                if held[1][at % 256 : at % 256 + 1] != [leaf]:
                    damage(f"line {at} does not have its hash in the tiles")
                before, at = leaf.hex().encode(), at + 1
    if at != facts["lines"]["end"]:
        damage(f"lines {at} to {facts['lines']['end'] - 1} are missing, or are too many")


def pruned(facts, proved):
    """Lines that are known by their hashes alone: a line that is signed says so."""
    upto, size = facts["tree"]["pruned"], facts["tree"]["size"]
    if not upto:
        return
    line = read("audit/pruned.jsonl")
    found, said = END.search(line[-400:]), re.search(rb'"first":(\d+)', line)
    at = int(found[1]) if found else size
    leaf = sha(b"\x00" + line[:-1])
    row = tile(0, at // 256, min(256, size - at // 256 * 256)) if at < size else []
    if not said or at >= proved or int(said[1]) < upto or row[at % 256 : at % 256 + 1] != [leaf]:
        damage(f"lines 0 to {upto - 1} are gone, and no signed line says that they were pruned")


def shown(text):
    """Without what a terminal obeys."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def main():
    facts, size, proved, witnessed = None, 0, 0, 0
    try:
        if manifest():
            facts = json.loads(read("ipe.json"))
            size = facts["tree"]["size"]
            keys = key_files()
            found, count, witnessed = heads(keys, sys.argv[1:])
            if count != facts["tree"]["checkpoints"]:
                damage(f"{count} checkpoints are there, ipe.json says {facts['tree']['checkpoints']}")
            root, proved = tree(size, found)
            if root.hex() != facts["tree"]["root"]:
                damage("the tiles do not have the root that ipe.json names")
            if facts["tree"]["signed"] and proved < size:
                damage(f"no checkpoint covers all {size} lines")
            if not proved and not witnessed:
                damage("nothing is signed: no checkpoint covers these lines")
            pruned(facts, proved)
            lines(facts)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        damage(f"a file of the bundle is missing or not readable: {error}")
    for what in damages:
        print("DAMAGED:", shown(what))
    if damages:
        sys.exit(1)
    first, end = facts["lines"]["first"], facts["lines"]["end"]
    print(f"VERIFIED: lines {first} to {end - 1}" if end > first else "VERIFIED: the tree; no line is in the bundle")
    print(f"SIGNED: {proved} of {size} lines of the tree; held by a witness: {witnessed}")
    if first > facts["tree"]["pruned"] or end < size:
        print("LEFT OUT: other lines of the tree, as ipe.json says (a period)")
    if facts["tree"]["pruned"]:
        print(f"PRUNED: {facts['tree']['pruned']} lines are known by their hashes alone")
    print("NOT CHECKED HERE: openings and closings, the period, and tables, events and page against the lines")
    print("(weighbridge audit verify checks them)")
    if witnessed < size:
        print(f"NO WITNESS for lines {witnessed} to {size - 1}: a cut with their checkpoints would not be seen")


if __name__ == "__main__":
    main()
