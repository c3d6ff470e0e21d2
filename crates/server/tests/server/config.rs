//! `motet config check`: which settings are refused, and what is shown of those that are not.

use std::{fs, process::Command};

const SECRET: &str = "a-secret-of-the-client";

const GOOD: &str = r#"
[[issuers]]
issuer = "https://id.example.com"
audience = "motet"
jwks_url = "https://id.example.com/keys"
[issuers.claims]
organization = "app.org"

[[providers]]
id = "acme"
name = "Acme"
issuer = "https://id.example.com"
client_id = "motet"
client_secret = "a-secret-of-the-client"
"#;

/// Whether these settings are taken, and everything that is said of them.
fn check(file: &str, environment: &[(&str, &str)]) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("motet.toml");
    fs::write(&path, file).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_motet"))
        .args(["config", "check", "--config"])
        .arg(&path)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn good_settings_are_shown_without_secrets() {
    let (taken, said) = check(GOOD, &[]);
    assert!(taken, "{said}");
    assert!(said.contains(r#""organization": "app.org""#), "{said}");
    assert!(said.contains(r#""client_secret": "[hidden]""#), "{said}");
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn lists_come_from_the_environment_too() {
    let issuers = r#"[{issuer="other",audience="motet",jwks_url="http://localhost/keys"}]"#;
    let (taken, said) = check(GOOD, &[("MOTET_ISSUERS", issuers)]);
    assert!(taken, "{said}");
    assert!(said.contains(r#""issuer": "other""#), "{said}");
    assert!(!said.contains("app.org"), "in place of the file's: {said}");
}

#[test]
fn bad_settings_are_refused_without_secrets() {
    let wrong = [
        ("audience = \"motet\"", "audiance = \"motet\"", "audiance"),
        (
            "jwks_url = \"https://id.example.com/keys\"",
            "",
            "jwks_url or public_key",
        ),
        (
            "https://id.example.com/keys",
            "http://id.example.com/keys",
            "must be https",
        ),
        ("id = \"acme\"", "id = \"Acme & Co\"", "id must be"),
        ("client_id = \"motet\"", "", "client_id"),
        (
            "client_secret = \"a-secret-of-the-client\"",
            "client_secret = 31415926",
            "a text",
        ),
    ];
    for (line, replacement, expected) in wrong {
        assert!(GOOD.contains(line), "{line}");
        let (taken, said) = check(&GOOD.replace(line, replacement), &[]);
        assert!(!taken, "{replacement}");
        assert!(said.contains(expected), "{replacement}: {said}");
        assert!(!said.contains(SECRET), "{said}");
        assert!(!said.contains("31415926"), "{said}");
    }
}
