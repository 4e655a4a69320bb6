// Reads the folder of a log by the C2SP tlog-tiles specification (https://c2sp.org/tlog-tiles), with
// nothing of ours: for comparing what the program writes with what others make of it.

import { readFile } from "node:fs/promises";
import { join } from "node:path";

const WIDTH = 256;

/** The path of a tile, or of an entry bundle when the level is "entries". */
export function tilePath(level, index, width = WIDTH) {
  const digits = String(index);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, "0").match(/\d{3}/g);
  const last = groups.pop();
  const partial = width < WIDTH ? `.p/${width}` : "";
  return `tile/${level}/${groups.map((group) => `x${group}/`).join("")}${last}${partial}`;
}

/** A signed tree head: origin, size and root, and the note it was read from. */
export async function readCheckpoint(folder) {
  const note = await readFile(join(folder, "checkpoint"), "utf8");
  const [origin, size, root] = note.split("\n");
  return { note, origin, size: Number(size), root: bytes(Buffer.from(root, "base64")) };
}

/** All entries of a log of this size. */
export async function readEntries(folder, size) {
  const entries = [];
  for (const { path, width } of spread("entries", size)) {
    const bundle = await readFile(join(folder, path));
    const before = entries.length;
    for (let at = 0; at < bundle.length; ) {
      const end = at + 2 + bundle.readUInt16BE(at);
      if (end > bundle.length) throw new Error(`${path} breaks off`);
      entries.push(bytes(bundle.subarray(at + 2, end)));
      at = end;
    }
    if (entries.length - before !== width) throw new Error(`${path} does not hold ${width} entries`);
  }
  return entries;
}

/** The leaf hashes of a log of this size, from the tiles of level 0. */
export async function readLeaves(folder, size) {
  const hashes = [];
  for (const { path, width } of spread(0, size)) {
    const tile = await readFile(join(folder, path));
    if (tile.length !== 32 * width) throw new Error(`${path} does not hold ${width} hashes`);
    for (let at = 0; at < tile.length; at += 32) hashes.push(bytes(tile.subarray(at, at + 32)));
  }
  return hashes;
}

/** A C2SP tlog-proof: the extra data, the index, the hashes, and the checkpoint. */
export function readProof(text) {
  const blank = text.indexOf("\n\n");
  const [header, extra, index, ...path] = text.slice(0, blank).split("\n");
  if (header !== "c2sp.org/tlog-proof@v1") throw new Error("not a tlog-proof");
  return {
    extra: bytes(Buffer.from(extra.replace(/^extra /, ""), "base64")),
    index: Number(index.replace(/^index /, "")),
    path: path.map((line) => bytes(Buffer.from(line, "base64"))),
    note: text.slice(blank + 2),
  };
}

function* spread(level, nodes) {
  for (let index = 0; index * WIDTH < nodes; index++) {
    const width = Math.min(WIDTH, nodes - index * WIDTH);
    yield { path: tilePath(level, index, width), width };
  }
}

/** Plain Uint8Arrays: a Buffer is never deeply equal to one. */
function bytes(buffer) {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength).slice();
}
