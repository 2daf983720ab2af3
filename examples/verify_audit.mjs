// Verify an audit log of ebplan with Node alone: node verify_audit.mjs FOLDER KEY
//
// As verify_audit.py, and one thing more: each line must have the bytes of RFC 8785, whose numbers
// are those of JSON.stringify. Exit code: 0 proven, 6 not. docs/audit.md describes the format.

import { createHash, createPublicKey, verify as isSigned } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

const [folder, published] = process.argv.slice(2);
const NOTE = /(([^\n]+)\n([0-9]{1,16})\n([^\n]+)\n)\n((?:— [^ \n]+ [^ \n]+\n)+)(?:\n(?=.)|$)/y;
if (!/\+.*\+/.test(published ?? "") || !existsSync(folder) || !statSync(folder).isDirectory()) {
  console.log("usage: verify_audit.mjs FOLDER KEY, the folder of a log and the line name+id+base64");
  process.exit(2);
}
let at = folder; // where we are, for whatever goes wrong there

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();

function require(right, what) {
  if (!right) throw new Error(what);
}

function unbase64(text) {
  const raw = Buffer.from(text, "base64");
  require(raw.toString("base64") === text, "not base64");
  return raw;
}

function readKey(line) {
  const [, name, id, encoded] = line.trim().match(/^([^+]+)\+([0-9a-f]{8})\+(.*)$/) ?? [];
  require(name, "not a key");
  const raw = unbase64(encoded);
  require(raw.length === 33 && raw[0] === 1, "not a key");
  require(sha256(name, "\n", raw).toString("hex", 0, 4) === id, "not a key");
  const x = raw.subarray(1).toString("base64url");
  return { name, id, key: createPublicKey({ format: "jwk", key: { kty: "OKP", crv: "Ed25519", x } }) };
}

// RFC 8785: fields in the order of their UTF-16 code units, no blanks, numbers as in ECMAScript
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const fields = Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`);
  return `{${fields.join(",")}}`;
}

function* notesOf(file) {
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  for (NOTE.lastIndex = 0; NOTE.lastIndex < text.length; ) {
    at = `${file}:${text.slice(0, NOTE.lastIndex).split("\n").length}`;
    const found = text.match(NOTE);
    require(found, "not a checkpoint");
    const [, content, origin, size, root, under] = found;
    const signatures = under.trimEnd().split("\n").map((line) => line.split(" ").slice(1));
    yield { at, content, origin, size: Number(size), root: unbase64(root), signatures };
  }
}

function* linesOf(file) {
  const raw = readFileSync(file);
  for (let from = 0, to; from < raw.length; from = to + 1) {
    to = raw.indexOf(10, from);
    require(to >= 0, "half a line at the end");
    yield raw.subarray(from, to);
  }
}

// the tree: [leaves, root] of complete subtrees, the largest first
function grow(tree, leaf) {
  tree.push([1, leaf]);
  while (tree.length > 1 && tree.at(-2)[0] === tree.at(-1)[0]) {
    const [[leaves, left], [, right]] = tree.splice(-2);
    tree.push([2 * leaves, sha256("\u0001", left, right)]);
  }
}

function rootOf(tree) {
  const roots = tree.map(([, root]) => root);
  return roots.length ? roots.reduceRight((right, left) => sha256("\u0001", left, right)) : sha256();
}

function checkNote(note, origin, root, signers) {
  require(note.origin === origin, "a checkpoint of another log");
  require(note.root.equals(root), "a record that it covers is not what was signed");
  require(note.signatures.length === signers.length, "not signed by whom it should be");
  for (const { name, id, key } of signers) {
    const raws = note.signatures.filter(([who]) => who === name).map(([, text]) => unbase64(text));
    const mine = raws.find((raw) => raw.toString("hex", 0, 4) === id);
    require(mine, `not signed by ${name}+${id}`);
    require(isSigned(null, Buffer.from(note.content), key, mine.subarray(4)), "the signature is false");
  }
}

function checkDocuments({ documents }) {
  const named = documents !== null && typeof documents === "object" && !Array.isArray(documents);
  for (const digest of named ? Object.values(documents) : []) {
    require(/^[0-9a-f]{64}$/.test(digest), "a document is named by its SHA-256");
    const path = join(folder, "documents", digest);
    const same = existsSync(path) && sha256(readFileSync(path)).toString("hex") === digest;
    require(same, `document ${digest} is gone or was edited`);
  }
}

function verify() {
  const files = readdirSync(folder).filter((name) => /^[0-9]{12}\.jsonl$/.test(name)).sort();
  require(files.length, "no log");
  const first = Number(files[0].slice(0, 12));
  let [size, signed, origin, prev, tree, signers] = [first, null, null, null, [], [readKey(published)]];
  const check = (notes) => {
    for (; notes.length && notes[0].size === size; signed = size, signers = signers.slice(-1)) {
      at = notes[0].at;
      checkNote(notes.shift(), origin, rootOf(tree), signers);
    }
  };
  for (const name of files) {
    const file = join(folder, name);
    const notes = [...notesOf(file.replace(/jsonl$/, "checkpoints"))];
    const before = Number(name.slice(0, 12));
    at = file;
    require(!before || notes.some((note) => note.size === before), "no checkpoint of the records before it");
    let number = 0;
    for (const line of linesOf(file)) {
      at = `${file}:${++number}`;
      const record = JSON.parse(line);
      require(Buffer.from(canonical(record)).equals(line), "not the bytes of RFC 8785");
      require(Object.keys(record).join() === "body,kind,prev,seq,time", "not a record");
      if (origin === null) {
        origin = record.body.log;
        prev = first ? record.prev : "0".repeat(64); // what came before lies elsewhere
        const sizes = [...first.toString(2)].map((bit, i, bits) => bit * 2 ** (bits.length - 1 - i));
        tree = sizes.filter(Boolean).map((leaves, i) => [leaves, Buffer.from(record.body.peaks[i], "hex")]);
      }
      if (number === 1) {
        require(Number(name.slice(0, 12)) === size, `record ${size} is missing`);
        check(notes);
        at = `${file}:1`;
      }
      require(record.seq === size, `record ${size} should stand here`);
      require(record.prev === prev, "it does not follow the record before: one was edited");
      checkDocuments(record.body);
      if (record.kind === "key") signers = [signers[0], readKey(record.body.key)];
      const leaf = sha256("\u0000", line);
      [prev, size] = [leaf.toString("hex"), size + 1];
      grow(tree, leaf);
      check(notes);
    }
    if (notes.length) at = notes[0].at;
    require(!notes.length, `it covers ${notes[0]?.size} records; up to here there are ${size}`);
  }
  at = folder;
  require(signed !== null, "no checkpoint: nothing is signed for");
  console.log(`ok ${size - first} records${size > signed ? `, ${size - signed} not signed for` : ""}`);
}

try {
  verify();
} catch (error) {
  console.log(`${at}: ${error.message}`);
  process.exit(6);
}
