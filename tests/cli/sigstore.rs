//! `rlhf-audit sigstore verify-bundle` on bundles nobody here made: those that come with `sigstore-verify`,
//! most of them from the public instance.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use end_to_end::{Answer, Work, checkout};
use serde_json::Value as Json;

const CONDA: &str = "--certificate-oidc-issuer https://token.actions.githubusercontent.com \
--certificate-identity https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml@refs/heads/main";
const BEACON: &str = "--certificate-oidc-issuer https://token.actions.githubusercontent.com \
--certificate-identity https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const COSIGN: &str = "--certificate-oidc-issuer https://github.com/login/oauth \
--certificate-identity w.vollprecht@gmail.com";
const STAGING: &str = "--certificate-oidc-issuer https://github.com/login/oauth \
--certificate-identity jku@goto.fi";
const PACKAGE: &str = "bundles/signed-package-2.1.0-hb0f4dca_0.conda";

/// The files that the crate's authors test it with, where Cargo keeps its source.
fn published() -> &'static PathBuf {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["metadata", "--format-version=1", "--locked"])
            .current_dir(checkout())
            .output()
            .unwrap();
        let metadata: Json = serde_json::from_slice(&output.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let package = packages.iter().find(|package| package["name"] == "sigstore-verify").unwrap();
        let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
        manifest.with_file_name("test_data")
    });
    &FOLDER
}

/// Verifies `bundle` in a folder with copies of the published files.
fn verify(work: &Work, typed: &str) -> Answer {
    work.run(&format!("sigstore verify-bundle {typed}"))
}

fn scene() -> Work {
    let work = Work::empty();
    let copied = Command::new("cp").arg("-rT").arg(published()).arg(work.path("")).status();
    assert!(copied.unwrap().success());
    work
}

fn sha256(work: &Work, file: &str) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(work.read(file)))
}

#[test]
fn published_bundles_verify() {
    let work = scene();
    let managed = "--bundle managed-key/bundle.sigstore.json --key managed-key/key.pub";
    let message = "upstream/sigstore-python/staging-rekor-v2.txt";
    let cases = [
        // Rekor v1: dsse, hashedrekord, a key instead of a certificate.
        format!("--bundle bundles/conda-attestation.sigstore.json {CONDA} {PACKAGE}"),
        format!(
            "--bundle bundles/cosign-v3-blob.sigstore.json {COSIGN} bundles/cosign-v3-blob.txt"
        ),
        format!("{managed} managed-key/artifact.txt"),
        // Rekor v2: a message, and DSSE as hashedrekord.
        format!("--staging --bundle {message}.sigstore.json {STAGING} {message}"),
        format!(
            "--staging --bundle bundles/conda-attestation-rekor2.sigstore.json {STAGING} {PACKAGE}"
        ),
        // A digest, and a root that is named.
        format!("{managed} sha256:{}", sha256(&work, "managed-key/artifact.txt")),
        format!(
            "--bundle bundles/conda-attestation.sigstore.json \
             --trusted-root trusted_roots/public-good.json {CONDA} {PACKAGE}"
        ),
    ];
    for case in cases {
        let answer = verify(&work, &case).ended(0);
        assert!(answer.stdout.starts_with("Verified: signed by "), "{answer:#?}");
        assert_eq!(verify(&work, &format!("{case} --json")).ended(0).json()["verified"], true);
    }
}

#[test]
fn published_bundles_that_prove_nothing_are_refused() {
    let work = scene();
    let whole = "--bundle bundles/cosign-v3-blob.sigstore.json";
    let managed = "--bundle managed-key/bundle.sigstore.json --key managed-key/key.pub";
    let artifact = "bundles/cosign-v3-blob.txt";
    let cases = [
        format!("{whole} {CONDA} {artifact}"),
        format!("{whole} {} {artifact}", COSIGN.replace("w.vollprecht", "w.vollprechd")),
        format!("{whole} {} {artifact}", COSIGN.replace("github.com", "gitlab.com")),
        format!("{whole} {COSIGN} {PACKAGE}"),
        format!("{whole} {COSIGN} sha256:{}", sha256(&work, PACKAGE)),
        format!("--staging {whole} {COSIGN} {artifact}"),
        format!("{whole} --key managed-key/key.pub {artifact}"),
        format!("{managed} {artifact}"),
        format!("{managed} --trusted-root trusted_roots/scaffolding.json managed-key/artifact.txt"),
        format!("--bundle bundles/bundle_cve_2022_36056.txt.sigstore {BEACON} {artifact}"),
        format!("--bundle bundles/bundle_no_log_entry.txt.sigstore {BEACON} {artifact}"),
        format!("--bundle bundles/bundle_no_checkpoint.txt.sigstore {BEACON} {artifact}"),
        format!("--bundle bundles/bundle_no_cert_v1.txt.sigstore {BEACON} {artifact}"),
        format!("--bundle bundles/bundle_invalid_version.txt.sigstore {BEACON} {artifact}"),
        format!("--bundle bundles/bundle_v3_no_signed_time.txt.sigstore.json {BEACON} {artifact}"),
        format!("--bundle bundles/dsse-2sigs.sigstore.json {BEACON} {artifact}"),
        format!(
            "--bundle invalid-ct-key_fail/bundle.sigstore.json \
             --trusted-root invalid-ct-key_fail/trusted_root.json {BEACON} {artifact}"
        ),
    ];
    for case in cases {
        let answer = verify(&work, &case).ended(1);
        assert!(answer.stdout.starts_with("Not verified: "), "{answer:#?}");
        let json = verify(&work, &format!("{case} --json")).ended(1).json();
        assert_eq!(json["verified"], false);
    }
}

/// `sigstore-verify` takes a checkpoint under any name that its key has signed.
#[test]
fn a_checkpoint_of_another_name_is_refused() {
    let work = scene();
    let mut root: Json =
        serde_json::from_slice(&work.read("trusted_roots/public-good.json")).unwrap();
    for log in root["tlogs"].as_array_mut().unwrap() {
        log["baseUrl"] = "https://elsewhere.example".into();
    }
    work.write("root.json", root.to_string());
    let answer = verify(
        &work,
        "--bundle managed-key/bundle.sigstore.json --key managed-key/key.pub \
         --trusted-root root.json managed-key/artifact.txt",
    );
    assert!(answer.ended(1).stdout.contains("elsewhere.example"));
}

#[test]
fn what_cannot_be_read_is_named() {
    let work = scene();
    let key = "--key managed-key/key.pub";
    let bundle = "--bundle managed-key/bundle.sigstore.json";
    let refused = |typed: &str| work.refused(&format!("sigstore verify-bundle {typed}"));
    assert!(refused(&format!("{bundle} {key} nothing")).contains("nothing: "));
    assert!(refused(&format!("--bundle nothing {key} {PACKAGE}")).contains("nothing: "));
    assert!(refused(&format!("{bundle} --key nothing {PACKAGE}")).contains("nothing: "));
    let root = refused(&format!("{bundle} {key} --trusted-root managed-key/key.pub {PACKAGE}"));
    assert!(root.contains("managed-key/key.pub: not a trusted root"), "{root}");
    // A short digest is a file's name.
    assert!(refused(&format!("{bundle} {key} sha256:abcd")).contains("sha256:abcd: "));
    // A key and an identity, or neither, is no question that can be answered.
    for typed in [format!("{bundle} {key} {CONDA} {PACKAGE}"), format!("{bundle} {PACKAGE}")] {
        assert_eq!(verify(&work, &typed).status, Some(2));
    }
}
