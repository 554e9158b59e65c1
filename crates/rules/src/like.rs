/// One step of a pattern.
enum Step {
    /// Exactly this character.
    Char(char),
    /// `_`
    One,
    /// `%`
    Any,
}

/// `%` any text, `_` one character, `\` takes the next character as it is (a last lone `\` stands
/// for itself).
fn steps(pattern: &str) -> impl Iterator<Item = Step> + '_ {
    let mut chars = pattern.chars();
    std::iter::from_fn(move || {
        Some(match chars.next()? {
            '%' => Step::Any,
            '_' => Step::One,
            '\\' => Step::Char(chars.next().unwrap_or('\\')),
            c => Step::Char(c),
        })
    })
}

/// Whether all of `text` fits the pattern. Case counts.
///
/// Time is at most pattern × text: only the last `%` is ever tried again.
pub fn like(pattern: &str, text: &str) -> bool {
    let steps: Vec<Step> = steps(pattern).collect();
    let mut at = 0;
    let mut rest = text.chars();
    // Where to go on if the current try fails: after the last `%`, with one more character eaten by
    // it.
    let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        let before = rest.clone();
        let fits = match (steps.get(at), rest.next()) {
            (None, None) => return true,
            (Some(Step::Any), _) => {
                at += 1;
                rest = before.clone();
                retry = Some((at, before));
                continue;
            }
            (Some(Step::One), Some(_)) => true,
            (Some(Step::Char(c)), Some(t)) => *c == t,
            _ => false,
        };
        if fits {
            at += 1;
            continue;
        }
        let Some((after, mut eaten)) = retry.take() else { return false };
        if eaten.next().is_none() {
            return false;
        }
        at = after;
        rest = eaten.clone();
        retry = Some((after, eaten));
    }
}

/// The text that everything that fits the pattern begins with; all of it if the pattern has no `%`
/// and no `_`.
pub fn like_prefix(pattern: &str) -> String {
    steps(pattern).map_while(|step| if let Step::Char(c) = step { Some(c) } else { None }).collect()
}
