use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::Context;
use serde_json::Value;

/// The real client core in a Node process: `packages/client/sim/agent.mjs` says what it understands.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Agent {
    /// Starts the process. The client library must have been built.
    ///
    /// # Errors
    ///
    /// Node or the library are not there.
    pub fn start() -> anyhow::Result<Self> {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packages/client/sim/agent.mjs");
        let built = script.with_file_name("../dist/core.js");
        anyhow::ensure!(
            built.exists(),
            "build the client library first: make client"
        );
        let mut child = Command::new("node")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start node")?;
        let requests = child.stdin.take().context("no stdin")?;
        let answers = BufReader::new(child.stdout.take().context("no stdout")?);
        Ok(Self {
            child,
            requests,
            answers,
        })
    }

    /// One request, one answer.
    ///
    /// # Errors
    ///
    /// The process has ended: the core threw, and has printed why.
    pub fn ask(&mut self, request: &Value) -> anyhow::Result<Value> {
        writeln!(self.requests, "{request}").context("the client core has ended")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        anyhow::ensure!(!line.is_empty(), "the client core ended on {request}");
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}
