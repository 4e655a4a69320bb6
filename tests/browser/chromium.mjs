// A browser for tests: Chromium with nothing remembered, and a server for the files it may load.

import { execFileSync } from "node:child_process";
import { createReadStream } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

/** The checkout. */
export const root = fileURLToPath(new URL("../../", import.meta.url));

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const MIME_TYPES = {
  ".css": "text/css; charset=utf-8",
  ".evidence": "application/octet-stream",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".mjs": "text/javascript; charset=utf-8",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
};

/**
 * Starts Chromium with a profile of its own, which goes when it is closed.
 *
 * `requests` are the addresses that its pages asked for, `problems` what they wrote to the console
 * as an error or threw: both for a test to look at.
 *
 * @param {{ offline?: boolean, viewport?: { width: number, height: number } }} [options]
 */
export async function openBrowser({ offline = false, viewport = { width: 1200, height: 900 } } = {}) {
  const profile = await mkdtemp(join(tmpdir(), "rlhf-audit-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? installedChromium(),
    headless: true,
    args: FLAGS,
    viewport,
  });
  await context.setOffline(offline);

  /** @type {string[]} */
  const requests = [];
  /** @type {string[]} */
  const problems = [];
  context.on("request", (request) => requests.push(request.url()));
  context.on("console", (message) => {
    if (message.type() === "error") problems.push(message.text());
  });
  context.on("weberror", (error) => problems.push(String(error.error())));

  return {
    context,
    requests,
    problems,
    newPage: () => context.newPage(),
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}

/**
 * Serves the files of a folder on this machine, at a port that was free. `requests` are the paths
 * that were asked for: what reached the server, whatever a browser says it sent.
 *
 * @param {string} [folder]
 */
export async function serveFolder(folder = root) {
  /** @type {string[]} */
  const requests = [];
  const server = createServer(async (request, response) => {
    requests.push(request.url ?? "");
    const path = normalize(decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname));
    const file = join(folder, path.endsWith("/") ? `${path}index.html` : path);
    const found = await stat(file).catch(() => null);
    if (!found?.isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, {
      "content-type": MIME_TYPES[extname(file)] ?? "application/octet-stream",
      "content-length": found.size,
    });
    createReadStream(file).pipe(response);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    requests,
    url: `http://127.0.0.1:${server.address().port}`,
    close: () => new Promise((closed) => server.close(closed).closeAllConnections()),
  };
}

function installedChromium() {
  for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
    try {
      return execFileSync("which", [name], { encoding: "utf8" }).trim();
    } catch {
      // Not under this name.
    }
  }
  throw new Error("no Chromium found; run `cargo xtask toolchain`, or set CHROMIUM to its path");
}
