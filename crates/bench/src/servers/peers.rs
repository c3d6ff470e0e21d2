//! Other people's servers, and the one that does nothing but pass on.

use std::process::Command;

use super::{Place, Setup};

/// What starts a peer by its script.
pub(super) fn command(script: &str, setup: &Setup, place: &Place) -> anyhow::Result<Command> {
    anyhow::ensure!(
        setup.peers.join("node_modules").is_dir(),
        "the peers are not installed: make bench-peers"
    );
    let mut command = Command::new("node");
    command.arg(setup.peers.join(script));
    if setup.persist {
        command.arg("--persist").arg(place.data.path());
    }
    Ok(command)
}

/// What starts the broadcaster: this program itself.
pub(super) fn broadcaster() -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["broadcaster", "--listen", "127.0.0.1:0"]);
    Ok(command)
}
