use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the call of a library that panics on some bytes that it never wrote. The panic's text, on
/// one line, is what is wrong with them.
///
/// # Errors
/// The panic's text. What the call worked on is to be dropped then: it may be half changed.
pub fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("a panic").replace('\n', " ")
    })
}
