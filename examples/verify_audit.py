"""Verify an audit log of ebplan without ebplan: ``python verify_audit.py FOLDER KEY``.

KEY is the line that the site published: name+id+base64. Prints ``ok N records``, or the first fault
with its file and line. Exit code: 0 proven, 6 not. Needs Python 3.11 and, for Ed25519 alone, the
package ``cryptography``. docs/audit.md describes the format.
"""

import json
import re
import sys
from base64 import b64decode, b64encode
from contextlib import contextmanager
from hashlib import sha256
from itertools import chain
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

WRONG = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
# a checkpoint: what is signed (origin, number of records, root), a blank line, the signatures
NOTE = re.compile("(([^\n]+)\n([0-9]{1,16})\n([^\n]+)\n)\n((?:— [^ \n]+ [^ \n]+\n)+)(?:\n(?=.)|$)")


def verify(folder, published):
    """Return how many records there are, and how many of them are signed for."""
    files = sorted(f for f in folder.glob("*.jsonl") if re.fullmatch("[0-9]{12}", f.stem))
    with at(folder):
        require(files, "no log")
    with at(f"{files[0]}:1"):
        origin, tree, prev = begin(files[0])
    first = size = int(files[0].stem)
    signers, signed = [read_key(published)], None  # who signs: one key; at a change the next, too
    for file in files:
        notes = read_notes(file.with_suffix(".checkpoints"))
        with at(file):
            begun = int(file.stem) in (0, *(covers for covers, _, _ in notes))
            require(begun, "no checkpoint of the records before it")
        with file.open("rb") as lines:
            for number, line in enumerate(chain([None], lines)):  # None: before all lines
                if line is not None:
                    with at(f"{file}:{number}"):
                        require(number > 1 or int(file.stem) == size, f"record {size} is missing")
                        record = read_record(line, prev, size, folder)
                        if record["kind"] == "key":
                            signers = [signers[0], read_key(record["body"]["key"])]
                        prev, size = grow(tree, line.removesuffix(b"\n")), size + 1
                while notes and notes[0][0] == size:
                    _, where, note = notes.pop(0)
                    with at(where):
                        check_note(note, origin, root_of(tree), signers)
                    signers, signed = signers[-1:], size
        for covers, where, _ in notes:
            with at(where):
                raise ValueError(f"it covers {covers} records; up to here there are {size}")
    with at(folder):
        require(signed is not None, "no checkpoint: nothing is signed for")
    return size - first, signed - first


def begin(file):
    """Return a log's name, and tree and link before its first file; older ones lie elsewhere."""
    with file.open("rb") as lines:
        body = json.loads(lines.readline())["body"]
    first, peaks = int(file.stem), [bytes.fromhex(peak) for peak in body["peaks"]]
    sizes = [1 << bit for bit in range(first.bit_length() - 1, -1, -1) if first >> bit & 1]
    return body["log"], list(zip(sizes, peaks, strict=True)), None if first else "0" * 64


def read_record(line, prev, seq, folder):
    """Return the record of a line, which follows the one before, with its documents."""
    require(line.endswith(b"\n"), "half a line")
    record = json.loads(line)
    require(list(record) == ["body", "kind", "prev", "seq", "time"], "not a record")
    require(record["seq"] == seq, f"record {seq} should stand here")
    require(prev in (None, record["prev"]), "it does not follow the record before: one was edited")
    named = record["body"].get("documents")
    for digest in named.values() if isinstance(named, dict) else ():
        require(re.fullmatch("[0-9a-f]{64}", digest), "a document is named by its SHA-256")
        path = folder / "documents" / digest
        same = path.exists() and sha256(path.read_bytes()).hexdigest() == digest
        require(same, f"document {digest} is gone or was edited")
    return record


def grow(tree, line):
    """Add a line to the tree: a list of (leaves, root) of complete subtrees, the largest first."""
    leaf = sha256(b"\0" + line).digest()
    tree.append((1, leaf))
    while len(tree) > 1 and tree[-2][0] == tree[-1][0]:
        (leaves, right), (_, left) = tree.pop(), tree.pop()
        tree.append((2 * leaves, sha256(b"\1" + left + right).digest()))
    return leaf.hex()


def root_of(tree):
    """Return the root of RFC 6962: the smallest subtrees are joined first."""
    root = tree[-1][1] if tree else sha256().digest()
    for _, left in reversed(tree[:-1]):
        root = sha256(b"\1" + left + root).digest()
    return root


def read_notes(file):
    """Return the checkpoints of a file: size, place, and what they say."""
    text, end, notes = file.read_bytes().decode("utf-8", "replace") if file.exists() else "", 0, []
    while end < len(text):
        where = f"{file}:{text.count(chr(10), 0, end) + 1}"
        with at(where):
            found = NOTE.match(text, end)
            require(found, "not a checkpoint")
            notes.append((int(found[3]), where, found.groups()))
            end = found.end()
    return notes


def check_note(note, origin, root, signers):
    """Require a checkpoint to be of this log and this tree, and signed by all signers alone."""
    content, name_of_log, _, encoded_root, under = note
    require(name_of_log == origin, "a checkpoint of another log")
    require(unbase64(encoded_root) == root, "a record that it covers is not what was signed")
    parts = [line.split(" ") for line in under.removesuffix("\n").split("\n")]
    signatures = [(name, unbase64(encoded)) for _, name, encoded in parts]
    require(len(signatures) == len(signers), "not signed by whom it should be")
    for name, key_id, key in signers:
        mine = [raw[4:] for who, raw in signatures if (who, raw[:4]) == (name, key_id)]
        require(mine, f"not signed by {name}+{key_id.hex()}")
        key.verify(mine[0], content.encode())


def read_key(text):
    """Return name, id and key of a line name+id+base64."""
    name, key_id, encoded = text.strip().split("+", 2)
    raw = unbase64(encoded)
    right = sha256(name.encode() + b"\n" + raw).hexdigest()[:8] == key_id
    require(right and len(raw) == 33 and raw[0] == 1, "not a key")
    return name, bytes.fromhex(key_id), Ed25519PublicKey.from_public_bytes(raw[1:])


def unbase64(text):
    """Return the bytes of base64; only one text is right for them."""
    raw = b64decode(text, validate=True)
    require(b64encode(raw).decode() == text, "not base64")
    return raw


@contextmanager
def at(place):
    """Say where, whatever goes wrong in there."""
    try:
        yield
    except (*WRONG, InvalidSignature) as error:
        print(f"{place}: {str(error) or 'the signature is false'}")
        sys.exit(6)


def require(right, what):
    """Raise an error where something is not right."""
    if not right:
        raise ValueError(what)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[2].count("+") < 2 or not Path(sys.argv[1]).is_dir():
        print("usage: verify_audit.py FOLDER KEY, the folder of a log and the line name+id+base64")
        sys.exit(2)
    with at("the key"):
        read_key(sys.argv[2])
    records, signed = verify(Path(sys.argv[1]), sys.argv[2])
    print(f"ok {records} records" + f", {records - signed} not signed for" * (records > signed))
