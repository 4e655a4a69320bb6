// verifier.html is one file that needs nothing else, and reaches nothing else.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { openBrowser, root, serveFolder } from "./chromium.mjs";

const FOREIGN = { name: "letter.pdf", mimeType: "application/pdf", buffer: Buffer.from("%PDF-1.7\nno evidence\n") };

/** Opens a page of the project, and closes everything when the test ends. */
async function open(test, address, options) {
  const browser = await openBrowser(options);
  test.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(address);
  return { ...browser, page };
}

async function serve(test) {
  const server = await serveFolder(root);
  test.after(() => server.close());
  return server;
}

/** Gives the page a file as a person would, and waits for its answer. */
async function choose(page, file) {
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: "Choose an evidence file" }).click();
  await (await chooser).setFiles(file);
  await page.getByRole("heading", { name: "could not be read as evidence" }).waitFor();
}

test("opened from disk without a network, it checks a file and asks for nothing", async (t) => {
  const address = pathToFileURL(`${root}pkg/verifier.html`).href;
  const { page, requests, problems } = await open(t, address, { offline: true });
  await choose(page, FOREIGN);
  assert.deepEqual(requests, [address]);
  assert.deepEqual(problems, []);
});

test("served, it asks its server for nothing but itself", async (t) => {
  const server = await serve(t);
  const { page, requests, problems } = await open(t, `${server.url}/pkg/verifier.html`);
  await choose(page, FOREIGN);
  assert.deepEqual(requests, [`${server.url}/pkg/verifier.html`]);
  assert.deepEqual(server.requests, ["/pkg/verifier.html"]);
  assert.deepEqual(problems, []);
});

test("the same sources run unbundled", async (t) => {
  const server = await serve(t);
  const { page, problems } = await open(t, `${server.url}/www/index.html`);
  await choose(page, FOREIGN);
  assert.ok(server.requests.includes("/pkg/wasm/verifier_bg.wasm"));
  assert.deepEqual(problems, []);
});

test("its policy keeps foreign code and other places out", async (t) => {
  const server = await serve(t);
  const elsewhere = await serve(t);
  const { page } = await open(t, `${server.url}/pkg/verifier.html`);

  const outcome = await page.evaluate(async (elsewhere) => {
    // The debugger may evaluate text whatever the policy; a later task is an ordinary one.
    await new Promise((later) => setTimeout(later));
    const script = document.createElement("script");
    const attempts = {
      text: () => (script.text = "globalThis.planted = true"),
      markup: () => (document.body.innerHTML = "<img src=x onerror='globalThis.planted = true'>"),
      evaluation: () => eval("globalThis.planted = true"),
      module: () => import(`${elsewhere}/www/page.js`),
      request: () => fetch(`${elsewhere}/pkg/package.json`),
    };
    const outcome = {};
    for (const [name, attempt] of Object.entries(attempts)) {
      outcome[name] = await Promise.try(attempt).then(() => "allowed", () => "refused");
    }
    const image = new Image();
    image.src = `${elsewhere}/image.png`;
    outcome.image = await new Promise((answer) => {
      image.onload = () => answer("allowed");
      image.onerror = () => answer("refused");
    });
    return { ...outcome, planted: "planted" in globalThis };
  }, elsewhere.url);

  assert.deepEqual(outcome, {
    text: "refused",
    markup: "refused",
    evaluation: "refused",
    module: "refused",
    request: "refused",
    image: "refused",
    planted: false,
  });
  assert.deepEqual(elsewhere.requests, []);
});

test("an auditor finds every source in the file as it was written", async () => {
  const page = await readFile(`${root}pkg/verifier.html`, "utf8");
  for (const path of ["www/page.js", "pkg/element.js", "pkg/index.js"]) {
    const source = await readFile(`${root}${path}`, "utf8");
    const body = source.slice(source.indexOf("\n\n", source.lastIndexOf("\nimport "))).replaceAll(/^export /gm, "");
    assert.ok(page.includes(body), `${path} is not in the page`);
  }
});

test("it has no accessibility fault that axe knows", async (t) => {
  const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
  const { context, page } = await open(t, `${(await serve(t)).url}/pkg/verifier.html`);
  await choose(page, FOREIGN);
  // The page's own policy refuses axe, so axe runs from the debugger.
  const session = await context.newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: await readFile(axe, "utf8"), allowUnsafeEvalBlockedByCSP: true });
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]), []);
});
