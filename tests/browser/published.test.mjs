// Published heads, for the person in front of the page: since when the log is public, by whose clock,
// and what is refused. The evidence is real, from `transparency/vectors/anchored`.
//
// With SCREENSHOTS set to a folder, a picture of each state is left there to be looked at.

import assert from "node:assert/strict";
import { createHash, createPublicKey } from "node:crypto";
import { mkdir, readFile, readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { openBrowser, root } from "./chromium.mjs";

const DISK = pathToFileURL(`${root}pkg/verifier.html`).href;
const SET = join(root, "transparency/vectors/anchored");
const FAILED = "Failed: do not rely on this";
const SIGNED = "Signed by the key you chose; date not independently shown";
const AFTERWARDS = "Published only afterwards; event times are the producer's word.";
const GREEN = "rgb(18, 102, 58)";

/** The files of a policy folder, those of the names given or all. */
async function policyFiles(folder, names) {
  names ??= await readdir(join(SET, folder));
  return names.map((name) => join(SET, folder, name));
}

/** Opens the page without a network, brings the keys, then the evidence. */
async function open(t, evidence, policy, { names, ...options } = {}) {
  const browser = await openBrowser({ offline: true, ...options });
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(DISK);
  await bring(page, await policyFiles(policy, names));
  await page.getByRole("button", { name: "Use these keys" }).click();
  await page.locator("input[type=file]:not([multiple])").first().setInputFiles(join(SET, evidence));
  await page.locator("#checks-title").waitFor({ timeout: 30_000 });
  return { ...browser, page };
}

/** Puts policy files into the form, with where they come from. */
async function bring(page, files) {
  await page.getByText("Add keys", { exact: true }).click();
  await page.locator("input[type=file][multiple]:not([webkitdirectory])").first().setInputFiles(files);
  await page.locator(".preview .keys li, .key-form .error:visible").first().waitFor();
  await page.getByLabel("Where do these keys come from?").fill("the producer’s letter");
}

const heading = (page, name) => page.getByRole("heading", { name, exact: true }).waitFor({ timeout: 20_000 });
const section = (page) => page.getByRole("region", { name: "Published heads" });
const reportOf = (page) => page.evaluate(() => document.querySelector("rlhf-audit-verifier").report);
const moment = (/** @type {string} */ time) => time.replace("T", " ").slice(0, 19);

/** What the page answers to “Since when does it exist?”. */
const since = (page) => page.locator(".answers > dt", { hasText: "Since when" }).locator("xpath=following-sibling::dd[1]").innerText();

const band = (page) => page.locator(".verdict .band").evaluate((band) => getComputedStyle(band).backgroundColor);

async function picture(page, name, locator) {
  if (!process.env.SCREENSHOTS) return;
  await mkdir(process.env.SCREENSHOTS, { recursive: true });
  const path = join(process.env.SCREENSHOTS, `published-${name}.png`);
  await (locator ? locator.screenshot({ path }) : page.screenshot({ path, fullPage: true }));
}

/** What axe finds; the page's own policy refuses axe, so it runs from the debugger. */
async function faults(context, page) {
  const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
  const session = await context.newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: await readFile(axe, "utf8"), allowUnsafeEvalBlockedByCSP: true });
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  return violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]);
}

test("public since, by whose clock and where, with the bytes one key press away", async (t) => {
  const { page, context, problems } = await open(t, "run.evidence", "policy");
  const report = await reportOf(page);
  assert.equal(report.verdict, "public");
  await heading(page, report.verdict_text);
  assert.equal(await band(page), GREEN);

  const newest = report.anchors.at(-1);
  const said = await since(page);
  for (const part of [`Public since ${moment(newest.public)} UTC`, newest.public_by, newest.log, "Published while running.", "if it is the producer, the date is the producer’s word"]) {
    assert.ok(said.includes(part), `${part}: ${said}`);
  }
  const rows = section(page).getByRole("table", { name: "Published heads" }).locator("tbody tr");
  assert.equal(await rows.count(), 3);
  for (const [i, anchor] of report.anchors.entries()) {
    const row = await rows.nth(i).innerText();
    for (const part of [String(anchor.sequence), String(anchor.size), moment(anchor.public), anchor.log, String(anchor.index), moment(anchor.signed)]) {
      assert.ok(row.includes(part), `${part}: ${row}`);
    }
  }
  const last = section(page).locator(".anchor-bytes > li").last();
  const folded = last.locator("summary").first();
  await folded.focus();
  await page.keyboard.press("Enter");
  for (const longer of await last.locator(".long summary").all()) await longer.press("Enter");
  const bytes = await last.locator(".stands-on").innerText();
  const [statement, checkpoint] = newest.stands_on.map((one) => one.bytes);
  assert.ok(bytes.includes(JSON.parse(statement).predicate.root), bytes);
  for (const line of checkpoint.split("\n").filter(Boolean)) assert.ok(bytes.includes(line), `${line}: ${bytes}`);

  assert.deepEqual(await faults(context, page), []);
  await picture(page, "1-public");
  await picture(page, "1-public-section", section(page));
  await page.setViewportSize({ width: 360, height: 780 });
  await picture(page, "2-phone", section(page));
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false);
  assert.deepEqual(problems, []);
});

test("the choice shows the publishing key's fingerprint, the public logs and the clocks", async (t) => {
  const { page, context } = await open(t, "run.evidence", "policy");
  const key = createPublicKey(await readFile(join(SET, "policy/publisher.pub")));
  const digest = createHash("sha256").update(key.export({ type: "spki", format: "der" })).digest("hex");
  const trusted = JSON.parse(await readFile(join(SET, "policy/trusted_root.json"), "utf8"));
  const chosen = await page.locator(".keys-panel .choice .contents").innerText();
  const names = [
    digest.match(/.{4}/g).join(" "),
    ...trusted.tlogs.map(({ baseUrl }) => baseUrl.replace("https://", "")),
    ...trusted.timestampAuthorities.map(({ subject, uri }) => subject?.commonName ?? uri),
  ];
  for (const name of names) assert.ok(chosen.includes(name), `${name}: ${chosen}`);
  // The verdict repeats them, and so does the section.
  const { key_source: source } = await reportOf(page);
  for (const name of names) assert.ok(source.includes(name), `${name}: ${source}`);
  assert.ok((await section(page).innerText()).includes(names[0]));
  assert.deepEqual(await faults(context, page), []);
  await picture(page, "3-keys", page.locator(".keys-panel"));
});

test("what was published only afterwards is plainly said to be", async (t) => {
  const { page } = await open(t, "afterwards.evidence", "policy-afterwards");
  assert.equal((await reportOf(page)).verdict, "public");
  assert.ok((await since(page)).includes(AFTERWARDS));
  const sentence = page.locator(".answers").getByText(AFTERWARDS);
  assert.ok(await sentence.isVisible());
  assert.equal(await sentence.evaluate((p) => getComputedStyle(p).fontWeight), "600");
  await section(page).getByText(AFTERWARDS).waitFor();
  await picture(page, "4-afterwards");
});

test("what does not hold is refused for its own reason", async (t) => {
  for (const [evidence, policy, check, reason] of [
    ["run.evidence", "policy-other-publisher", "anchors", "publishing key you chose"],
    ["run.evidence", "policy-other-origin", "anchors", "is of the log “rekor.localhost”"],
    ["run.evidence", "policy-log-key-expired", "anchors", "not in force"],
    ["wrong-checkpoint.evidence", "policy", "anchors", "not among those here"],
    ["without-the-first.evidence", "policy", "anchors.sequence", "0 to 0 are missing"],
    ["without-the-second.evidence", "policy", "anchors.sequence", "head 1 is missing"],
    ["no-anchors.evidence", "policy-requires-anchors", "anchors", "requires 1 anchor"],
    ["no-time.evidence", "policy-requires-anchors", "anchors", "independent time"],
  ]) {
    await t.test(`${evidence} by ${policy}`, async (t) => {
      const { page } = await open(t, evidence, policy);
      await heading(page, FAILED);
      const failed = (await reportOf(page)).checks.filter(({ result }) => result === "fail").map(({ name }) => name);
      assert.deepEqual(failed, [check]);
      const list = page.locator(".failed-checks");
      await list.getByText(reason).waitFor();
      await list.locator("details.plain p").waitFor();
      assert.ok(!(await since(page)).includes("Public since"));
      await section(page).getByText(reason).waitFor();
      assert.notEqual(await band(page), GREEN);
      if (evidence === "without-the-second.evidence") await picture(page, "5-refused");
    });
  }
});

test("without a time or without a publishing key nothing is public, and it is said why", async (t) => {
  const untimed = await open(t, "no-time.evidence", "policy");
  await heading(untimed.page, SIGNED);
  assert.match(await since(untimed.page), /^Not shown.*No anchor here carries a time stamp/s);
  assert.notEqual(await band(untimed.page), GREEN);

  const keyless = await open(t, "run.evidence", "policy", { names: ["policy"] });
  await heading(keyless.page, SIGNED);
  assert.match(await since(keyless.page), /You have chosen no publishing key and no Sigstore trusted root/);
  assert.equal(await section(keyless.page).getByRole("table").count(), 0);
  assert.notEqual(await band(keyless.page), GREEN);
  await picture(keyless.page, "6-no-keys");
});

test("one of the two files alone is refused before it is chosen", async (t) => {
  const browser = await openBrowser({ offline: true });
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(DISK);
  for (const [alone, other] of [["publisher.pub", "trusted_root.json"], ["trusted_root.json", "publisher.pub"]]) {
    await page.reload();
    await bring(page, await policyFiles("policy", ["policy", alone]));
    await page.getByText(`${alone} is there and ${other} is not`, { exact: false }).waitFor();
    await page.getByRole("button", { name: "Use these keys" }).click();
    assert.equal(await page.getByRole("radio").count(), 0);
  }
});

test("in the dark and on paper the section stands as it is, the bytes with it", async (t) => {
  const { page, context } = await open(t, "run.evidence", "policy");
  await page.emulateMedia({ colorScheme: "dark" });
  assert.deepEqual(await faults(context, page), []);
  await picture(page, "7-dark", section(page));
  await page.setViewportSize({ width: 680, height: 900 });
  await page.emulateMedia({ media: "print", colorScheme: "light" });
  await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
  const { anchors } = await reportOf(page);
  const text = await section(page).innerText();
  for (const anchor of anchors) assert.ok(text.includes(anchor.root) && text.includes(anchor.log_id), text);
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0);
  await picture(page, "8-paper", section(page));
});

test("keys that handed over, what each signs, and whether it counts", async (t) => {
  const { page } = await open(t, "handed-over.evidence", "policy-first-keys");
  const report = await reportOf(page);
  await heading(page, report.verdict_text);
  const rows = page.getByRole("table", { name: "Keys that handed over" }).locator("tbody tr");
  assert.equal(await rows.count(), 3);
  const signs = ["tree heads", "tree heads, against quantum computers", "publications"];
  for (const [i, handover] of report.handovers.entries()) {
    const row = await rows.nth(i).innerText();
    const groups = handover.new_fingerprint.match(/.{4}/g).join(" ");
    for (const part of [signs[i], groups, moment(handover.public), "yes"]) assert.ok(row.includes(part), `${part}: ${row}`);
  }
  await picture(page, "9-handed-over", page.getByRole("table", { name: "Keys that handed over" }));
  await page.setViewportSize({ width: 360, height: 780 });
  await picture(page, "9-handed-over-phone", page.getByRole("table", { name: "Keys that handed over" }));
});

test("a key that was stolen before it handed over in public leads nowhere, and it says why", async (t) => {
  const { page } = await open(t, "handed-over.evidence", "policy-log-key-stolen-before");
  await heading(page, FAILED);
  const said = await page.locator(".verdict").innerText();
  assert.ok(said.includes("does not lead to the one that signs now"), said);
  assert.ok(said.includes("may have been in strangers' hands since"), said);
  const rows = page.getByRole("table", { name: "Keys that handed over" }).locator("tbody tr");
  assert.ok((await rows.first().innerText()).trim().endsWith("no"));
  await picture(page, "9-stolen", page.locator(".verdict"));
});
