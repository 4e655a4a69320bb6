// The keys a person chose, kept in this browser for next time.
//
// Kept keys are what the person chose on an earlier day, nothing else is ever written
// here. Some browsers give pages opened from a disk no storage; then keys live as long
// as the page does, and the page says so.

/** @import { Policy } from "../index.js" */

const NAME = "rlhf-audit-verifier.policies";

/**
 * @typedef {object} Kept
 * @property {Policy[]} policies
 * @property {number | null} inUse which of them counts; null: check with no keys
 */

/** @returns {Kept} */
export function loadPolicies() {
  try {
    return readKept(JSON.parse(localStorage.getItem(NAME) ?? "null"));
  } catch {
    return { policies: [], inUse: null };
  }
}

/**
 * @param {Kept} kept
 * @returns {boolean} whether the browser kept them
 */
export function savePolicies(kept) {
  try {
    if (kept.policies.length === 0) localStorage.removeItem(NAME);
    else localStorage.setItem(NAME, JSON.stringify({ v: 1, ...kept }));
    return true;
  } catch {
    return false;
  }
}

/** Whether this browser lets this page keep anything. */
export function canKeep() {
  try {
    localStorage.setItem(`${NAME}.probe`, "1");
    localStorage.removeItem(`${NAME}.probe`);
    return true;
  } catch {
    return false;
  }
}

/**
 * Believes nothing about what it reads: an older or foreign version may have written it.
 * @param {any} stored
 * @returns {Kept}
 */
function readKept(stored) {
  if (stored?.v !== 1 || !Array.isArray(stored.policies) || !stored.policies.every(isPolicy)) {
    return { policies: [], inUse: null };
  }
  const inUse = Number.isInteger(stored.inUse) && stored.policies[stored.inUse] ? stored.inUse : null;
  return { policies: stored.policies, inUse };
}

/** @param {any} value */
function isPolicy(value) {
  return (
    ["policy", "source", "label", "chosen_on"].every((name) => typeof value?.[name] === "string") &&
    value.source.trim() !== ""
  );
}
