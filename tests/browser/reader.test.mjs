// What a reader asks of a file, and finds answered beside the verdict; and lists too long to draw at once.

import assert from "node:assert/strict";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { ask, must, workFolder } from "../program.mjs";
import { openBrowser, root } from "./chromium.mjs";

const DISK = pathToFileURL(`${root}pkg/verifier.html`).href;
const ORIGIN = "log.example/reader";
const JUDGEMENTS = 6700;

const { path: folder, remove } = await workFolder();
const file = (/** @type {string} */ name) => join(folder, name);

before(async () => {
  const lines = Array.from({ length: JUDGEMENTS }, (_, i) =>
    JSON.stringify({ prompt: `Question ${i}?`, response: `Answer ${i}.`, annotator_id: "ada", reward: (i % 5) + 1 }),
  );
  await writeFile(file("many.jsonl"), `${lines.join("\n")}\n`);
  await writeFile(file("few.jsonl"), `${lines.slice(0, 6).join("\n")}\n`);
  for (const log of ["producer", "impostor"]) {
    await must(folder, `init ${log} --model tiny --origin ${ORIGIN}`);
    await must(folder, `log annotations ${log} few.jsonl`);
    await must(folder, `run end ${log}`);
    await must(folder, `evidence ${log} -o ${log}.evidence --open 3:reward --open 2:reward`);
  }
  // The last bytes of the file are the rating that was opened last: half of one step more, or less.
  const bytes = await readFile(file("producer.evidence"));
  bytes[bytes.length - 1] ^= 1;
  await writeFile(file("one-rating.evidence"), bytes);
  // One byte of a head's signature, in the middle of its base64.
  const broken = await readFile(file("producer.evidence"));
  const line = broken.lastIndexOf(`— ${ORIGIN} `) + Buffer.byteLength(`— ${ORIGIN} `) + 40;
  broken[line] = broken[line] === 0x41 ? 0x42 : 0x41;
  await writeFile(file("broken-signature.evidence"), broken);
});
after(remove);

const VECTORS = `${root}transparency/vectors/evidence`;

/** Opens the page with a file in it, and closes the browser when the test ends. */
async function open(t, evidence, { key, ...options } = {}) {
  const browser = await openBrowser({ offline: true, ...options });
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(DISK);
  if (key) await chooseKey(page, key);
  await page.locator("input[type=file]:not([multiple])").first().setInputFiles(file(evidence));
  await page.locator("#checks-title").waitFor({ timeout: 30_000 });
  return { ...browser, page };
}

async function chooseKey(page, log) {
  const vkey = (await readFile(file(`${log}/policy/policy`), "utf8")).match(/^log (\S+)/m)[1];
  await page.getByText("Add keys", { exact: true }).click();
  await page.getByLabel("Paste the producer’s verifier key, or a policy").fill(vkey);
  await page.getByLabel("Where do these keys come from?").fill("the producer’s letter");
  await page.getByRole("button", { name: "Use these keys" }).click();
}

/** The answers, by their questions. */
async function answers(page) {
  const texts = await page.locator(".answers > dt, .answers > dd").allInnerTexts();
  return Object.fromEntries(texts.flatMap((text, i) => (i % 2 === 0 ? [[text, texts[i + 1]]] : [])));
}

const fingerprintOf = async (evidence, i = 0) =>
  (await ask(folder, "verify", evidence)).json.keys[i].fingerprint.match(/.{4}/g).join(" ");

/** What axe finds; the page's own policy refuses axe, so it runs from the debugger. */
async function faults(context, page) {
  const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
  const session = await context.newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: await readFile(axe, "utf8"), allowUnsafeEvalBlockedByCSP: true });
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  return violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]);
}

test("a sound file: who, since when, what is proven, claimed, and beyond proof", async (t) => {
  const { context, page, problems } = await open(t, "producer.evidence", { key: "producer" });
  const said = await answers(page);
  assert.ok(said["Who signed it?"].startsWith(`The key you chose, which names itself ${ORIGIN}.`));
  assert.ok(said["Who signed it?"].includes(await fingerprintOf("producer.evidence")));
  assert.ok(said["Who signed it?"].includes("We cannot know whose key this is; compare it by another channel."));
  const { json } = await ask(folder, "verify", "producer.evidence");
  assert.match(said["Since when does it exist?"], /^Not shown: no date/);
  assert.ok(said["Since when does it exist?"].includes(json.runs[0].started.replace("T", " ").slice(0, 19)));
  assert.match(said["What is proven?"], /^That the holder of this key signed exactly this record/);
  // No date, so nothing is said to hold since one; and no policy, so nothing is said of one.
  assert.doesNotMatch(said["What is proven?"], /since/);
  assert.doesNotMatch(said["Who signed it?"], /policy/);
  assert.equal(said["How far does the failure reach?"], undefined);
  const asserted = json.card.claims.filter((claim) => claim.kind === "asserted");
  for (const { title } of asserted) assert.ok(said["What is only claimed?"].includes(title), title);
  assert.equal(said["What can no such file prove?"], json.not_proven);
  assert.match(said["What can I do next?"], /Keep this file/);

  // Each check is one click away from plain words, by keyboard as well.
  const plain = page.locator(".check", { has: page.getByText("entries.complete", { exact: true }) }).locator("details.plain");
  await plain.locator("summary").focus();
  await page.keyboard.press("Enter");
  await plain.getByText("One changed, missing, added or moved entry gives another result.").waitFor();
  for (const { name } of json.checks) {
    const check = page.locator(".check", { has: page.getByText(name, { exact: true }) });
    assert.equal(await check.locator("details.plain").count(), 1, `${name} has no plain words`);
  }
  assert.deepEqual(await faults(context, page), []);
  assert.deepEqual(problems, []);
});

test("without keys nobody is named, and the next step is to get one", async (t) => {
  const { page } = await open(t, "producer.evidence");
  const said = await answers(page);
  assert.ok(said["Who signed it?"].startsWith("A key that you did not choose"));
  assert.match(said["What is proven?"], /^Only that the parts of this file fit together/);
  assert.match(said["What can I do next?"], /^Get the producer’s key from somewhere other than this file/);
  await page.getByRole("button", { name: "Add the producer’s keys" }).click();
  await page.getByLabel("Paste the producer’s verifier key, or a policy").fill("");
});

test("a gap in the record is in the answers, with when it was and who says so", async (t) => {
  await copyFile(`${VECTORS}/incident-gap.evidence`, file("gap.evidence"));
  const { page } = await open(t, "gap.evidence");
  const { json } = await ask(folder, "verify", "gap.evidence");
  const gaps = json.checks.find(({ name }) => name === "events.gaps");
  const said = await answers(page);
  assert.match(gaps.reason, /for [0-9.]+ (seconds|minutes|hours), from .* by its clock/);
  assert.ok(said["Is anything missing?"].startsWith(`Yes: ${gaps.reason}. Only the producer says so.`));
  const check = page.locator(".check", { has: page.getByText("events.gaps", { exact: true }) });
  assert.equal(await check.locator("details.plain").count(), 1);
  for (const file of ["producer.evidence", "broken-signature.evidence"]) {
    const { page } = await open(t, file);
    assert.equal((await answers(page))["Is anything missing?"], undefined);
  }
});

test("one rating changed: the file is refused, and which value is wrong is said", async (t) => {
  const { context, page } = await open(t, "one-rating.evidence", { key: "producer" });
  await page.getByRole("heading", { name: "Failed: do not rely on this" }).waitFor();
  await page.locator(".failed-checks").getByText("the value shown is not the one that was logged").waitFor();
  await page.locator(".failed-checks").getByText(/^1 of 2 failed: `reward` of entry \d:/).waitFor();
  const said = await answers(page);
  assert.ok(said["Who signed it?"].includes("It did not sign the values that failed"));
  assert.doesNotMatch(Object.values(said).join(" "), /policy/);
  assert.match(said["How far does the failure reach?"], /^The log itself holds: .* What failed: 1 of the 2 values opened here\.$/);
  assert.match(said["What is proven?"], /^Of what failed, nothing\./);
  assert.match(said["What can I do next?"], /^Keep this file, and do not use what failed/);
  const [established, not] = await page.locator(".two-lists > section").allInnerTexts();
  assert.match(established, /This still holds of the log\..*1 of the 2 values opened here: shown to be what was sealed in the log\./s);
  assert.match(not, /^Not established\s+Does not hold: “/);
  assert.match(not, /1 of \d+ opened/);
  assert.deepEqual(await faults(context, page), []);
});

test("another key under the same name: both fingerprints are shown", async (t) => {
  const { page } = await open(t, "impostor.evidence", { key: "producer" });
  await page.getByRole("heading", { name: "Failed: do not rely on this" }).waitFor();
  const said = await answers(page);
  assert.ok(said["Who signed it?"].startsWith(`A key that you did not choose, which names itself ${ORIGIN}.`));
  assert.ok(said["Who signed it?"].includes(await fingerprintOf("impostor.evidence")));
  assert.ok(said["Who signed it?"].includes(await fingerprintOf("producer.evidence")));
  assert.ok(said["Who signed it?"].includes("The key you chose for this name signed none of the tree heads here."));
  assert.doesNotMatch(said["Who signed it?"], /It signed|policy/);
  assert.match(said["How far does the failure reach?"], /not with the key you chose for its name/);
  await page.locator(".failed-checks").getByText("yet another key signed it").waitFor();
});

test("a signature that is wrong: nobody signed, and nothing else is said of the key", async (t) => {
  const { page } = await open(t, "broken-signature.evidence", { key: "producer" });
  await page.getByRole("heading", { name: "Failed: do not rely on this" }).waitFor();
  const said = await answers(page);
  assert.match(said["Who signed it?"], /^Nobody, as far as this file shows/);
  assert.doesNotMatch(said["Who signed it?"], /It signed|policy/);
  assert.match(said["How far does the failure reach?"], /^The log itself does not hold/);
  assert.match(said["What is proven?"], /^Nothing that you should rely on/);
});

test("fingerprints are in one form, and no short key id stands beside them", async (t) => {
  const { page } = await open(t, "impostor.evidence", { key: "producer" });
  const { json } = await ask(folder, "verify", "impostor.evidence");
  const text = await page.locator("rlhf-audit-verifier").evaluate((verifier) => verifier.shadowRoot.querySelector(".verifier").innerText);
  for (const { key_id, fingerprint } of json.keys) {
    assert.ok(text.includes(fingerprint.match(/.{4}/g).join(" ")));
    assert.ok(!text.includes(fingerprint), "sixty-four digits in a row");
    assert.ok(!text.includes(`+${key_id}`), "a short id");
  }
});

test("on paper: every answer, no controls, nothing too wide", async (t) => {
  const { page } = await open(t, "one-rating.evidence", { key: "producer", viewport: { width: 680, height: 900 } });
  await page.emulateMedia({ media: "print" });
  await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
  assert.equal((await page.locator(".answers > dd:visible").count()) >= 6, true);
  // The entry buttons in tables are printed as the words they are.
  assert.deepEqual(await page.locator("button:visible:not(td button), input:visible, textarea:visible").allInnerTexts(), []);
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0);
});

test("20,000 openings: the page answers while they come, and finds one among them", async (t) => {
  await must(folder, "init many --model tiny --origin log.example/many");
  await must(folder, "log annotations many many.jsonl");
  await must(folder, "run end many");
  const fields = Array.from({ length: JUDGEMENTS }, (_, i) => ["prompt", "response", "reward"].map((field) => `${i + 1}:${field}`)).flat();
  const { status, error } = await ask(folder, "evidence", "many", "-o", "many.evidence", ...fields.flatMap((field) => ["--open", field]));
  assert.equal(status, 0, error);

  const { page, problems } = await open(t, "many.evidence");
  const total = fields.length.toLocaleString("en");
  const openings = page.getByRole("table", { name: "Openings" });
  const rows = openings.locator("tbody tr");
  const list = page.locator("div", { has: page.getByRole("table", { name: "Openings" }) }).last();
  assert.equal(await rows.count(), 50);
  await list.getByText(`The first 50 of ${total} are shown.`).waitFor();

  // A row in the middle is found without showing all, and gone from again.
  const box = page.getByLabel(`Find among ${total} openings`);
  await box.fill("answer 4321.");
  await list.getByText(`All 1 found among ${total} are shown.`).waitFor({ timeout: 30_000 });
  assert.match(await rows.innerText(), /response\s+Answer 4321\./);
  await box.fill("no such text");
  await list.getByText(`None found among ${total}.`).waitFor({ timeout: 30_000 });
  await box.fill("");
  await list.getByText(`The first 50 of ${total} are shown.`).waitFor();

  // All of them, by keyboard; meanwhile frames go on being drawn. (Playwright looks for text in every
  // row there is, which would be measured too, so the page itself waits.)
  const button = list.getByRole("button", { name: `Show all ${total}` });
  await button.focus();
  const shown = button.evaluate(async (button) => {
    const status = button.parentElement.querySelector("[role=status]");
    await new Promise((pressed) => button.addEventListener("click", pressed, { once: true }));
    const started = performance.now();
    let longest = 0;
    let last = started;
    while (!status.textContent.startsWith("All ")) {
      await new Promise((drawn) => requestAnimationFrame(drawn));
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }
    return { longest, whole: last - started };
  });
  await page.waitForTimeout(100);
  await page.keyboard.press("Enter");
  const { longest, whole } = await shown;
  t.diagnostic(`all rows after ${Math.round(whole)} ms, longest frame ${Math.round(longest)} ms`);
  assert.equal(await rows.count(), fields.length);
  assert.ok(longest < 1000, `the page stood still for ${Math.round(longest)} ms`);
  const focused = await page.evaluate(() => document.querySelector("rlhf-audit-verifier").shadowRoot.activeElement);
  assert.notEqual(focused, null, "the focus went on to the first new row");
  // The last row is far below, in a group that is drawn when it comes into sight.
  await rows.last().getByRole("button").focus();
  await page.waitForFunction((row) => row.checkVisibility({ contentVisibilityAuto: true }), await rows.last().elementHandle());
  assert.deepEqual(problems, []);
});
