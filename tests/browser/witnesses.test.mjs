// Who cosigned the newest head, and when, stands on the page.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { openBrowser, root } from "./chromium.mjs";

const vectors = `${root}transparency/vectors/`;
const { policy } = JSON.parse(await readFile(`${vectors}evidence.json`, "utf8")).policies.witnessed;

/** Gives an evidence file of the vectors and the policy to the page; the row of the policy's witness. */
async function rowOfWitness(t, file) {
  const browser = await openBrowser({ offline: true });
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(pathToFileURL(`${root}pkg/verifier.html`).href);
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: "Choose an evidence file" }).click();
  await (await chooser).setFiles(`${vectors}evidence/${file}.evidence`);
  await page.getByText("Add keys", { exact: true }).click();
  await page.getByLabel("Paste the producer’s verifier key, or a policy").fill(policy);
  await page.getByLabel("Where do these keys come from?").fill("the test vectors");
  await page.getByRole("button", { name: "Use these keys" }).click();
  const row = page.getByRole("row").filter({ hasText: "witness.example+4ea80851" });
  const words = await row.getByRole("cell").allTextContents();
  assert.deepEqual(browser.problems, []);
  return { page, words };
}

test("a witness stands with the time of its cosignature", async (t) => {
  const { page, words } = await rowOfWitness(t, "cosigned");
  await page.getByText("Your policy is met.").waitFor();
  assert.deepEqual(words, ["W", "witness.example+4ea80851", "2023-11-14 22:15:00 UTC"]);
});

test("one that did not cosign stands as such, and the policy is not met", async (t) => {
  const { page, words } = await rowOfWitness(t, "no-card");
  await page.getByText("Your policy is not met.").waitFor();
  assert.deepEqual(words, ["W", "witness.example+4ea80851", "no"]);
});
