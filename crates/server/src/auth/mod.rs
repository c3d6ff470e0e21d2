//! Who someone is, and what they may do.
//!
//! `authority.rs` answers both questions, for everyone; `principal.rs` is who somebody turned out to be.
//! `outsiders.rs` has the accounts of those for whom others vouch. What they show: `passwords.rs`, slowed down by `lockout.rs`; `tokens.rs`, signed with `keys.rs`, as are the `vouchers.rs` of nodes for each other's clients;
//! `issuers/`, the tokens of others, whose names pass through `names.rs`; `providers/`, with whom they may sign in instead. What these two ask
//! of the network goes through `outgoing.rs`.

mod authority;
mod cached;
#[cfg(test)]
mod forge;
mod issuers;
pub(crate) mod keys;
pub(crate) mod lockout;
pub(crate) mod names;
mod outgoing;
mod outsiders;
mod passwords;
mod principal;
mod providers;
#[cfg(test)]
mod site;
mod tokens;
mod vouchers;

pub use authority::{Action, AuthenticationError, Authority, AuthorizationError, MintedKey};
pub use issuers::{
    ClaimNames, ExternalClaims, ExternalOrganization, IssuerError, IssuerSettings, Issuers,
};
pub use keys::PublicKeys;
pub use lockout::LockoutError;
pub use outgoing::{Outgoing, OutgoingError};
pub use outsiders::OutsiderError;
pub use passwords::{Busy, Passwords, Purpose};
pub use principal::{Credential, Principal, Scope, ScopeError, Scopes, Source};
pub use providers::{Attempt, ProviderError, ProviderSettings, Providers, Return, Secret};
pub use tokens::{Claims, TokenError, Tokens};

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _written = write!(hex, "{byte:02x}");
        hex
    })
}
