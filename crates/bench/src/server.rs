//! The servers under test: processes of their own, on a fresh data directory or a fresh place in a database.

use std::{path::Path, process::Stdio};

use anyhow::Context;
use motet_testing::Schema;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

/// Where servers keep their things, and how they hear of each other.
#[derive(Clone, Copy)]
pub(crate) enum Stores<'a> {
    /// One server, with files.
    Files,
    /// Any number, with PostgreSQL and perhaps a bus.
    Database { bus: Option<&'a str> },
}

/// Running servers that are one installation, and one account on it.
pub(crate) struct Servers {
    nodes: Vec<Node>,
    token: String,
    _data: TempDir,
    _schema: Option<Schema>,
}

struct Node {
    child: Child,
    address: String,
    /// What it says of its appends when it stops.
    said: JoinHandle<Option<Appends>>,
}

/// How often nodes appended, and how often another one was first.
#[derive(Clone, Copy, Default)]
pub(crate) struct Appends {
    pub(crate) appends: u64,
    pub(crate) lost: u64,
}

impl Servers {
    pub(crate) async fn start(
        binary: &Path,
        count: usize,
        stores: Stores<'_>,
    ) -> anyhow::Result<Self> {
        let data = TempDir::new()?;
        let schema = match stores {
            Stores::Files => None,
            Stores::Database { .. } => Some(Schema::new().await),
        };
        let mut nodes = Vec::with_capacity(count);
        for _ in 0..count {
            let mut command = Command::new(binary);
            command
                .args(["serve", "--listen", "127.0.0.1:0", "--log-json", "true"])
                .args(["--limits", "false", "--log", "warn,motet_server=info"])
                .arg("--data-dir")
                .arg(data.path());
            if let Some(schema) = &schema {
                command.args(["--database", &schema.url()]);
                command.args(["--bus-prefix", schema.name()]);
            }
            if let Stores::Database { bus: Some(bus) } = stores {
                command.args(["--bus", bus, "--events", ""]);
            }
            nodes.push(Node::start(command).await?);
        }
        let account = json!({
            "email": "bench@example.com", "password": "a long enough password", "name": "Bench",
        });
        let first = nodes.first().context("there is no server")?;
        let answer = post(&first.address, "auth/register", None, &account)?;
        let token = text(&answer, "token")?;
        Ok(Self {
            nodes,
            token,
            _data: data,
            _schema: schema,
        })
    }

    pub(crate) fn create_document(&self) -> anyhow::Result<String> {
        let body = json!({ "title": "Bench" });
        let answer = post(
            &self.nodes[0].address,
            "documents",
            Some(&self.token),
            &body,
        )?;
        text(&answer, "documentId")
    }

    /// Where to join the document, on each node.
    pub(crate) fn socket_urls(&self, document: &str) -> Vec<String> {
        let url = |node: &Node| {
            let (address, token) = (&node.address, &self.token);
            format!("ws://{address}/collab/{document}?token={token}")
        };
        self.nodes.iter().map(url).collect()
    }

    /// Stops all, and returns what they say of their appends.
    pub(crate) async fn stop(self) -> anyhow::Result<Appends> {
        let mut all = Appends::default();
        for mut node in self.nodes {
            let id = node.child.id().context("a server ended")?.to_string();
            Command::new("kill").args(["-TERM", &id]).status().await?;
            node.child.wait().await?;
            if let Some(said) = node.said.await? {
                all.appends += said.appends;
                all.lost += said.lost;
            }
        }
        Ok(all)
    }
}

impl Node {
    async fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the server")?;
        let stderr = child.stderr.take().context("no stderr")?;
        let said = tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            let mut said = None;
            while let Ok(Some(line)) = lines.next_line().await {
                said = appends(&line).or(said);
            }
            said
        });
        let stdout = child.stdout.take().context("no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let address = loop {
            let line = lines
                .next_line()
                .await?
                .context("the server ended at once")?;
            if let Some(url) = line.strip_prefix("motet listening on http://") {
                break url.trim().to_owned();
            }
        };
        // Keep the pipe open, so that the server can go on printing.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            child,
            address,
            said,
        })
    }
}

/// What a line of the log says of appends, if it does.
fn appends(line: &str) -> Option<Appends> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = &line["fields"];
    Some(Appends {
        appends: fields["appends"].as_u64()?,
        lost: fields["races_lost"].as_u64()?,
    })
}

fn post(address: &str, path: &str, token: Option<&str>, body: &Value) -> anyhow::Result<Value> {
    let mut request = ureq::post(format!("http://{address}/api/v1/{path}"))
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
