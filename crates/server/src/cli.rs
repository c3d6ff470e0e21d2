//! The command line.

use std::io::{BufRead, IsTerminal};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use motet_catalog::{Catalog, CatalogError};
use motet_model::Clock;

use crate::{
    auth::{Passwords, Tokens},
    clock::{SystemClock, rfc3339},
    config::{Config, Flags},
    http::Account,
    serve::serve,
};

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
    /// Print an access token for an account
    Token(TokenArgs),
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
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check the settings, and print them with their values
    Check(Flags),
}

#[derive(Args, Debug)]
struct CreateArgs {
    /// The e-mail address
    #[arg(long)]
    email: String,
    /// The name that others see [default: the part before the @]
    #[arg(long)]
    name: Option<String>,
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
                Command::Token(args) => print_token(args).await,
                Command::Config(ConfigCommand::Check(flags)) => {
                    print(&serde_json::to_string_pretty(&Config::load(&flags)?)?);
                    Ok(())
                }
            }
        })
    }
}

async fn open(flags: &Flags) -> anyhow::Result<(Config, Catalog)> {
    let config = Config::load(flags)?;
    config
        .make_data_dir()
        .context("cannot make the data directory")?;
    let catalog = Catalog::open_sqlite(&config.catalog())
        .await
        .context("cannot open the catalog")?;
    Ok((config, catalog))
}

async fn create_user(args: CreateArgs) -> anyhow::Result<()> {
    let (_, catalog) = open(&args.flags).await?;
    let password = ask_password()?;
    let account = Account::check(&args.email, &password, args.name.as_deref())
        .map_err(|message| anyhow::anyhow!(message))?;
    let password_hash = Passwords::new().hash(password).await?;
    let now_ms = SystemClock.now_ms();
    let user = account.into_user(now_ms, password_hash);
    match catalog.create_user(&user, now_ms).await {
        Err(CatalogError::EmailTaken) => {
            anyhow::bail!("an account with the e-mail address {} exists", user.email)
        }
        created => created?,
    }
    catalog.close().await;
    print(&user.id.to_string());
    Ok(())
}

async fn list_users(flags: &Flags) -> anyhow::Result<()> {
    let (_, catalog) = open(flags).await?;
    for user in catalog.users().await? {
        print(&format!("{}\t{}\t{}", user.id, user.email, user.name));
    }
    catalog.close().await;
    Ok(())
}

async fn print_token(args: TokenArgs) -> anyhow::Result<()> {
    let (config, catalog) = open(&args.flags).await?;
    let user = catalog.user_by_email(&args.user).await?;
    let user = user.with_context(|| format!("there is no account {}", args.user))?;
    let tokens = Tokens::open(&config.keys()).context("cannot open the signing key")?;
    let lifetime_ms = u64::try_from(args.expires_in.as_millis())?;
    let (token, expires_at_ms) =
        tokens.sign(user.id, &user.name, SystemClock.now_ms(), lifetime_ms);
    catalog.close().await;
    if std::io::stdout().is_terminal() {
        print(&format!("# valid until {}", rfc3339(expires_at_ms)));
    }
    print(&token);
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
