//! A few thousand questions, the same on every run. `make soak` asks as many as one wants.
#![allow(clippy::unwrap_used, clippy::panic)]

use taghouse_soak::Soak;

#[test]
fn every_kind_of_step_and_question_is_answered_right() {
    let mut soak = Soak::new(1, None).unwrap();
    while soak.counts().questions() < 4_000 {
        soak.run_one().unwrap_or_else(|error| panic!("{error:?}"));
    }
    assert_eq!(soak.counts().missing(), Vec::<&str>::new(), "{}", soak.counts());
}
