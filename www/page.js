// The verifier page: takes files dropped anywhere and the addresses in its own address.

import "../pkg/element.js";

const verifier = /** @type {import("../pkg/element.js").RlhfAuditVerifier} */ (
  document.querySelector("rlhf-audit-verifier")
);
const title = document.title;

// Files dropped anywhere. The verifier takes those dropped on itself.
addEventListener("dragover", (event) => {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) document.body.classList.remove("dropping");
});
addEventListener("drop", () => document.body.classList.remove("dropping"), { capture: true });
addEventListener("drop", (event) => {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  verifier.openDropped([...event.dataTransfer.files]);
});

// The title names the verdict, for the tab and for the printed file.
verifier.addEventListener("verified", (event) => name(event.detail.verdict_text));
verifier.addEventListener("failed", (event) => {
  name("verdict_text" in event.detail ? event.detail.verdict_text : "No verdict");
});
verifier.addEventListener("reset", () => {
  document.title = title;
  document.body.classList.remove("answered");
});

/** @param {string} verdict */
function name(verdict) {
  document.body.classList.add("answered");
  document.title = [verdict, verifier.fileName, title].filter(Boolean).join(" · ");
}

// ?evidence=ADDRESS is verified; ?policy=ADDRESS is only proposed, and the person decides.
const asked = new URLSearchParams(location.search);
const evidence = asked.get("evidence");
const policy = asked.get("policy");
if (evidence) {
  const refusal = whyNotFetch(evidence);
  if (refusal) verifier.refuse(refusal);
  else verifier.setAttribute("src", evidence);
}
if (policy && !whyNotFetch(policy)) verifier.setAttribute("policy", policy);

/**
 * This page fetches from the place it came from and from nowhere else.
 * @param {string} address
 * @returns {string | null} why it cannot be fetched
 */
function whyNotFetch(address) {
  if (location.protocol === "file:") {
    return "This page was opened from a disk, so it fetches nothing. Drop the file here, or start over and choose it.";
  }
  if (!URL.canParse(address, location.href)) return "The address after “evidence=” is not an address.";
  const url = new URL(address, location.href);
  if (url.origin === location.origin) return null;
  return `This page fetches files only from ${location.host}, where it came from, not from ${url.host || address}. Save the file, then drop it here.`;
}
