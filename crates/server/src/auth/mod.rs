//! Who someone is: passwords and tokens.

mod passwords;
mod tokens;

pub use passwords::{Busy, Passwords};
pub use tokens::{Claims, TokenError, Tokens};
