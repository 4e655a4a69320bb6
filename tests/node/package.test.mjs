// The npm package, as a program imports it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { describeKeys, entry, UnreadableEvidence, verify } from "../../pkg/node.js";

const pkg = new URL("../../pkg/", import.meta.url);

test("foreign and empty files are no evidence", async () => {
  for (const bytes of [new Uint8Array(), new TextEncoder().encode("%PDF-1.7"), new Uint8Array(4096).fill(0xd9)]) {
    await assert.rejects(verify(bytes), (error) => {
      assert.ok(error instanceof UnreadableEvidence);
      assert.equal(error.name, "UnreadableEvidence");
      assert.match(error.message, /^\S.*\S$/, "one sentence");
      return true;
    });
    await assert.rejects(entry(bytes, 0), Error);
  }
});

test("a text that is no policy describes no keys", async () => {
  await assert.rejects(describeKeys("to be or not to be"), Error);
});

test("the package carries what it imports, and no more than one module", async () => {
  const packed = JSON.parse(
    execFileSync("npm", ["pack", "--dry-run", "--json"], { cwd: fileURLToPath(pkg), encoding: "utf8" }),
  );
  const files = Object.values(packed)[0].files.map((file) => file.path);
  for (const needed of ["LICENSE", "README.md", "index.d.ts", "node.js", "verifier.html"]) {
    assert.ok(files.includes(needed), `${needed} is not in the package`);
  }
  assert.deepEqual(
    files.filter((file) => file.endsWith(".wasm")),
    ["wasm/verifier_bg.wasm"],
  );
  for (const file of files.filter((file) => file.endsWith(".js"))) {
    const source = await readFile(new URL(file, pkg), "utf8");
    for (const [, reference] of source.matchAll(/^(?:import|export|\}).* from "(\.[^"]+)";$/gm)) {
      const target = new URL(reference, new URL(file, pkg)).href.slice(pkg.href.length);
      assert.ok(files.includes(target), `${file} imports ${target}, which is not in the package`);
    }
  }
});
