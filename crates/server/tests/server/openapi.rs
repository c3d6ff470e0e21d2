//! The description of the REST API: whole in itself, and true of the server.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::Server;
use serde_json::Value;
use tempfile::TempDir;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn document() -> (TempDir, Server, Value) {
    let data = TempDir::new().unwrap();
    let server = Server::start(data.path(), &[]);
    let (status, document) = server.call("GET", "/api/v1/openapi.json", None, None);
    assert_eq!(status, 200, "without a token");
    (data, server, document)
}

/// Path, method, operation.
fn operations(document: &Value) -> Vec<(&String, &String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, item)| {
        let item: &Value = item;
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (path, method, operation))
    };
    paths.iter().flat_map(of).collect()
}

fn references<'v>(value: &'v Value, found: &mut BTreeSet<&'v str>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get("$ref") {
                found.insert(reference);
            }
            object.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn the_document_is_whole() {
    let (_data, _server, document) = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        let place = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "{reference}");
    }
    let mut ids = BTreeMap::new();
    for (path, method, operation) in operations(&document) {
        let place = format!("{method} {path}");
        let id = operation["operationId"].as_str().unwrap();
        let other = ids.insert(id, place.clone());
        assert_eq!(other, None, "{id} is also {place}");
        assert!(operation["summary"].is_string(), "{place}");
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let declared: BTreeSet<_> = parameters
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        let segments = path.split('/');
        let named: BTreeSet<_> = segments
            .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        assert_eq!(declared, named, "{place}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(
            responses.keys().any(|status| status.starts_with('2')),
            "{place}"
        );
        let is_open = operation["security"].as_array().is_some();
        assert!(is_open || responses.contains_key("401"), "{place}");
    }
}

/// Each path takes the methods that the document names, and no others.
#[test]
fn the_server_answers_what_the_document_names() {
    let (_data, server, document) = document();
    let paths: BTreeSet<_> = operations(&document)
        .into_iter()
        .map(|(path, ..)| path)
        .collect();
    for path in paths {
        for method in METHODS {
            let named = document["paths"][path].get(method).is_some();
            let asked = path.replace(['{', '}'], "");
            let method = method.to_uppercase();
            let (status, answer) = server.call(&method, &asked, None, None);
            assert_eq!(status != 405, named, "{method} {asked}: {status} {answer}");
            let message = answer["error"]["message"].as_str();
            assert_ne!(
                message,
                Some("there is no such endpoint"),
                "{method} {asked}"
            );
        }
    }
}

/// What a client meets in passing is described as well as what handlers say.
#[test]
fn refusals_are_in_the_document() {
    let (_data, _server, document) = document();
    let edit = &document["paths"]["/api/v1/documents/{id}/edit"]["patch"]["responses"];
    for status in [
        "200", "400", "401", "403", "404", "409", "413", "415", "429", "503",
    ] {
        assert!(edit.get(status).is_some(), "{status}");
    }
    let login = &document["paths"]["/api/v1/auth/login"]["post"];
    assert_eq!(login["security"], serde_json::json!([{}]));
}
