// `node sigstore.mjs BUNDLE PUBLIC_KEY TRUSTED_ROOT`: Sigstore's own client checks a bundle, offline. It
// must hold a DSSE signature by the key (PEM), an entry in a log of the trusted root and a time stamp by
// one of its authorities. Exit status 0, or 1 with the reason.

import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { bundleFromJSON } from "@sigstore/bundle";
import { PublicKeyDetails, TrustedRoot } from "@sigstore/protobuf-specs";
import { toSignedEntity, toTrustMaterial, Verifier } from "@sigstore/verify";

const [bundle, key, root] = process.argv.slice(2).map((file) => readFileSync(file, "utf8"));
const entity = bundleFromJSON(JSON.parse(bundle));
// The hint in the bundle says which key it means; here there is only one, whatever the hint.
const hint = entity.verificationMaterial.content.publicKey?.hint ?? "";
const publicKey = {
  rawBytes: createPublicKey(key).export({ format: "der", type: "spki" }),
  keyDetails: PublicKeyDetails.PKIX_ECDSA_P256_SHA_256,
};
const trust = toTrustMaterial(TrustedRoot.fromJSON(JSON.parse(root)), { [hint]: publicKey });
const thresholds = { tlogThreshold: 1, ctlogThreshold: 0, timestampThreshold: 1 };
try {
  new Verifier(trust, thresholds).verify(toSignedEntity(entity));
  console.log("verified");
} catch (error) {
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
}
