// `rlhf-audit verify --json` and the WebAssembly module give the same report, field for field, on good,
// tampered and malformed files under every kind of policy; and no flipped byte slips through.

import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { entry, UnreadableEarlier, UnreadableEvidence, UnusablePolicy, verify } from "../../pkg/node.js";
import { ask, must, workFolder } from "../program.mjs";

const GUIDELINE = { title: "Rules — “be kind”", text: "Line one\nline two\t\u0007 \u202e🦀" };
const INCIDENT = { what: "a worker crashed", cost: 0.1, large: 9007199254740991, tiny: 5e-324, none: null, list: [-0.5, [], {}] };

const { path: folder, remove } = await workFolder();
after(remove);

const path = (/** @type {string} */ name) => join(folder, name);
const read = (/** @type {string} */ name) => readFile(path(name));
const write = (/** @type {string} */ name, /** @type {string | Uint8Array} */ content) => writeFile(path(name), content);

before(async () => {
  await makeCorpus();
  await makePolicies();
});

async function makeCorpus() {
  const line = (i) =>
    i % 3 === 2
      ? { chosen: `good ${i}`, rejected: `bad ${i}` }
      : { prompt: `p${i}`, response: `r${i}`, annotator_id: i % 2, reward: i / 4 };
  await write("a.jsonl", Array.from({ length: 30 }, (_, i) => JSON.stringify(line(i))).join("\n"));
  await write("guideline.json", JSON.stringify(GUIDELINE));
  await write("incident.json", JSON.stringify(INCIDENT));
  await must(folder, "init log --model tiny --origin log.example/tiny");
  for (const words of ["guideline log guideline.json", "annotations log a.jsonl", "incident log incident.json"]) {
    await must(folder, `log ${words}`);
  }
  await must(folder, "run end log");
  await must(folder, "evidence log -o all.evidence");
  await must(folder, "evidence log -o claims.evidence --entries claims");
  const { events } = await must(folder, "show log --type annotation --limit 30");
  const rating = events.find((event) => event.event_data.kind === "rating").index;
  const preference = events.find((event) => event.event_data.kind === "preference").index;
  const opened = `--open ${rating}:reward --open ${rating}:prompt --open ${preference}:preference`;
  await must(folder, `evidence log -o opened.evidence ${opened}`);
  await must(folder, "prove log 5 -o five.tlog-proof");
  // A run with updates, checkpoints and metrics.
  await must(folder, "demo --dir demo --no-serve");
  await write("demo.evidence", await read("demo/demo.evidence"));

  await must(folder, "init small --model tiny --origin log.example/small");
  await write("one.jsonl", JSON.stringify({ chosen: "c", rejected: "d" }));
  await must(folder, "log annotations small one.jsonl");
  await must(folder, "evidence small -o small.evidence");
  await must(folder, "init empty --model tiny --origin log.example/empty");

  // Heads with a second signature, the last line of a proof.
  await must(folder, "init second --hybrid --model tiny --origin log.example/second");
  await must(folder, "log annotations second one.jsonl");
  await must(folder, "evidence second -o second.evidence");
  await must(folder, "prove second 1 -o second.tlog-proof");
  const lines = (await readFile(path("second.tlog-proof"), "utf8")).trimEnd().split("\n");
  await write("stripped.tlog-proof", `${lines.slice(0, -1).join("\n")}\n`);
}

async function makePolicies() {
  const good = await readFile(path("log/policy/policy"), "utf8");
  const policy = async (name, text, requirements, source = "") => {
    await mkdir(path(name));
    await write(`${name}/policy`, text);
    if (requirements) await write(`${name}/requirements.json`, JSON.stringify(requirements));
    if (source) await write(`${name}/source`, `${source}\n`);
  };
  await must(folder, "init impostor --model tiny --origin log.example/tiny");
  await must(folder, "init stranger --model tiny --origin log.example/other");
  const impostor = await readFile(path("impostor/policy/policy"), "utf8");
  const stranger = await readFile(path("stranger/policy/policy"), "utf8");
  const small = await readFile(path("small/policy/policy"), "utf8");
  await policy("right", good, null, "their letter of 3 May,\nby post");
  await policy("impostors", impostor);
  await policy("strangers", stranger);
  await policy("several", [stranger, good, small].join("").replaceAll("quorum none\n", "") + "quorum none\n");
  await policy("complete", good, { v: 1, complete: true });
  await policy("anchors", good, { v: 1, anchors: 2 });
  await policy("hybrid", good, { v: 1, hybrid: true });
  await policy("age", good, { v: 1, max_age_days: 30 });
  await policy("witnesses", good, { v: 1, witnesses: true });
  const [w1, w2] = [witness("w1.example"), witness("w2.example")];
  const quorum = `${good.replace("quorum none\n", "")}witness w1 ${w1}\nwitness w2 ${w2}\ngroup both all w1 w2\n`;
  await policy("quorum", `${quorum}quorum both\n`);
  await policy("no-quorum", `${quorum}quorum none\n`);
  await policy("no-log", "quorum none\n");
}

/** A cosignature key as a policy lists it, https://c2sp.org/tlog-cosignature. */
function witness(name) {
  const { publicKey } = generateKeyPairSync("ed25519");
  const key = Buffer.concat([Buffer.from([4]), Buffer.from(publicKey.export({ format: "jwk" }).x, "base64url")]);
  const id = createHash("sha256").update(`${name}\n`).update(key).digest("hex").slice(0, 8);
  return `${name}+${id}+${key.toString("base64")}`;
}

const POLICIES = [
  null, "right", "impostors", "strangers", "several", "complete", "anchors", "hybrid", "age", "witnesses",
  "quorum", "no-quorum", "no-log",
];

/** The policy folder as a page hands it over: label and day are what the command line filled in. */
async function handedOver(name, keySource) {
  const optional = (file) => readFile(path(`${name}/${file}`), "utf8").catch(() => null);
  const requirements = await optional("requirements.json");
  return {
    policy: await readFile(path(`${name}/policy`), "utf8"),
    requirements: requirements && JSON.parse(requirements),
    source: ((await optional("source")) ?? "").trim(),
    label: name,
    chosen_on: keySource?.match(/chosen by you on (\d{4}-\d\d-\d\d)/)?.[1] ?? "",
    publisher: null,
    trusted_root: null,
  };
}

/** Verifies a file both ways, compares, and returns the exit status. */
async function compare(file, policy, earlier) {
  const place = `${file} under ${policy ?? "no policy"} after ${earlier ?? "nothing"}`;
  const options = [...(policy ? ["--policy", policy] : []), ...(earlier ? ["--earlier", earlier] : [])];
  const { status, json, error } = await ask(folder, "verify", file, ...options);
  const chosen = policy && (await handedOver(policy, json?.key_source));
  const answer = verify(await read(file), chosen, { earlier: earlier && (await read(earlier)) });
  if (status === 2) {
    const fault = earlier && error.startsWith(`rlhf-audit: ${earlier}: `) ? earlier : file;
    const prefix = `rlhf-audit: ${fault}: `;
    assert.ok(error.startsWith(prefix) && error.endsWith("\n"), error);
    await assert.rejects(answer, (refusal) => {
      assert.ok(refusal instanceof (fault === file ? UnreadableEvidence : UnreadableEarlier), place);
      assert.equal(refusal.message, error.slice(prefix.length, -1), place);
      return true;
    });
    return status;
  }
  const report = await answer;
  assert.deepEqual(report, json, place);
  const met = { true: 0, false: 1, null: 4 }[String(report.meets_policy)];
  assert.equal(status, report.verdict === "failed" ? 1 : met, place);
  return status;
}

/** Compares so many at a time as there are cores to spare. */
async function compareAll(cases) {
  const statuses = {};
  const rest = [...cases];
  const worker = async () => {
    for (let next = rest.pop(); next; next = rest.pop()) {
      const status = await compare(...next);
      statuses[status] = (statuses[status] ?? 0) + 1;
    }
  };
  await Promise.all([worker(), worker(), worker()]);
  return statuses;
}

test("good files, under every kind of policy", async () => {
  const files = ["all.evidence", "claims.evidence", "opened.evidence", "five.tlog-proof", "demo.evidence", "small.evidence"];
  const statuses = await compareAll(files.flatMap((file) => POLICIES.map((policy) => [file, policy])));
  assert.equal(statuses[4], files.length, "without a policy, each is consistent with itself");
  // The right key, with whatever the file can meet; the small log's key is among the several.
  assert.equal(statuses[0], 4 + 4 + 4 + 2 + 1, JSON.stringify(statuses));
  assert.equal(statuses[2], undefined);
});

test("heads with a second, post-quantum signature", async () => {
  const second = await readFile(path("second/policy/policy"), "utf8");
  await mkdir(path("asked"));
  await write("asked/policy", second);
  await mkdir(path("required"));
  await write("required/policy", second);
  await write("required/requirements.json", JSON.stringify({ v: 1, hybrid: true }));
  await mkdir(path("classical"));
  await write("classical/policy", `${second.split("\n")[0]}\nquorum none\n`);
  for (const policy of ["asked", "required", "classical"]) {
    assert.equal(await compare("second.evidence", policy), 0, policy);
    assert.equal(await compare("second.tlog-proof", policy), 0, policy);
    assert.equal(await compare("stripped.tlog-proof", policy), policy === "classical" ? 0 : 1, policy);
  }
  const bytes = await read("second.tlog-proof");
  const cases = [];
  for (let i = 1; i <= 24; i += 1) {
    const tampered = Uint8Array.from(bytes);
    // Some base64 digit of the signature becomes another.
    const place = bytes.length - 10 - i * 100;
    tampered[place] = tampered[place] === 0x41 ? 0x42 : 0x41;
    await write(`${i}-second.tlog-proof`, tampered);
    cases.push([`${i}-second.tlog-proof`, "required"]);
  }
  assert.deepEqual(await compareAll(cases), { 1: cases.length });
});

test("tampered files", async () => {
  const cases = [];
  for (const file of ["all.evidence", "claims.evidence", "opened.evidence", "demo.evidence", "five.tlog-proof"]) {
    const bytes = await read(file);
    for (let i = 0; i < 24; i += 1) {
      const tampered = Uint8Array.from(bytes);
      tampered[Math.floor((i * (bytes.length - 1)) / 23)] ^= i % 2 ? 0x01 : 0x80;
      await write(`${i}-${file}`, tampered);
      cases.push([`${i}-${file}`, i % 3 ? "right" : null]);
    }
  }
  const statuses = await compareAll(cases);
  assert.ok(statuses[1] > 20 && statuses[2] > 10, JSON.stringify(statuses));
});

test("parts of one file in another", async () => {
  const [all, claims, small] = [await read("all.evidence"), await read("claims.evidence"), await read("small.evidence")];
  const cases = [];
  const splice = async (name, bytes, policy = "right") => {
    await write(name, bytes);
    cases.push([name, policy], [name, null]);
  };
  // The same length with another name in it: the file stays well-formed, the log's name changes.
  const renamed = Buffer.from(all.toString("latin1").replaceAll("log.example/tiny", "log.example/t1ny"), "latin1");
  await splice("renamed", renamed);
  await splice("count", Buffer.from(all.toString("latin1").replace('"value":30', '"value":31'), "latin1"));
  await splice("model", Buffer.from(all.toString("latin1").replaceAll('"tiny"', '"t1ny"'), "latin1"));
  await splice("joined", Buffer.concat([all.subarray(0, all.length / 2), claims.subarray(claims.length / 2)]));
  await splice("twice", Buffer.concat([small, small]));
  const statuses = await compareAll(cases);
  assert.equal(statuses[0] ?? 0, 0, JSON.stringify(statuses));
  assert.equal(statuses[4] ?? 0, 0, JSON.stringify(statuses));
});

test("two records of one log, one log and another, and what is no record", async () => {
  const fork = async (...names) => {
    await must(folder, "log annotations history one.jsonl");
    for (const name of names) await must(folder, `evidence ${name}`);
  };
  await must(folder, "init history --model tiny --origin log.example/tiny");
  await must(folder, "log annotations history a.jsonl");
  await cp(path("history"), path("history-fork"), { recursive: true });
  await fork("history -o may.evidence");
  await must(folder, "prove history 5 -o may.tlog-proof");
  await cp(path("history/checkpoint"), path("may.checkpoint"));
  await fork("history -o november.evidence", "history -o part.evidence --entries claims", "history -o since.evidence --entries claims --since may.evidence");
  await must(folder, "log annotations history-fork a.jsonl");
  await must(folder, "evidence history-fork -o rewritten.evidence");
  await write("foreign", "%PDF-1.7\n");
  await write("cut.evidence", (await read("may.evidence")).subarray(0, 999));

  const earlier = ["may.evidence", "may.tlog-proof", "may.checkpoint", "november.evidence", "rewritten.evidence", "small.evidence", "all.evidence", "foreign", "cut.evidence"];
  const later = ["may.evidence", "november.evidence", "part.evidence", "since.evidence", "rewritten.evidence"];
  await cp(path("history/policy"), path("history-policy"), { recursive: true });
  const cases = later.flatMap((file) => earlier.flatMap((one) => [[file, null, one], [file, "history-policy", one], [file, "right", one]]));
  const statuses = await compareAll(cases);
  assert.deepEqual(Object.keys(statuses), ["0", "1", "2", "4"], JSON.stringify(statuses));
  assert.equal(statuses[2], later.length * 2 * 3, JSON.stringify(statuses));
});

test("truncated and foreign files are refused in the same words", async () => {
  const cases = [];
  for (const file of ["all.evidence", "opened.evidence", "small.evidence"]) {
    const bytes = await read(file);
    for (const length of [0, 1, 2, 3, 4, 5, 50, Math.floor(bytes.length / 2), bytes.length - 1]) {
      await write(`${length}-of-${file}`, bytes.subarray(0, length));
      cases.push([`${length}-of-${file}`, length % 2 ? "right" : null]);
    }
  }
  const magic = [0xd9, 0xd9, 0xf7];
  const malformed = {
    "letter.pdf": "%PDF-1.7\n",
    page: "<!DOCTYPE html>",
    zeros: new Uint8Array(1000),
    "only-a-tag": Uint8Array.from(magic),
    "empty-map": Uint8Array.from([...magic, 0xa0]),
    "a-number": Uint8Array.from([...magic, 0x01]),
    "long-array": Uint8Array.from([...magic, 0x9a, 255, 255, 255, 255]),
    "long-text": Uint8Array.from([...magic, 0x7a, 127, 255, 255, 255]),
    nested: Uint8Array.from([...magic, ...new Array(10_000).fill(0x81)]),
    indefinite: Uint8Array.from([...magic, 0xbf, 0xff]),
    "later-version": Uint8Array.from([...magic, 0xa1, 0x61, 0x76, 0x02]),
    "proof-header": "c2sp.org/tlog-proof@v1\n",
    "proof-of-nothing": "c2sp.org/tlog-proof@v1\nindex 0\n\n",
    "later-proof": "c2sp.org/tlog-proof@v2\nindex 0\n\n",
  };
  for (const [name, content] of Object.entries(malformed)) {
    await write(name, content);
    cases.push([name, null], [name, "right"]);
  }
  const proof = (await read("five.tlog-proof")).toString();
  for (const [name, content] of Object.entries({
    "proof-without-entry": proof.replace(/^extra .*\n/m, ""),
    "proof-of-another": proof.replace("index 5", "index 6"),
    "proof-without-hash": proof.replace(/(index 5\n)[^\n]*\n/, "$1"),
    "proof-with-windows-lines": proof.replaceAll("\n", "\r\n"),
  })) {
    assert.notEqual(content, proof, name);
    await write(name, content);
    cases.push([name, null], [name, "right"]);
  }
  const statuses = await compareAll(cases);
  assert.deepEqual(Object.keys(statuses), ["1", "2"], JSON.stringify(statuses));
});

test("a length that only a larger machine could hold is refused by both, each in its own words", async () => {
  await write("longer", Uint8Array.from([0xd9, 0xd9, 0xf7, 0x7b, 0, 0, 1, 0, 0, 0, 0, 0]));
  const { status } = await ask(folder, "verify", "longer");
  assert.equal(status, 2);
  await assert.rejects(verify(await read("longer")), UnreadableEvidence);
});

test("what is no policy is refused for the same reason", async () => {
  const bytes = await read("all.evidence");
  const good = await readFile(path("right/policy"), "utf8");
  const refused = {
    page: "<!DOCTYPE html>\n",
    nothing: "",
    "no-quorum-line": good.replace("quorum none\n", ""),
    twice: good + good,
    "wrong-id": good.replace(/\+[0-9a-f]{8}\+/, "+00000000+"),
    windows: good.replaceAll("\n", "\r\n"),
    unknown: `${good}bribe none\n`,
    undefined: good.replace("none", "nobody"),
  };
  for (const [name, text] of Object.entries(refused)) {
    await mkdir(path(`refused-${name}`));
    await write(`refused-${name}/policy`, text);
    const { status, error } = await ask(folder, "verify", "all.evidence", "--policy", `refused-${name}`);
    assert.equal(status, 2, name);
    const reason = error.trimEnd().replace(`rlhf-audit: refused-${name}/policy: `, "");
    await assert.rejects(verify(bytes, await handedOver(`refused-${name}`)), (refusal) => {
      assert.ok(refusal instanceof UnusablePolicy, name);
      assert.equal(refusal.message.replace(/^policy: /, ""), reason);
      return true;
    });
  }
});

test("an entry is shown alike", async () => {
  const bytes = await read("all.evidence");
  const { size } = await verify(bytes);
  for (let index = 0; index < size; index += 1) {
    assert.deepEqual(await entry(bytes, index), await must(folder, `show log ${index}`), `entry ${index}`);
  }
});

test("any flipped byte fails, is unreadable or changes nothing", async (t) => {
  const bytes = await read("small.evidence");
  const chosen = { policy: await readFile(path("small/policy/policy"), "utf8") };
  for (const [policy, flips] of [[chosen, [0x01, 0x80]], [null, [0x01]]]) {
    const report = JSON.stringify(await verify(bytes, policy));
    const outcomes = { failed: 0, unreadable: 0, same: 0 };
    for (let at = 0; at < bytes.length; at += 1) {
      for (const flip of flips) {
        bytes[at] ^= flip;
        outcomes[await outcome(bytes, policy, report, `byte ${at} ^ ${flip}`)] += 1;
        bytes[at] ^= flip;
      }
    }
    assert.equal(JSON.stringify(await verify(bytes, policy)), report, "the file is whole again");
    assert.ok(outcomes.failed > 1000 && outcomes.unreadable > 50, JSON.stringify(outcomes));
    t.diagnostic(JSON.stringify(outcomes));
  }
});

async function outcome(bytes, policy, report, place) {
  let changed;
  try {
    changed = await verify(bytes, policy);
  } catch (error) {
    assert.ok(error instanceof UnreadableEvidence, `${place}: ${error}`);
    return "unreadable";
  }
  if (changed.verdict === "failed") return "failed";
  assert.equal(JSON.stringify(changed), report, place);
  return "same";
}
