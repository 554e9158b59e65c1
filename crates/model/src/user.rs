use crate::Invalid;

/// The longest user id, in bytes.
pub const MAX_USER_ID_BYTES: usize = 512;

/// Checks a user id: 1 to 512 bytes of any UTF-8 text.
///
/// # Errors
/// An empty or longer id.
pub fn check_user_id(id: &str) -> Result<&str, Invalid> {
    match id.len() {
        0 => Err(Invalid("the user id is empty".to_owned())),
        1..=MAX_USER_ID_BYTES => Ok(id),
        n => Err(Invalid(format!("the user id has {n} bytes, more than {MAX_USER_ID_BYTES}"))),
    }
}
