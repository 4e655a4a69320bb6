// The WebAssembly module on the published test vectors, which an implementation made that shares no
// code with it. The same expectations are checked natively in crates/trail/tests/vectors.rs.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { describeKeys, entry, UnreadableEarlier, UnreadableEvidence, verify } from "../../pkg/node.js";

const folder = new URL("../../transparency/vectors/", import.meta.url);
const read = async (name) => JSON.parse(await readFile(new URL(name, folder), "utf8"));
const bytesOf = (text) => new TextEncoder().encode(text);

/** What the vectors say of a report: `checks` as name and result, `claims`, `eu` and `nist` by id. */
function assertExcerpt(report, expected) {
  const given = {
    ...report,
    checks: Object.fromEntries(report.checks.map((check) => [check.name, check.result])),
    claims: ofClaims(report, "status"),
    eu: ofClaims(report, "eu"),
    nist: ofClaims(report, "nist"),
  };
  for (const [key, value] of Object.entries(expected)) assert.deepEqual(given[key], value, key);
}

const ofClaims = (report, key) =>
  Object.fromEntries((report.card?.claims ?? []).map((claim) => [claim.id, claim[key]]));

const evidence = await read("evidence.json");

for (const { file, what, reports } of evidence.cases) {
  test(`${file}: ${what}`, async () => {
    const bytes = await readFile(new URL(file, folder));
    for (const [policy, expected] of Object.entries(reports)) {
      assertExcerpt(await verify(bytes, evidence.policies[policy]), expected);
    }
  });
}

test("the page on reports names every key of a report", async () => {
  const page = await readFile(new URL("../report.md", folder), "utf8");
  const report = await verify(await readFile(new URL(evidence.cases[0].file, folder)));
  for (const key of Object.keys(report)) assert.ok(page.includes(`\`${key}\``), key);
});

test("what is no evidence file is refused", async () => {
  for (const { what, base64 } of evidence.unreadable) {
    await assert.rejects(verify(Buffer.from(base64, "base64")), UnreadableEvidence, what);
  }
});

test("proofs of one entry", async () => {
  const { vkey, proofs, refused } = await read("proofs.json");
  const policy = { policy: `log ${vkey}\nquorum none\n` };
  for (const { text, reports } of proofs) {
    assertExcerpt(await verify(bytesOf(text), policy), reports.chosen);
    assertExcerpt(await verify(bytesOf(text)), reports.none);
  }
  for (const { what, text } of refused) {
    await assert.rejects(verify(bytesOf(text), policy), UnreadableEvidence, what);
  }
});

test("pairs of records of one log", async () => {
  const { policy, pairs, refused } = await read("histories.json");
  for (const { file, earlier, what, report: expected } of pairs) {
    const [bytes, before] = await Promise.all([file, earlier].map((name) => readFile(new URL(name, folder))));
    const report = await verify(bytes, policy, { earlier: before });
    delete report.history.reason;
    assertExcerpt(report, expected, what);
  }
  const bytes = await readFile(new URL(pairs[0].file, folder));
  for (const { what, text } of refused) {
    await assert.rejects(verify(bytes, policy, { earlier: bytesOf(text) }), UnreadableEarlier, what);
  }
});

test("policies are refused with the line at fault", async () => {
  const vectors = await read("policies.json");
  for (const { text, logs } of vectors.tlog_policies) {
    const keys = await describeKeys(text);
    assert.deepEqual(keys.filter((key) => key.kind === "log").length, logs.length);
  }
  for (const { what, text, line } of vectors.tlog_policies_refused) {
    await assert.rejects(describeKeys(text), new RegExp(`line ${line}\\b`), what);
  }
});

test("keys show the fingerprints of the vectors", async () => {
  const { keys } = await read("checkpoints.json");
  const [described] = await describeKeys(`log ${keys[0].vkey}\nquorum none\n`);
  assert.equal(described.fingerprint, keys[0].fingerprint);
  assert.equal(described.key_id, keys[0].key_id);
});

test("entries show as in the vectors", async () => {
  const { valid } = await read("events.json");
  const bytes = await readFile(new URL("evidence/whole.evidence", folder));
  for (const [index, { type, view }] of valid.entries()) {
    if (type === "card") break;
    const { merkle_proof, signature, ...shown } = await entry(bytes, index);
    assert.deepEqual(shown, Object.fromEntries(Object.entries(view).filter(([key]) => key in shown)));
    assert.equal(merkle_proof.tree_size, evidence.cases[0].reports.chosen.size);
    assert.ok(signature.includes(merkle_proof.tree_size));
  }
});
