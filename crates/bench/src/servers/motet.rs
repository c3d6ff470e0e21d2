//! Our own server: one with files, or several with a database.

use std::{net::SocketAddr, process::Command};

use anyhow::Context;
use motet_testing::Schema;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Appends, Place, Setup};
use crate::dialects::Document;

/// Where servers keep their things, and how they hear of each other.
#[derive(Clone, Debug)]
pub(crate) enum Stores {
    /// One server, with files.
    Files,
    /// Any number, with PostgreSQL and perhaps a bus.
    Database { bus: Option<String> },
}

/// Makes room for what servers keep.
pub(super) fn place(stores: &Stores) -> anyhow::Result<Place> {
    let schema = match stores {
        Stores::Files => None,
        Stores::Database { .. } => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            Some(runtime.block_on(Schema::new()))
        }
    };
    Ok(Place {
        data: TempDir::new()?,
        schema,
    })
}

/// What starts the nodes.
pub(super) fn commands(setup: &Setup, place: &Place) -> Vec<Command> {
    let node = |_| {
        let mut command = Command::new(&setup.motet);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--log-json", "true"])
            .args(["--limits", "false", "--log", "warn,motet_server=info"])
            .args(["--sessions-per-document-max", "1000000", "--data-dir"])
            .arg(place.data.path());
        if let Some(schema) = &place.schema {
            command.args(["--database", &schema.url()]);
            command.args(["--bus-prefix", schema.name()]);
        }
        if let Stores::Database { bus: Some(bus) } = &setup.stores {
            command.args(["--bus", bus, "--events", ""]);
        }
        command
    };
    (0..setup.nodes).map(node).collect()
}

/// What a line of the log says of appends, if it does.
pub(super) fn appends(line: &str) -> Option<Appends> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = &line["fields"];
    Some(Appends {
        appends: fields["appends"].as_u64()?,
        lost: fields["races_lost"].as_u64()?,
    })
}

/// An account on a server, whose documents are edited.
pub(super) struct Account {
    server: SocketAddr,
    token: String,
}

impl Account {
    /// Registers it.
    pub(super) fn new(server: SocketAddr) -> anyhow::Result<Self> {
        let account = json!({
            "email": "bench@example.com", "password": "a long enough password", "name": "Bench",
        });
        let answer = post(server, "auth/register", None, &account)?;
        let token = text(&answer, "token")?;
        Ok(Self { server, token })
    }

    /// Makes an empty document.
    pub(super) fn create_document(&self) -> anyhow::Result<Document> {
        let body = json!({ "title": "Bench" });
        let answer = post(self.server, "documents", Some(&self.token), &body)?;
        Ok(Document {
            name: text(&answer, "documentId")?,
            token: self.token.clone(),
        })
    }
}

fn post(
    server: SocketAddr,
    path: &str,
    token: Option<&str>,
    body: &Value,
) -> anyhow::Result<Value> {
    let mut request = ureq::post(format!("http://{server}/api/v1/{path}"))
        .header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = request
        .send(body.to_string())?
        .into_body()
        .read_to_string()?;
    Ok(serde_json::from_str(&answer)?)
}

fn text(answer: &Value, field: &str) -> anyhow::Result<String> {
    Ok(answer[field]
        .as_str()
        .with_context(|| format!("no {field} in {answer}"))?
        .to_owned())
}
