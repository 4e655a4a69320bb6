// The verifier for those who bring their own page: bytes in, report out.
//
// All checking is done by the WebAssembly module beside this file; it has no access to the network,
// the page or a clock. This file finds the module, and turns its JSON into objects.

import init, {
  __wbg_reset_state as startAfresh,
  check_policy as wasmCheckPolicy,
  describe_keys as wasmDescribeKeys,
  entry as wasmEntry,
  verify as wasmVerify,
} from "./wasm/verifier.js";

/** @import * as Api from "./index.d.ts" */

/** The input is not an evidence file at all: foreign, or cut short. */
export class UnreadableEvidence extends Error {
  name = "UnreadableEvidence";
}

/** The policy is none: not the file is at fault. */
export class UnusablePolicy extends Error {
  name = "UnusablePolicy";
}

/** @type {Promise<void> | undefined} */
let loading;

/**
 * Loads the WebAssembly module. The other functions call this themselves; call it first to load
 * early, or to say where the module is.
 *
 * @type {typeof Api.load}
 */
export function load(source) {
  loading ??= start(source).catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

/** @type {typeof Api.verify} */
export async function verify(bytes, policy = null) {
  await load();
  const chosen = policy === null ? undefined : JSON.stringify(policy);
  if (chosen !== undefined) call(UnusablePolicy, () => wasmCheckPolicy(chosen));
  return JSON.parse(call(UnreadableEvidence, () => wasmVerify(bytes, chosen)));
}

/** @type {typeof Api.describeKeys} */
export async function describeKeys(policy) {
  await load();
  return JSON.parse(call(Error, () => wasmDescribeKeys(policy)));
}

/** @type {typeof Api.entry} */
export async function entry(bytes, index) {
  await load();
  return JSON.parse(call(Error, () => wasmEntry(bytes, index)));
}

/** @param {Api.WasmSource} [source] */
async function start(source) {
  await init({ module_or_path: source ?? inlined() ?? new URL("./wasm/verifier_bg.wasm", import.meta.url) });
}

/** The module as the one-file page carries it. */
function inlined() {
  const element = globalThis.document?.getElementById("rlhf-audit-wasm");
  if (!element) return undefined;
  return Uint8Array.from(atob(element.textContent ?? ""), (character) => character.charCodeAt(0));
}

/**
 * Calls into the module. What it refuses comes out as `Refusal` with its sentence. Anything else is
 * a bug in the module, which is then in no state to go on: it starts afresh.
 *
 * @template T
 * @param {new (message: string) => Error} Refusal
 * @param {() => T} run
 */
function call(Refusal, run) {
  try {
    return run();
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) {
      startAfresh();
      throw new Error("The verifier stopped on this input; that is a bug in the verifier, and no verdict.", {
        cause: error,
      });
    }
    throw new Refusal(error instanceof Error ? error.message : String(error));
  }
}
