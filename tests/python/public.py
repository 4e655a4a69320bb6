"""What makes a head public, in the hands of a test: a log of the form of Rekor v2, whose key is here, and a
time-stamping authority by `openssl ts`. So logs that no producer would write are published like others."""

import json
import subprocess
from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from formats import anchor, note, tree

NAME = "public.localhost"
OPEN = {"start": "2020-01-01T00:00:00Z"}
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
SECTION = """[stamps]
serial = serial
crypto_device = builtin
signer_cert = leaf.pem
signer_key = leaf.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.57264.2
digests = sha256
ess_cert_id_alg = sha256
"""


def base64(data):
    return b64encode(data).decode()


def plainly(value):
    """RFC 8785 of what has ASCII names and integers alone."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class Authority:
    """Stamps with its own clock."""

    def __init__(self, folder):
        self.folder = folder
        root_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        root = certificate("root", root_key, "root", root_key)
        leaf = certificate("leaf", leaf_key, "root", root_key)
        self.chain = [one.public_bytes(DER) for one in (leaf, root)]
        (folder / "leaf.pem").write_bytes(leaf.public_bytes(PEM))
        pkcs8, bare = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (folder / "leaf.key").write_bytes(leaf_key.private_bytes(PEM, pkcs8, bare))
        (folder / "stamps.cnf").write_text(SECTION)
        (folder / "serial").write_text("01\n")

    def stamp(self, data):
        (self.folder / "data").write_bytes(data)
        query = ["-query", "-data", "data", "-sha256", "-cert", "-out", "query"]
        reply = ["-reply", "-config", "stamps.cnf", "-section", "stamps"]
        for arguments in (query, [*reply, "-queryfile", "query", "-out", "reply"]):
            command = ["openssl", "ts", *arguments]
            subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
        return (self.folder / "reply").read_bytes()


def certificate(name, key, issuer, issuer_key):
    def named(name):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Test stamps, {name}")])

    is_root = name == issuer
    usage = {
        "digital_signature": not is_root,
        "key_cert_sign": is_root,
        "crl_sign": is_root,
    } | dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2049, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
    )
    if not is_root:
        stamping = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        builder = builder.add_extension(stamping, critical=True)
    for extension in (
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
    ):
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


class PublicLog:
    def __init__(self, seed, authority):
        self.key, self.authority = note.SigningKey(NAME, seed), authority
        vkey = self.key.vkey
        self.id = sha256(f"{NAME}\n".encode() + bytes([note.ED25519]) + vkey.public).digest()
        self.leaves = []

    def enter(self, payload, publisher, timed=True):
        """The anchor of a statement, and where it stands."""
        message = anchor.pae(payload)
        signature = publisher.sign(message)
        verifier = {
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "publicKey": {"rawBytes": base64(publisher.spki)},
        }
        record = {
            "data": {"algorithm": "SHA2_256", "digest": base64(sha256(message).digest())},
            "signature": {"content": base64(signature), "verifier": verifier},
        }
        kind = {"kind": "hashedrekord", "version": "0.0.2"}
        body = {"apiVersion": "0.0.2", "kind": kind["kind"], "spec": {"hashedRekordV002": record}}
        body = plainly(body)
        index = len(self.leaves)
        self.leaves.append(tree.leaf(body))
        root = tree.root(self.leaves)
        text = note.checkpoint(NAME, index + 1, root)
        checkpoint = note.note(text, self.key.line(text))
        proof = {
            "checkpoint": {"envelope": checkpoint},
            "hashes": [base64(one) for one in tree.inclusion(index, self.leaves)],
            "logIndex": str(index),
            "rootHash": base64(root),
            "treeSize": str(index + 1),
        }
        entry = {
            "canonicalizedBody": base64(body),
            "inclusionProof": proof,
            "integratedTime": "0",
            "kindVersion": kind,
            "logId": {"keyId": base64(self.id)},
            "logIndex": str(index),
        }
        stamp = {"signedTimestamp": base64(self.authority.stamp(signature))}
        bundle = {
            "mediaType": anchor.BUNDLE,
            "dsseEnvelope": {
                "payload": base64(payload),
                "payloadType": anchor.TYPE,
                "signatures": [{"sig": base64(signature)}],
            },
            "verificationMaterial": {
                "publicKey": {"hint": "publisher"},
                "timestampVerificationData": {"rfc3161Timestamps": [stamp]},
                "tlogEntries": [entry],
            },
        }
        made = {"bundle": plainly(bundle)}
        if timed:
            made["stamp"] = self.authority.stamp(checkpoint.encode())
        return made, {"index": index, "logId": self.id.hex()}

    def trusted_root(self):
        spki = self.key.vkey.spki
        key = {"rawBytes": base64(spki), "keyDetails": "PKIX_ED25519", "validFor": OPEN}
        id = {"keyId": base64(self.id)}
        log = {
            "baseUrl": f"https://{NAME}",
            "hashAlgorithm": "SHA2_256",
            "publicKey": key,
            "logId": id,
            "checkpointKeyId": id,
            "operator": "localhost",
        }
        chain = [{"rawBytes": base64(one)} for one in self.authority.chain]
        authority = {
            "subject": {"organization": "Test", "commonName": "Test stamps, root"},
            "uri": "http://localhost",
            "certChain": {"certificates": chain},
            "validFor": OPEN,
            "operator": "localhost",
        }
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log],
            "certificateAuthorities": [],
            "ctlogs": [],
            "timestampAuthorities": [authority],
        }
