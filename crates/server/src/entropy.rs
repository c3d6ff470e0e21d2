//! The one source of randomness of the server.

/// Random bytes, fit for keys.
///
/// # Panics
///
/// When the system has no randomness to give: nothing that needs it would be safe.
#[expect(
    clippy::disallowed_methods,
    reason = "this is where randomness comes from"
)]
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives randomness");
    bytes
}

/// A random text of `N` bytes in URL-safe base 64.
pub(crate) fn token<const N: usize>() -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes::<N>())
}
