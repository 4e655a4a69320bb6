// The command line program, for tests in JavaScript.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Its path: what `cargo xtask test` built, otherwise what the last `cargo build` left. */
export const program = process.env.RLHF_AUDIT ?? fileURLToPath(new URL("../target/debug/rlhf-audit", import.meta.url));

/** A folder for one test file, which goes when `test.after` says so. */
export async function workFolder() {
  if (!existsSync(program)) throw new Error(`there is no ${program}; run \`cargo build\`, or set RLHF_AUDIT`);
  const path = await mkdtemp(join(tmpdir(), "rlhf-audit-test-"));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/**
 * Runs it with `--json` in a folder. What it refuses is an answer as well.
 *
 * @param {string} folder
 * @param {...(string | number)} words
 * @returns {Promise<{ status: number, json: any, error: string }>}
 */
export function ask(folder, ...words) {
  return new Promise((resolve, reject) => {
    const options = { cwd: folder, maxBuffer: 1 << 28 };
    execFile(program, [...words.map(String), "--json"], options, (failure, stdout, stderr) => {
      if (failure && typeof failure.code !== "number") return reject(failure);
      const status = failure?.code ?? 0;
      resolve({ status, json: stdout === "" ? null : JSON.parse(stdout), error: stderr });
    });
  });
}

/**
 * Runs it as `ask` does; it must do its work. `words` are separated by spaces.
 *
 * @param {string} folder
 * @param {string} words
 */
export async function must(folder, words) {
  const { status, json, error } = await ask(folder, ...words.split(" "));
  if (status !== 0) throw new Error(`rlhf-audit ${words}: status ${status}: ${error}`);
  return json;
}
