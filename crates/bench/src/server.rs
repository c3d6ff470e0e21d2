//! The server under test: its own process on a fresh data directory.

use std::{path::Path, process::Stdio};

use anyhow::Context;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// A running server, and one account on it.
pub(crate) struct Server {
    child: Child,
    address: String,
    token: String,
    _data: TempDir,
}

impl Server {
    pub(crate) async fn start(binary: &Path) -> anyhow::Result<Self> {
        let data = TempDir::new()?;
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--limits", "false", "--data-dir"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
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
        let account = json!({
            "email": "bench@example.com", "password": "a long enough password", "name": "Bench",
        });
        let answer = post(&address, "auth/register", None, &account)?;
        let token = text(&answer, "token")?;
        Ok(Self {
            child,
            address,
            token,
            _data: data,
        })
    }

    pub(crate) fn create_document(&self) -> anyhow::Result<String> {
        let body = json!({ "title": "Bench" });
        text(
            &post(&self.address, "documents", Some(&self.token), &body)?,
            "documentId",
        )
    }

    pub(crate) fn socket_url(&self, document: &str) -> String {
        format!(
            "ws://{}/collab/{document}?token={}",
            self.address, self.token
        )
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }
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
