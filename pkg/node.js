// The same for Node, which cannot fetch a file beside it.

import { readFile } from "node:fs/promises";

import { load } from "./index.js";

await load(readFile(new URL("./wasm/verifier_bg.wasm", import.meta.url)));

export * from "./index.js";
