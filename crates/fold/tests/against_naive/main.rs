//! Every function, window and filter, through every door, against an interpreter that sorts,
//! filters and computes with civil dates, trees and rust_decimal.

#![allow(clippy::unwrap_used, clippy::panic)]

mod doors;
mod generate;
mod journey;
mod journey_naive;
mod naive;

use generate::{Case, case};
use journey::{JourneyCase, journey_case};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn sliding_tiles_equal_the_naive_interpreter(case in case()) {
        for user in 0..Case::USERS {
            doors::sliding(&case, user)?;
        }
    }

    #[test]
    fn batches_equal_the_naive_interpreter(case in case()) {
        let values = doors::batches(&case);
        for (user, value) in values.into_iter().enumerate() {
            prop_assert_eq!(value, naive::value(&case, user, case.as_of_ms), "user {} of {:?}", user, case);
        }
    }

    #[test]
    fn merges_of_any_split_equal_one_state(case in case()) {
        for user in 0..Case::USERS {
            let expected = naive::value(&case, user, case.as_of_ms);
            prop_assert_eq!(doors::merged(&case, user)?, expected, "user {} of {:?}", user, case);
        }
    }

    #[test]
    fn sessions_states_and_sequences_equal_the_naive_interpreter(case in journey_case()) {
        let batch = journey::batch(&case);
        for (user, value) in (0..JourneyCase::USERS).zip(batch) {
            let expected = journey_naive::value(&case, user, case.as_of_ms);
            prop_assert_eq!(&value, &expected, "user {} in a batch of {:?}", user, case);
            journey::sliding(&case, user)?;
        }
    }
}
