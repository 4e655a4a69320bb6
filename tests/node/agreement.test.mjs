// A log that the program itself writes, grown step by step through sizes at the edges of tiles,
// against npm's @transmute/rfc9162, which nobody here wrote.
//
// That package builds its trees by recursion with a promise for every node. Measured on two cores:
// 5.5 s to hash 70,000 leaves, 4.4 s for the root over them, 3.5 s for one proof. So it makes the
// root at every size, makes proofs itself at the small sizes, and at the large ones verifies ours.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

import { decode } from "cborg";

import { readCheckpoint, readEntries, readLeaves, readProof, tilePath } from "./tiles.mjs";

const { RFC9162, CoMETRE } = createRequire(import.meta.url)("@transmute/rfc9162");
const { leaf, root, inclusion_proof, verify_inclusion_proof } = CoMETRE.RFC9162_SHA256;

const SIZES = [0, 1, 255, 256, 257, 65_535, 65_536, 69_999, 70_000];
const SMALL = SIZES.filter((size) => size > 0 && size <= 257);
/** Sizes that are reached by taking a card, so that the evidence proves them consistent with the size before. */
const BY_CARD = [256, 65_536, 70_000];

const program = process.env.RLHF_AUDIT ?? "";

/** Runs the program and reads its answer. */
async function run(...args) {
  const { stdout } = await promisify(execFile)(program, [...args.map(String), "--json"]);
  return JSON.parse(stdout);
}

test("paths of tiles", async () => {
  const vectors = new URL("../../transparency/vectors/tiles.json", import.meta.url);
  for (const { level, index, width, path } of JSON.parse(await readFile(vectors, "utf8")).paths) {
    assert.equal(tilePath(level ?? "entries", index, width), path);
  }
});

describe("a log grown to 70,000 entries", () => {
  let folder;
  let entries;
  let leaves;
  /** By size: the head, the tlog-proofs of some entries, and for some sizes the evidence. */
  const steps = new Map();

  before(async () => {
    assert.ok(
      existsSync(program),
      "RLHF_AUDIT must name the program: build it with `cargo build -p rlhf-audit` and set " +
        "RLHF_AUDIT=target/debug/rlhf-audit, or run `cargo xtask test node`",
    );
    folder = await mkdtemp(join(tmpdir(), "grown-"));
    await grow();
    entries = await readEntries(join(folder, "log"), 70_000);
    leaves = await Promise.all(entries.map(leaf));
  });

  after(() => rm(folder, { recursive: true, force: true }));

  async function grow() {
    const log = join(folder, "log");
    await run("init", log, "--model", "tiny-chat");
    await look(log);
    await run("run", "start", log);
    await look(log);
    for (const size of SIZES.slice(2)) {
      const evidence = join(folder, `${size}.evidence`);
      if (BY_CARD.includes(size)) await run("evidence", log, "-o", evidence, "--entries", "claims");
      else await importUntil(log, size);
      await look(log);
      if (BY_CARD.includes(size)) steps.get(size).evidence = decode((await readFile(evidence)).subarray(3));
    }
    assert.deepEqual([...steps.keys()], SIZES);
  }

  async function importUntil(log, size) {
    const lines = [];
    for (let number = (await readCheckpoint(log)).size; number < size; number++) {
      const reward = (number % 5) + 1;
      lines.push(JSON.stringify({ prompt: "?", response: `Answer ${number}`, annotator_id: number % 9, reward }));
    }
    const file = join(folder, "annotations.jsonl");
    await writeFile(file, lines.join("\n"));
    await run("log", "annotations", log, file);
  }

  async function look(log) {
    const head = await readCheckpoint(log);
    const { size } = head;
    const proofs = [];
    for (const index of new Set([0, 255, 256, size >> 1, size - 1])) {
      if (index < 0 || index >= size) continue;
      const file = join(folder, "proof");
      await run("prove", log, index, "-o", file);
      proofs.push(readProof(await readFile(file, "utf8")));
    }
    steps.set(size, { head, proofs, leaves: await readLeaves(log, size) });
  }

  for (const size of SIZES) {
    test(`size ${size}: the signed root and the leaves of the tiles are its own`, async () => {
      const { head, leaves: inTiles } = steps.get(size);
      assert.equal(head.size, size);
      assert.deepEqual(inTiles, leaves.slice(0, size));
      assert.deepEqual(head.root, await root(inTiles));
    });

    test(`size ${size}: it verifies our inclusion proofs`, async () => {
      const { head, proofs } = steps.get(size);
      for (const { extra, index, path, note } of proofs) {
        assert.equal(note, head.note);
        assert.deepEqual(extra, entries[index]);
        const proof = { log_id: "", tree_size: size, leaf_index: index, inclusion_path: path };
        assert.deepEqual(await verify_inclusion_proof(await leaf(extra), proof), head.root);
        assert.ok(await RFC9162.verifyInclusionProof(head.root, await leaf(extra), proof));
        assert.ok(!(await RFC9162.verifyInclusionProof(head.root, await leaf(new Uint8Array()), proof)));
      }
    });
  }

  for (const size of SMALL) {
    test(`size ${size}: it makes the same inclusion proofs`, async () => {
      for (const { index, path } of steps.get(size).proofs) {
        const proof = await inclusion_proof(index, leaves.slice(0, size));
        assert.deepEqual(proof.inclusion_path, path);
      }
    });
  }

  for (const size of BY_CARD) {
    test(`sizes ${size - 1} and ${size}: it verifies our consistency proof`, async () => {
      const { evidence, head } = steps.get(size);
      const older = steps.get(size - 1).head;
      assert.deepEqual(
        evidence.heads.map(({ note }) => note),
        [older.note, head.note],
      );
      const proof = consistency(older, head, evidence.heads[1].proof);
      assert.ok(await RFC9162.verifyConsistencyProof(older.root, head.root, proof));
      assert.ok(!(await RFC9162.verifyConsistencyProof(head.root, head.root, proof)));
    });
  }
});

test("it verifies the proofs of the vectors", async () => {
  const vectors = new URL("../../transparency/vectors/merkle.json", import.meta.url);
  const { consistency: cases, inclusion } = JSON.parse(await readFile(vectors, "utf8"));
  for (const { of, old, new: size, old_root, new_root, path } of cases) {
    // It has no word for the empty tree, which every tree continues, nor for a tree and itself.
    if (old === 0 || old === size) continue;
    const [older, newer] = [{ size: old, root: hex(old_root) }, { size, root: hex(new_root) }];
    const proof = consistency(older, newer, path.map(hex));
    assert.ok(await RFC9162.verifyConsistencyProof(older.root, newer.root, proof), `${of} ${old} ${size}`);
  }
  for (const { of, size, index, root, path } of inclusion.filter(({ of }) => of === "counted")) {
    const entry = new Uint8Array(8);
    new DataView(entry.buffer).setBigUint64(0, BigInt(index));
    const proof = { log_id: "", tree_size: size, leaf_index: index, inclusion_path: path.map(hex) };
    assert.ok(await RFC9162.verifyInclusionProof(hex(root), await leaf(entry), proof), `${of} ${size} ${index}`);
  }
});

/**
 * A consistency proof as the package wants it: where the older tree is complete, RFC 9162 (section
 * 2.1.4.2, step 2) has the verifier put its root in front, and the package leaves that to the caller.
 */
function consistency(older, newer, path) {
  const complete = Number.isInteger(Math.log2(older.size));
  return {
    log_id: "",
    tree_size_1: older.size,
    tree_size_2: newer.size,
    consistency_path: complete ? [older.root, ...path] : path,
  };
}

function hex(text) {
  return new Uint8Array(Buffer.from(text, "hex"));
}
