//! Numbers from the environment.

/// The number in this variable, or `default`. Underscores may separate digits.
pub(crate) fn setting(key: &str, default: u64) -> u64 {
    match std::env::var(key) {
        Ok(text) => {
            text.replace('_', "").parse().unwrap_or_else(|_| panic!("{key}={text} is no number"))
        }
        Err(_) => default,
    }
}
