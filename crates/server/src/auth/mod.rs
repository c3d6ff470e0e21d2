//! Who someone is: passwords and tokens.

mod passwords;
mod tokens;

pub use passwords::Passwords;
pub use tokens::{Claims, TokenError, Tokens};
