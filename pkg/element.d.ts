import type { Report } from "./index.js";

/** Detail of the events `verified` and `failed`. */
export type VerifierEventDetail = Report | { error: Error };

/**
 * `<rlhf-audit-verifier src policy>`: verifies an evidence file and shows the report.
 * Importing this module defines the element.
 */
export class RlhfAuditVerifier extends HTMLElement {
  /** The report of the file now shown, or null. */
  readonly report: Report | null;
  /** Name of the file now shown, or null. */
  readonly fileName: string | null;
  /** Verifies a file that the person gave to the page. */
  open(file: File): Promise<void>;
  /** Takes what the person dropped: an evidence file, files of a policy, or a model. */
  openDropped(files: File[]): Promise<void>;
  /** Says that something asked for could not be done. */
  refuse(text: string): void;
  /** Forgets the file. The chosen keys stay. */
  reset(): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "rlhf-audit-verifier": RlhfAuditVerifier;
  }
  interface HTMLElementEventMap {
    verified: CustomEvent<Report>;
    failed: CustomEvent<VerifierEventDetail>;
  }
}
