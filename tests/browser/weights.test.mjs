// A model in a person's hands: is it one of those in the log?
//
// With SCREENSHOTS set to a folder, a picture of each state is left there to be looked at.

import assert from "node:assert/strict";
import { mkdir, open as openFile, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { ask, must, workFolder } from "../program.mjs";
import { openBrowser, root, serveFolder } from "./chromium.mjs";

const UNKNOWN = "Consistent with itself; signer unknown";
const FAILED = "Failed: do not rely on this";
const LOGGED = "This model is in the log";
const EARLIER = "This model is in the log, but is not the last one there";
const NOT_LOGGED = "This model is not in the log";
const UNREADABLE = "This model could not be read";
const DISK = pathToFileURL(`${root}pkg/verifier.html`).href;

const { path: folder, remove } = await workFolder();
const file = (/** @type {string} */ name) => join(folder, name);
const weights = (/** @type {string} */ name) => join(folder, "demo/weights", `${name}.safetensors`);
let demo;

before(async () => {
  demo = await must(folder, `demo --no-serve --dir ${file("demo")}`);
  const other = await readFile(weights("step_0"));
  other[other.length - 1] ^= 1;
  await writeFile(weights("other"), other);
});
after(remove);

/** Opens a page with the demo's evidence in it, and closes the browser when the test ends. */
async function open(t, address, options) {
  const browser = await openBrowser(options);
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(address);
  await page.locator("input[type=file]:not([multiple])").first().setInputFiles(demo.evidence);
  await heading(page, UNKNOWN);
  return { ...browser, page };
}

async function serve(t) {
  const server = await serveFolder(root);
  t.after(() => server.close());
  return server.url;
}

const heading = (page, name) => page.getByRole("heading", { name, exact: true }).waitFor({ timeout: 20_000 });
const gone = (page, name) => page.getByRole("heading", { name, exact: true }).waitFor({ state: "detached", timeout: 20_000 });
/** What stands in the verdict about the model, which is read before the panel below. */
const answered = (page) => page.locator(".answers > dt", { hasText: "Is your model" }).locator("xpath=following-sibling::dd[1]").innerText();
const kicker = (page) => page.locator(".verdict .kicker").innerText();
const told = (page, text) => page.locator(".model-panel").getByText(text).waitFor({ timeout: 20_000 });

/** Chooses files with the keyboard, as the button's name says. */
async function choose(page, files, button = /^(Choose \.safetensors files|Check another model)/) {
  const chooser = page.waitForEvent("filechooser");
  const choosing = page.locator(".model-panel").getByRole("button", { name: button });
  await choosing.focus();
  await page.keyboard.press("Enter");
  await (await chooser).setFiles(files);
}

/** Drops files on the page, as a person does from the desktop. */
async function drop(page, ...files) {
  const transfer = await page.evaluateHandle((files) => {
    const transfer = new DataTransfer();
    for (const [name, base64] of files) {
      transfer.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name));
    }
    return transfer;
  }, files.map(([name, bytes]) => [name, Buffer.from(bytes).toString("base64")]));
  await page.dispatchEvent("body", "dragover", { dataTransfer: transfer });
  await page.dispatchEvent("body", "drop", { dataTransfer: transfer });
}

async function picture(page, name, locator) {
  if (!process.env.SCREENSHOTS) return;
  await mkdir(process.env.SCREENSHOTS, { recursive: true });
  const path = join(process.env.SCREENSHOTS, `weights-${name}.png`);
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

/** A safetensors file of tensors `[name, F32 values]`. */
function safetensors(...tensors) {
  let at = 0;
  const header = Object.fromEntries(
    tensors.map(([name, values]) => [name, { dtype: "F32", shape: [values.length], data_offsets: [at, (at += 4 * values.length)] }]),
  );
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, ...tensors.map(([, values]) => Buffer.from(new Float32Array(values).buffer))]);
}

test("from a disk without a network: the logged model is known, others are not", async (t) => {
  const { page, requests, problems } = await open(t, DISK, { offline: true });
  const good = await readFile(weights("epoch_4"));

  const worker = page.waitForEvent("worker");
  await choose(page, weights("epoch_4"));
  await heading(page, LOGGED);
  assert.match((await worker).url(), /^blob:/);
  await told(page, /checkpoint epoch_4 \(entry \d+\)/);
  await heading(page, UNKNOWN);
  assert.equal(await page.evaluate(() => document.querySelector("rlhf-audit-verifier").shadowRoot.activeElement.textContent), LOGGED);
  assert.match(await answered(page), /^Yes, weight for weight\. .*they are the checkpoint epoch_4/);
  assert.equal(await kicker(page), "Verdict on the file demo.evidence, with the model epoch_4.safetensors beside it");
  await picture(page, "1-logged");

  const bit = Uint8Array.from(good);
  bit[bit.length - 1] ^= 1;
  await drop(page, ["epoch_4.safetensors", bit]);
  await heading(page, NOT_LOGGED);
  await heading(page, FAILED);
  assert.match(await answered(page), /^No, it is not in this record\. .*The verdict is “Failed” because of this model/s);
  await picture(page, "2-one-bit");

  await page.getByRole("button", { name: "Remove this model" }).click();
  await heading(page, UNKNOWN);
  await gone(page, NOT_LOGGED);
  assert.equal(await kicker(page), "Verdict on the file demo.evidence");
  assert.equal(await page.locator(".answers > dt", { hasText: "Is your model" }).count(), 0);

  const renamed = Buffer.from(good);
  renamed.write("bigram.lOgits", renamed.indexOf("bigram.logits"));
  await drop(page, ["epoch_4.safetensors", renamed]);
  await heading(page, NOT_LOGGED);
  await heading(page, FAILED);

  // The file of another epoch is in the log, and must not pass for the final model.
  await choose(page, weights("epoch_3"));
  await heading(page, EARLIER);
  await told(page, /checkpoint epoch_3 \(entry \d+\).*but NOT the last weights in this log: those are the checkpoint epoch_4 \(entry \d+\)/);
  await gone(page, LOGGED);
  await heading(page, UNKNOWN);
  assert.match(await answered(page), /^No, an earlier one\. .*The verdict is on the record and does not speak for this model\.$/s);
  await picture(page, "3-earlier");
  await picture(page, "3-earlier-panel", page.locator(".model-panel"));

  // Where the training began: the first update names these weights as well.
  await choose(page, weights("step_0"));
  await told(page, /what an update started from \(entry \d+\)/);
  await heading(page, EARLIER);

  assert.deepEqual(requests.filter((address) => !address.startsWith("blob:")), [DISK]);
  assert.deepEqual(problems, []);
});

test("drift is from the producer’s sketches until both models are here", async (t) => {
  const { context, page } = await open(t, DISK);
  const drift = page.locator(".how-far");
  const producers = /from the producer’s sketch$/;
  await drift.getByRole("cell", { name: producers }).first().waitFor();
  const rows = await drift.getByRole("row").count();
  assert.equal(rows, 6, "a head, what the run started from, and four epochs");
  assert.match(await drift.locator("output").innerText(), producers);
  await picture(page, "4-drift", drift);

  for (const name of ["step_0", "epoch_4"]) {
    await choose(page, weights(name));
    await told(page, /Computed again from the weights, and the same/);
  }
  const output = drift.locator("output");
  assert.match(await output.innerText(), /computed again from the weights you hold$/);
  const { json } = await ask(folder, "digest", weights("epoch_4"), "--against", weights("step_0"));
  assert.equal(Number.parseFloat(await output.innerText()), Number(json.sketch_delta_l2.toPrecision(4)));
  const { json: report } = await ask(folder, "verify", demo.evidence, "--weights", weights("step_0"), "--weights", weights("epoch_4"));
  assert.deepEqual(report.drift.map((state) => state.rederived), [true, false, false, false, true]);
  assert.deepEqual(await faults(context, page), []);

  await drift.getByLabel("One state of the weights").selectOption({ index: 1 });
  assert.match(await output.innerText(), producers);
  await picture(page, "5-drift", drift);
});

test("the program says the same of each model", async (t) => {
  const { page } = await open(t, DISK);
  for (const name of ["epoch_4", "step_5", "step_0", "other"]) {
    const { json } = await ask(folder, "verify", demo.evidence, "--weights", weights(name));
    const said = json.checks.find((check) => check.name === "weights");
    await choose(page, weights(name));
    await told(page, `${name}.safetensors`);
    const report = await page.evaluate(() => document.querySelector("rlhf-audit-verifier").report);
    assert.deepEqual(report.checks.find((check) => check.name === "weights"), said);
    assert.equal(report.verdict, json.verdict);
  }
});

test("a file that is no model leaves the verdict alone", async (t) => {
  const { page, problems } = await open(t, DISK, { offline: true });
  const good = await readFile(weights("epoch_4"));
  const lying = Buffer.from(good);
  lying.write("[0,262148]", lying.indexOf("[0,262144]"));
  for (const [name, bytes, text] of [
    ["letter.safetensors", Buffer.from("Dear auditor, here is the model.\n"), /^letter\.safetensors: not a safetensors file/],
    ["empty.safetensors", Buffer.alloc(0), /^empty\.safetensors: not a safetensors file/],
    ["pytorch_model.bin", Buffer.from("PK\u0003\u0004 and so on, as torch.save writes it"), /pickled PyTorch checkpoint.*convert it/],
    ["lying.safetensors", lying, /^lying\.safetensors: tensor `bigram\.logits`/],
    ["short.safetensors", good.subarray(0, -4), /^short\.safetensors: /],
    ["model-00001-of-00003.safetensors", good, /1 of the 3 parts/],
    ["model.safetensors.index.json", Buffer.from("{}"), /only the list of the model’s parts/],
  ]) {
    await drop(page, [name, bytes]);
    await told(page, text);
    await heading(page, UNREADABLE);
    await heading(page, UNKNOWN);
  }
  await picture(page, "3-unreadable", page.locator(".model-panel"));
  // After a model that is not in the log, too.
  await choose(page, weights("other"));
  await heading(page, FAILED);
  await drop(page, ["letter.safetensors", Buffer.from("Dear auditor")]);
  await heading(page, UNREADABLE);
  await heading(page, UNKNOWN);
  assert.deepEqual(problems, []);
});

test("a file that changes after it was chosen is told by name", async (t) => {
  const { page, problems } = await open(t, DISK);
  const changing = file("changing.safetensors");
  await writeFile(changing, await readFile(weights("epoch_4")));
  await page.evaluate(() => {
    const input = Object.assign(document.createElement("input"), { type: "file", id: "held" });
    document.body.append(input);
  });
  await page.locator("#held").setInputFiles(changing);
  // The browser notes how a file is when it is first asked about it.
  await page.evaluate(() => document.querySelector("#held").files[0].size);
  await writeFile(changing, (await readFile(weights("epoch_3"))).subarray(1));
  await page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(document.querySelector("#held").files[0]);
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
  });
  await heading(page, UNREADABLE);
  await told(page, /^changing\.safetensors: the browser cannot read it; it was changed, moved or removed after you chose it\. Choose it again when nothing writes to it/);
  await heading(page, UNKNOWN);
  await picture(page, "3-changing", page.locator(".model-panel"));
  assert.deepEqual(problems, []);
});

test("a model in parts, in any order, has the root of the whole", async (t) => {
  const { page } = await open(t, DISK);
  const first = ["a", [1, 2, 3]];
  const second = ["b", [4]];
  await writeFile(file("whole.safetensors"), safetensors(first, second));
  const { json } = await ask(folder, "digest", "whole.safetensors");
  await drop(
    page,
    ["m-00002-of-00002.safetensors", safetensors(second)],
    ["m-00001-of-00002.safetensors", safetensors(first)],
    ["m.safetensors.index.json", Buffer.from("{}")],
  );
  await heading(page, NOT_LOGGED);
  await told(page, json.root);
});

test("reading a large model shows how far it is, and can be cancelled", async (t) => {
  const size = 3_000_000_000;
  const header = Buffer.from(JSON.stringify({ w: { dtype: "U8", shape: [size], data_offsets: [0, size] } }));
  const large = await openFile(file("large.safetensors"), "w");
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  await large.write(Buffer.concat([length, header]));
  await large.truncate(8 + header.length + size); // Sparse: it takes no room.
  await large.close();

  const { page, problems } = await open(t, DISK, { offline: true });
  const begun = page.waitForEvent("worker");
  await choose(page, file("large.safetensors"));
  const worker = await begun;
  const bar = page.getByRole("progressbar", { name: "Reading the model" });
  await page.waitForFunction(() => document.querySelector("rlhf-audit-verifier").shadowRoot.querySelector("progress")?.value > 0.01);
  assert.ok((await bar.evaluate((bar) => bar.value)) < 1);
  assert.deepEqual(page.workers(), [worker], "the worker reads, not the page");
  await picture(page, "4-reading", page.locator(".model-panel"));
  const ended = new Promise((done) => worker.on("close", done));
  await page.getByRole("button", { name: "Cancel" }).click();
  await ended;
  await bar.waitFor({ state: "detached" });
  await heading(page, UNKNOWN);
  await choose(page, weights("epoch_4"));
  await heading(page, LOGGED);
  assert.deepEqual(problems, []);
});

test("where no worker may be started, the page reads the model itself", async (t) => {
  const address = `${await serve(t)}/pkg/verifier.html`;
  const browser = await openBrowser();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.route(address, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, headers: { ...response.headers(), "content-security-policy": "worker-src 'none'" } });
  });
  await page.goto(address);
  await drop(page, ["demo.evidence", await readFile(demo.evidence)]);
  await heading(page, UNKNOWN);
  await choose(page, weights("epoch_4"));
  await heading(page, LOGGED);
  assert.deepEqual(page.workers(), []);
  await drop(page, ["letter.safetensors", Buffer.from("Dear auditor, here is the model.\n")]);
  await told(page, /^letter\.safetensors: not a safetensors file/);
});

test("the same sources run unbundled, in a worker", async (t) => {
  const { page, problems } = await open(t, `${await serve(t)}/www/index.html`);
  const worker = page.waitForEvent("worker");
  await choose(page, weights("epoch_4"));
  await heading(page, LOGGED);
  assert.match((await worker).url(), /\/pkg\/weights\/worker\.js$/);
  assert.deepEqual(problems, []);
});

test("a model comes after the evidence, or together with it", async (t) => {
  const browser = await openBrowser();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(DISK);
  const model = ["epoch_4.safetensors", await readFile(weights("epoch_4"))];
  await drop(page, model);
  await page.getByText("Open the evidence file first").first().waitFor();
  await drop(page, model, ["demo.evidence", await readFile(demo.evidence)]);
  await heading(page, LOGGED);
  // Other evidence is another question.
  await drop(page, ["demo.evidence", await readFile(demo.evidence)]);
  await gone(page, LOGGED);
  await heading(page, UNKNOWN);
});

test("drift and metrics are drawn, and the same numbers stand in a table", async (t) => {
  const { context, page, problems } = await open(t, DISK, { offline: true });
  await page.getByRole("img", { name: /^Drift at each update, by the producer’s norms, a line chart of 12 points/ }).waitFor();
  for (const title of ["loss at each update", "loss at each checkpoint", "accuracy at each checkpoint"]) {
    const chart = page.locator("figure", { hasText: `${title}, as the producer measured it` });
    assert.ok(await chart.locator("canvas").evaluate((canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return data.some((byte) => byte !== 0);
    }), `${title} is blank`);
  }
  const table = page.getByRole("table", { name: /^Updates and checkpoints/ });
  const { json } = await ask(folder, "verify", demo.evidence);

  // Each chart has its own numbers, one key away.
  const drift = page.locator("figure", { hasText: "Drift at each update" });
  await drift.locator("summary").focus();
  await page.keyboard.press("Enter");
  const own = drift.getByRole("table", { name: /^Drift at each update/ });
  // Rows are made when a table is opened.
  await own.locator("tbody tr").first().waitFor();
  const moved = json.weights.filter((event) => event.delta_l2 !== null).map((event) => `${event.step}\t${event.delta_l2}`);
  assert.deepEqual(await own.locator("tbody tr").evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent).join("\t"))), moved);
  assert.equal(await table.getByRole("row").count(), json.weights.length + 1);
  const text = await table.innerText();
  for (const { delta_l2, metrics, root } of json.weights) {
    for (const number of [delta_l2, ...Object.values(metrics), root]) assert.ok(number === null || text.includes(String(number)), number);
  }
  await picture(page, "5-charts", page.locator("section", { has: table }));
  await table.getByRole("button", { name: "Entry 2", exact: true }).first().click();
  await page.getByRole("heading", { name: "Log entry 2" }).waitFor();
  await page.keyboard.press("Escape");
  assert.deepEqual(await faults(context, page), []);
  assert.deepEqual(problems, []);
});

test("dark, on a phone, on paper", async (t) => {
  const { context, page } = await open(t, DISK, { viewport: { width: 320, height: 700 } });
  await choose(page, weights("other"));
  await heading(page, NOT_LOGGED);
  assert.deepEqual(await faults(context, page), []);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${overflow} pixels too wide`);
  await picture(page, "6-phone");
  await page.emulateMedia({ colorScheme: "dark" });
  assert.deepEqual(await faults(context, page), []);
  await picture(page, "7-phone-dark");

  await page.setViewportSize({ width: 1200, height: 900 });
  await picture(page, "8-dark");
  const pdf = await page.pdf({ preferCSSPageSize: true });
  if (process.env.SCREENSHOTS) await writeFile(join(process.env.SCREENSHOTS, "weights-9-paper.pdf"), pdf);
});

test("a long list shows its beginning, and all of it when asked", async (t) => {
  await must(folder, "init long --model tiny --origin log.example/long");
  for (let i = 0; i < 60; i += 1) {
    const [base, next] = i % 2 === 0 ? ["step_0", "step_1"] : ["step_1", "step_0"];
    await must(folder, `log update long --base ${weights(base)} --next ${weights(next)}`);
  }
  await must(folder, "run end long");
  await must(folder, "evidence long -o long.evidence");
  const { page, problems } = await open(t, DISK);
  await drop(page, ["long.evidence", await readFile(file("long.evidence"))]);
  // None of them says its step.
  await page.getByRole("img", { name: /^Drift at each update, by the producer’s norms, a line chart of 60 points/ }).waitFor();
  const rows = page.getByRole("table", { name: /^Updates and checkpoints/ }).getByRole("row");
  assert.equal(await rows.count(), 51);
  await page.getByRole("button", { name: "Show all 60" }).click();
  assert.equal(await rows.count(), 61);
  assert.deepEqual(problems, []);
});
