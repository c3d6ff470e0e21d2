//! The command line.

mod compaction;
mod events;
mod migration;
mod records;

use std::{
    io::{BufRead, IsTerminal},
    net::Ipv4Addr,
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use motet_catalog::{Actor, AuditAction, Catalog, CatalogError, NewUser, Organization};
use motet_model::{Clock, OrganizationId};

use crate::{
    auth::{
        Passwords, Purpose, Tokens,
        keys::{self, Keys},
    },
    clock::{SystemClock, rfc3339},
    config::{Config, Flags},
    entropy,
    http::Account,
    limits::limits,
    serve::serve,
    stores,
};

/// Accounts that are read at a time.
const PAGE: u32 = 1_000;

/// Motet: real-time collaboration on documents.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server
    Serve(Flags),
    /// Make and list accounts
    #[command(subcommand)]
    User(UserCommand),
    /// Make and list organizations, whose people and documents are apart
    #[command(subcommand)]
    Organization(OrganizationCommand),
    /// Print an access token for an account
    Token(TokenArgs),
    /// List, rotate and remove the keys that sign access tokens
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Check and read the audit trail
    #[command(subcommand)]
    Audit(records::AuditCommand),
    /// Put small changes of documents together, so that they take less room; a server does so by itself
    Compact(compaction::CompactArgs),
    /// Copy everything from one place to another, and compare
    Migrate(migration::MigrateArgs),
    /// Read what is told to other programs
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Look at the settings
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make an account; the password is asked for, or read from standard input
    Create(CreateArgs),
    /// List all accounts
    List(Flags),
    /// Let nobody use an account any more; live sessions end within a second or so
    Disable(UserArgs),
    /// Let an account be used again
    Enable(UserArgs),
    /// Let an account manage its organization
    Promote(UserArgs),
    /// Let it do so no longer
    Demote(UserArgs),
    /// Write all that is kept about a person to a file, as JSON
    Export(records::ExportArgs),
    /// Erase a person and all that is kept about them, for good
    Erase(records::EraseArgs),
}

#[derive(Debug, Subcommand)]
enum OrganizationCommand {
    /// Make an organization, and print its id
    Create(OrganizationArgs),
    /// List all organizations
    List(Flags),
}

#[derive(Args, Debug)]
struct UserArgs {
    /// The account's e-mail address
    email: String,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Args, Debug)]
struct OrganizationArgs {
    /// Its name
    name: String,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// List all keys: which one signs, and since or from when the others do
    List(Flags),
    /// Add a key that will sign new tokens; what the others signed stays valid
    Rotate(RotateArgs),
    /// Remove a key: nothing that it signed is valid any more
    Remove(RemoveKeyArgs),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check the settings, and print them with their values
    Check(Flags),
    /// Print every limit with its value and unit
    Limits(Flags),
}

#[derive(Args, Debug)]
struct CreateArgs {
    /// The e-mail address
    #[arg(long)]
    email: String,
    /// The name that others see [default: the part before the @]
    #[arg(long)]
    name: Option<String>,
    /// Let the account manage its organization
    #[arg(long)]
    administrator: bool,
    /// The id of its organization [default: the one of all who register]
    #[arg(long, value_name = "ID")]
    organization: Option<OrganizationId>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Args, Debug)]
struct TokenArgs {
    /// The account's e-mail address
    #[arg(long, value_name = "EMAIL")]
    user: String,
    /// How long the token is valid, for example `15m` or `30d`
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    expires_in: humantime::Duration,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Args, Debug)]
struct RotateArgs {
    /// When the key begins to sign: others must learn of it first
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    after: humantime::Duration,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Args, Debug)]
struct RemoveKeyArgs {
    /// The key, as `motet keys list` names it
    #[arg(value_name = "KID", allow_hyphen_values = true)]
    key_id: String,
    #[command(flatten)]
    flags: Flags,
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    ///
    /// What to tell the person who typed it.
    pub fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(async {
            match self.command {
                Command::Serve(flags) => serve(Config::load(&flags)?).await,
                Command::User(UserCommand::Create(args)) => create_user(args).await,
                Command::User(UserCommand::List(flags)) => list_users(&flags).await,
                Command::User(UserCommand::Disable(args)) => {
                    change_user(args, Change::Disabled(true)).await
                }
                Command::User(UserCommand::Enable(args)) => {
                    change_user(args, Change::Disabled(false)).await
                }
                Command::User(UserCommand::Promote(args)) => {
                    change_user(args, Change::Administrator(true)).await
                }
                Command::User(UserCommand::Demote(args)) => {
                    change_user(args, Change::Administrator(false)).await
                }
                Command::User(UserCommand::Export(args)) => records::export(args).await,
                Command::User(UserCommand::Erase(args)) => records::erase(args).await,
                Command::Compact(args) => compaction::compact(args).await,
                Command::Migrate(args) => migration::migrate(args).await,
                Command::Audit(command) => records::audit(command).await,
                Command::Events(command) => events::events(command).await,
                Command::Organization(OrganizationCommand::Create(args)) => {
                    create_organization(args).await
                }
                Command::Organization(OrganizationCommand::List(flags)) => {
                    list_organizations(&flags).await
                }
                Command::Token(args) => print_token(args).await,
                Command::Keys(KeysCommand::List(flags)) => list_keys(&flags).await,
                Command::Keys(KeysCommand::Rotate(args)) => rotate_keys(&args).await,
                Command::Keys(KeysCommand::Remove(args)) => remove_key(&args).await,
                Command::Config(ConfigCommand::Check(flags)) => {
                    print(&serde_json::to_string_pretty(&Config::load(&flags)?)?);
                    Ok(())
                }
                Command::Config(ConfigCommand::Limits(flags)) => {
                    let limits = limits(&Config::load(&flags)?);
                    print(&serde_json::to_string_pretty(&limits)?);
                    Ok(())
                }
            }
        })
    }
}

async fn open(flags: &Flags) -> anyhow::Result<(Config, Catalog)> {
    let config = Config::load(flags)?;
    let catalog = stores::open_catalog(&config).await?;
    Ok((config, catalog))
}

async fn create_user(args: CreateArgs) -> anyhow::Result<()> {
    let (_, catalog) = open(&args.flags).await?;
    let password = ask_password()?;
    let account = Account::check(&args.email, &password, args.name.as_deref())
        .map_err(|message| anyhow::anyhow!(message))?;
    let organization = args.organization.unwrap_or(OrganizationId::DEFAULT);
    catalog.organization(organization).await?;
    let purpose = Purpose::Registration(Ipv4Addr::LOCALHOST.into());
    let password_hash = Passwords::new().hash(purpose, password).await?;
    let now_ms = SystemClock.now_ms();
    let user = NewUser {
        administrator: args.administrator,
        ..account.into_user(now_ms, organization, password_hash)
    };
    let actor = operator();
    let created = catalog.create_user(&actor, &user, AuditAction::AccountCreated);
    match created.await {
        Err(CatalogError::EmailTaken) => {
            anyhow::bail!("an account with the e-mail address {} exists", args.email)
        }
        created => created?,
    }
    catalog.close().await;
    print(&user.id.to_string());
    Ok(())
}

async fn list_users(flags: &Flags) -> anyhow::Result<()> {
    let (_, catalog) = open(flags).await?;
    let mut after = String::new();
    loop {
        let users = catalog.users(None, "", PAGE, &after).await?;
        let Some(last) = users.last() else { break };
        after = last.email_folded();
        for user in users {
            let email = user.email.unwrap_or_default();
            print(&format!("{}\t{email}\t{}", user.id, user.name));
        }
    }
    catalog.close().await;
    Ok(())
}

/// What to do to an account.
enum Change {
    Disabled(bool),
    Administrator(bool),
}

async fn change_user(args: UserArgs, change: Change) -> anyhow::Result<()> {
    let (_, catalog) = open(&args.flags).await?;
    let user = catalog.user_by_email(&args.email).await?;
    let user = user.with_context(|| format!("there is no account {}", args.email))?;
    let actor = Actor {
        organization: user.organization,
        ..operator()
    };
    match change {
        Change::Disabled(disabled) => catalog.set_disabled(&actor, user.id, disabled).await?,
        Change::Administrator(administrator) => {
            catalog
                .set_administrator(&actor, user.id, administrator)
                .await?;
        }
    }
    catalog.close().await;
    Ok(())
}

async fn create_organization(args: OrganizationArgs) -> anyhow::Result<()> {
    let (_, catalog) = open(&args.flags).await?;
    let name = args.name.trim().to_owned();
    anyhow::ensure!(!name.is_empty(), "a name is needed");
    let id = OrganizationId::new(SystemClock.now_ms(), entropy::bytes());
    let organization = Organization { id, name };
    let actor = Actor {
        organization: id,
        ..operator()
    };
    catalog.create_organization(&actor, &organization).await?;
    catalog.close().await;
    print(&id.to_string());
    Ok(())
}

async fn list_organizations(flags: &Flags) -> anyhow::Result<()> {
    let (_, catalog) = open(flags).await?;
    for organization in catalog.organizations().await? {
        print(&format!("{}\t{}", organization.id, organization.name));
    }
    catalog.close().await;
    Ok(())
}

async fn print_token(args: TokenArgs) -> anyhow::Result<()> {
    let (config, catalog) = open(&args.flags).await?;
    let user = catalog.user_by_email(&args.user).await?;
    let user = user.with_context(|| format!("there is no account {}", args.user))?;
    let tokens = Tokens::open(&catalog, &config.keys()).await;
    let tokens = tokens.context("cannot read the signing keys")?;
    let lifetime_ms = u64::try_from(args.expires_in.as_millis())?;
    let (token, expires_at_ms) =
        tokens.sign(user.id, &user.name, None, SystemClock.now_ms(), lifetime_ms);
    catalog.close().await;
    if std::io::stdout().is_terminal() {
        print(&format!("# valid until {}", rfc3339(expires_at_ms)));
    }
    print(&token);
    Ok(())
}

/// Whoever may run commands on the server's machine.
fn operator() -> Actor {
    Actor {
        user: None,
        organization: OrganizationId::DEFAULT,
        address: String::new(),
        nonce: entropy::bytes(),
        at_ms: SystemClock.now_ms(),
    }
}

async fn list_keys(flags: &Flags) -> anyhow::Result<()> {
    let (config, catalog) = open(flags).await?;
    let keys = Keys::open(&catalog, &config.keys()).await;
    let keys = keys.context("cannot read the keys")?;
    catalog.close().await;
    let now_ms = SystemClock.now_ms();
    let signing = keys.signing(now_ms);
    for key in keys.iter() {
        let state = match key.starts_ms {
            _ if key.id == signing.id => "signs".to_owned(),
            starts_ms if starts_ms > now_ms => format!("signs from {}", rfc3339(starts_ms)),
            _ => "verifies".to_owned(),
        };
        print(&format!("{}\t{state}", key.id));
    }
    Ok(())
}

async fn remove_key(args: &RemoveKeyArgs) -> anyhow::Result<()> {
    let (_, catalog) = open(&args.flags).await?;
    let now_ms = SystemClock.now_ms();
    keys::remove(&catalog, &operator(), &args.key_id, now_ms).await?;
    catalog.close().await;
    Ok(())
}

async fn rotate_keys(args: &RotateArgs) -> anyhow::Result<()> {
    let (config, catalog) = open(&args.flags).await?;
    // The first key is made as well: the new one is never alone before its time.
    Keys::open(&catalog, &config.keys())
        .await
        .context("cannot read the keys")?;
    let after_ms = u64::try_from(args.after.as_millis())?;
    let starts_ms = SystemClock.now_ms().saturating_add(after_ms);
    let key_id = keys::rotate(&catalog, &operator(), starts_ms).await?;
    catalog.close().await;
    if std::io::stdout().is_terminal() {
        print(&format!("# signs from {}", rfc3339(starts_ms)));
    }
    print(&key_id);
    Ok(())
}

fn ask_password() -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        return Ok(rpassword::prompt_password("Password: ")?);
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

#[expect(clippy::print_stdout, reason = "a command's answer")]
fn print(line: &str) {
    println!("{line}");
}
