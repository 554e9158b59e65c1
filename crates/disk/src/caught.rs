use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls a library that may panic on damaged bytes. A panic becomes an error with its text on one
/// line.
///
/// # Errors
/// The panic's text. Drop what the call worked on: it may be half changed.
pub fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("a panic").replace('\n', " ")
    })
}
