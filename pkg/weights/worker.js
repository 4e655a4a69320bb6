// What the worker runs: it says that it is there, takes one job, and answers.

import { initSync } from "../wasm/verifier.js";
import { digestFiles } from "./digest.js";

/** @import { Answer, Job } from "./in-worker.js" */

/** @param {Answer} message */
function answer(message) {
  postMessage(message);
}

addEventListener("message", async (/** @type {MessageEvent<Job>} */ { data: { module, files } }) => {
  try {
    initSync({ module });
    answer({ result: await digestFiles(files, (done) => answer({ done })) });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    answer(error instanceof WebAssembly.RuntimeError ? { broken: message } : { refused: message });
  }
});

answer({ ready: true });
