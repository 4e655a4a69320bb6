// How long a person waits between dropping an evidence file on the page and reading the verdict:
// 2,312 preference pairs, in Chromium, with the CPU as it is and throttled four times.
//
//   node benches/drop-to-verdict.mjs [RUNS]
//
// See README.md for what it needs. Figures are printed; nothing is asserted but the verdict itself.

import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { openBrowser, root } from "../tests/browser/chromium.mjs";
import { must, workFolder } from "../tests/program.mjs";

const RUNS = Number(process.argv[2] ?? 9);
const PAIRS = 2312;
const REAL = `${root}../shared/data/hh-rlhf-harmless-test.jsonl.gz`;

const { path: folder, remove } = await workFolder();
const browser = await openBrowser({ offline: true });
try {
  const evidence = await makeEvidence();
  const version = browser.context.browser()?.version() ?? "of unknown version";
  console.log(`${evidence.length} bytes of evidence; Chromium ${version}; ${cpus().length} × ${cpus()[0].model}; ${RUNS} runs`);
  for (const rate of [1, 4]) {
    const first = [];
    const again = [];
    for (let run = 0; run < RUNS; run += 1) {
      const times = await dropTwice(evidence, rate);
      first.push(times[0]);
      again.push(times[1]);
    }
    console.log(`CPU ${rate === 1 ? "as it is      " : `throttled ${rate} ×`}   first file ${summary(first)}   next file ${summary(again)}`);
  }
} finally {
  await browser.close();
  await remove();
}

/** Evidence for the real pairs where they are, otherwise for as many made ones: texts are not in it either way. */
async function makeEvidence() {
  let annotations = REAL;
  if (!existsSync(REAL)) {
    annotations = join(folder, "made.jsonl");
    const line = (_, i) => JSON.stringify({ chosen: `good ${i}`, rejected: `bad ${i}` });
    await writeFile(annotations, Array.from({ length: PAIRS }, line).join("\n"));
    console.log("made pairs, since the real ones are not in ../shared/data");
  }
  await must(folder, "init log --model bench");
  await must(folder, `log annotations log ${annotations}`);
  await must(folder, "run end log");
  await must(folder, "evidence log -o bench.evidence");
  return readFile(join(folder, "bench.evidence"));
}

/** A fresh page, on which the file is dropped twice: the first time the module is loaded as well. */
async function dropTwice(evidence, rate) {
  const page = await browser.newPage();
  await page.goto(pathToFileURL(`${root}pkg/verifier.html`).href);
  const session = await browser.context.newCDPSession(page);
  await session.send("Emulation.setCPUThrottlingRate", { rate });
  const transfer = await page.evaluateHandle((base64) => {
    const transfer = new DataTransfer();
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    transfer.items.add(new File([bytes], "bench.evidence"));
    return transfer;
  }, evidence.toString("base64"));
  const times = [];
  for (let drop = 0; drop < 2; drop += 1) times.push(await page.evaluate(timeOneDrop, transfer));
  await page.close();
  return times;
}

/** In the page: milliseconds from the drop until the verdict is on the screen. */
function timeOneDrop(dataTransfer) {
  return new Promise((resolve, reject) => {
    const verifier = document.querySelector("rlhf-audit-verifier");
    const start = performance.now();
    // One frame to draw the verdict, and the task after it, when it has been drawn.
    const shown = () => requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - start)));
    verifier.addEventListener("verified", shown, { once: true });
    verifier.addEventListener("failed", () => reject(new Error("the verdict is `failed`")), { once: true });
    verifier.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
  });
}

function summary(times) {
  const sorted = times.toSorted((a, b) => a - b);
  const ms = (time) => `${Math.round(time)} ms`;
  return `median ${ms(sorted[Math.floor(sorted.length / 2)])} (${ms(sorted[0])} to ${ms(sorted.at(-1))})`;
}
