//! `motet audit …`, `motet user export` and `motet user erase`: what is kept, and what must not be.

use std::{io::Write, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use clap::{Args, Subcommand};
use motet_catalog::{
    Actor, AuditAction, AuditFilter, AuditRow, Catalog, Entry, User, Verification,
};
use motet_log::LogError;
use motet_model::{Clock, DocumentId, NodeId};
use tokio::time::{Instant, sleep};

use super::{open, operator, print};
use crate::{
    clock::{SystemClock, rfc3339},
    config::Flags,
    entropy,
    erasure::Eraser,
    export::Exporter,
    jobs::Jobs,
    stores,
};

/// How long a running server may take to erase an account, and how often it is looked at.
const ERASURE_TIMEOUT: Duration = Duration::from_secs(600);
const ERASURE_INTERVAL: Duration = Duration::from_millis(200);
/// Rows that are read at a time.
const PAGE: u32 = 1_000;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Check that no row was changed, removed or put in; print how many there are and the last one's hash
    Verify(VerifyArgs),
    /// List what was done, the latest first
    List(ListArgs),
}

#[derive(Args, Debug)]
pub(super) struct VerifyArgs {
    /// A hash that was noted elsewhere and must still be in its place, as this command prints it
    #[arg(long, value_name = "HASH@SEQ", value_parser = expected)]
    expect: Vec<(String, u64)>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Args, Debug)]
pub(super) struct ListArgs {
    /// By or upon this account: an e-mail address or id
    #[arg(long, value_name = "EMAIL")]
    user: Option<String>,
    /// On this document
    #[arg(long, value_name = "ID")]
    document: Option<DocumentId>,
    /// With an action that begins so, for example `document.`
    #[arg(long, default_value = "")]
    action: String,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: u32,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Args, Debug)]
pub(super) struct ExportArgs {
    /// The account: an e-mail address or id
    #[arg(long, value_name = "EMAIL")]
    user: String,
    /// Where to write it; the file must not be there
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Args, Debug)]
pub(super) struct EraseArgs {
    /// The account: an e-mail address or id
    #[arg(long, value_name = "EMAIL")]
    user: String,
    /// Whose its documents are to be; without, they are deleted
    #[arg(long, value_name = "EMAIL")]
    transfer_to: Option<String>,
    /// Yes, for good
    #[arg(long, required = true)]
    yes: bool,
    #[command(flatten)]
    flags: Flags,
}

fn expected(text: &str) -> Result<(String, u64), String> {
    let parsed = text
        .split_once('@')
        .and_then(|(hash, seq)| Some((hash.to_owned(), seq.parse().ok()?)));
    parsed.ok_or_else(|| "it must look like 0123abcd…@17".to_owned())
}

pub(super) async fn audit(command: AuditCommand) -> anyhow::Result<()> {
    match command {
        AuditCommand::Verify(args) => verify(args).await,
        AuditCommand::List(args) => list(args).await,
    }
}

async fn verify(args: VerifyArgs) -> anyhow::Result<()> {
    let (_, catalog) = open(&args.flags).await?;
    let (rows, hash) = match catalog.verify_audit().await? {
        Verification::Intact { rows, hash } => (rows, hash),
        Verification::Broken { seq, why } => {
            anyhow::bail!("the audit trail is broken at row {seq}: {why}")
        }
    };
    for (noted, seq) in args.expect {
        match catalog.audit_hash(seq).await? {
            Some(found) if found == noted => {}
            Some(found) => anyhow::bail!(
                "the audit trail was rewritten: row {seq} has the hash {found}, not {noted}"
            ),
            None => anyhow::bail!("the audit trail was cut off: there is no row {seq} any more"),
        }
    }
    catalog.close().await;
    print(&format!("{rows} rows, intact"));
    print(&format!("{hash}@{rows}"));
    Ok(())
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let (_, catalog) = open(&args.flags).await?;
    let user = match &args.user {
        Some(user) => Some(account(&catalog, user).await?.id),
        None => None,
    };
    let mut filter = AuditFilter {
        user,
        document: args.document,
        action: args.action,
        ..AuditFilter::default()
    };
    let mut left = args.limit;
    while left > 0 {
        let rows = catalog.audit(&filter, left.min(PAGE)).await?;
        let Some(last) = rows.last() else { break };
        filter.before = Some(last.seq);
        left -= u32::try_from(rows.len()).unwrap_or(left).min(left);
        rows.iter().for_each(|row| print(&line(row)));
    }
    catalog.close().await;
    Ok(())
}

fn line(row: &AuditRow) -> String {
    let id = |id: Option<String>| id.unwrap_or_else(|| "-".to_owned());
    let details = if row.details.is_null() {
        String::new()
    } else {
        row.details.to_string()
    };
    format!(
        "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{details}",
        row.seq,
        rfc3339(row.at_ms),
        row.action,
        id(row.actor.map(|id| id.to_string())),
        id(row.user.map(|id| id.to_string())),
        id(row.document.map(|id| id.to_string())),
        row.address.as_deref().unwrap_or("-"),
    )
}

/// The account with this e-mail address or id.
async fn account(catalog: &Catalog, name: &str) -> anyhow::Result<User> {
    let user = match name.parse() {
        Ok(id) => catalog.user(id).await?,
        Err(_) => catalog.user_by_email(name).await?,
    };
    user.with_context(|| format!("there is no account {name}"))
}

pub(super) async fn export(args: ExportArgs) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let (config, catalog) = open(&args.flags).await?;
    let user = account(&catalog, &args.user).await?;
    let mut file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&args.out)
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    let log = stores::open_log_to_read(&config).await?;
    let actor = Actor {
        organization: user.organization,
        ..operator()
    };
    let entry = Entry::new(AuditAction::AccountExported).user(user.id);
    catalog.note(&[(actor, entry)]).await?;
    let exporter = Exporter {
        catalog: catalog.clone(),
        log: Arc::new(log),
        with_texts: true,
    };
    let mut pieces = exporter.export(user.id, None, SystemClock.now_ms());
    while let Some(piece) = pieces.recv().await {
        match piece {
            Ok(piece) => file.write_all(&piece)?,
            Err(error) => {
                std::fs::remove_file(&args.out)?;
                return Err(error.into());
            }
        }
    }
    file.sync_all()?;
    catalog.close().await;
    Ok(())
}

/// Where a server runs it does the work, since it has the people and the log.
pub(super) async fn erase(args: EraseArgs) -> anyhow::Result<()> {
    let (config, catalog) = open(&args.flags).await?;
    let user = account(&catalog, &args.user).await?;
    let heir = match &args.transfer_to {
        Some(heir) => Some(account(&catalog, heir).await?.id),
        None => None,
    };
    let actor = Actor {
        organization: user.organization,
        ..operator()
    };
    // The operator can make another administrator at any time.
    catalog.begin_erasure(&actor, user.id, heir, true).await?;
    match stores::open_log(&config).await {
        Ok(log) => {
            let clock = Arc::new(SystemClock);
            let node = NodeId::new(clock.now_ms(), entropy::bytes());
            let jobs = Jobs::new(catalog.clone(), clock.clone(), node);
            let eraser = Eraser::new(catalog.clone(), Arc::new(log), clock, jobs);
            eraser.run().await?;
        }
        Err(LogError::InUse { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    // Where a server has the files, or another node is at it.
    wait(&catalog, &user).await?;
    catalog.close().await;
    Ok(())
}

async fn wait(catalog: &Catalog, user: &User) -> anyhow::Result<()> {
    let deadline = Instant::now() + ERASURE_TIMEOUT;
    loop {
        let erasures = catalog.erasures().await?;
        if !erasures.iter().any(|erasure| erasure.user == user.id) {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "it has begun, but the server has not completed it: see its log"
        );
        sleep(ERASURE_INTERVAL).await;
    }
}
