//! The functions that queries may call. What is not named here is refused: a function that makes
//! much of little would take the memory of the process, and one whose answer is another at each
//! call would make tags that nobody can make again.

use super::bounded::{Bounded, Joined, Room};
use crate::{Error, Result};
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use std::collections::HashMap;
use std::sync::Arc;

/// Their results are no larger than a few times their arguments.
const SCALAR: &str = "abs acos acosh array_any_value array_dims array_distinct array_element array_except array_has array_intersect \
    array_length array_max array_min array_ndims array_pop_back array_pop_front array_position array_positions array_remove \
    array_remove_all array_remove_n array_reverse array_slice array_sort arrow_cast arrow_typeof ascii asin asinh atan atan2 atanh \
    bit_length btrim cardinality cbrt ceil character_length chr coalesce contains cos cosh cot current_date current_time date_bin \
    date_part date_trunc decode degrees empty ends_with exp factorial find_in_set flatten floor from_unixtime gcd get_field greatest \
    initcap isnan iszero lcm least left ln log log10 log2 lower ltrim make_date make_time nanvl now nullif nvl nvl2 octet_length pi power \
    radians regexp_count regexp_instr regexp_like regexp_match reverse right round rtrim signum sin sinh split_part sqrt starts_with \
    strpos substr substr_index tan tanh to_date to_hex to_local_time to_time to_timestamp to_timestamp_micros to_timestamp_millis \
    to_timestamp_nanos to_timestamp_seconds to_unixtime trunc upper";

/// Their results can be far larger than their arguments, or twice as large at each of many levels:
/// they are called through [`Bounded`].
const GROWING: &str = "array_append array_concat array_prepend array_to_string array_union concat concat_ws encode lpad make_array \
    regexp_replace repeat replace rpad string_to_array to_char translate";

const AGGREGATE: &str = "approx_distinct approx_median array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp \
    first_value last_value max median min nth_value regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy \
    regr_syy stddev stddev_pop string_agg sum var var_pop";

const WINDOW: &str = "cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number";

fn named(list: &str, name: &str) -> bool {
    list.split_whitespace().any(|allowed| allowed == name)
}

/// The functions of one query.
pub(super) struct Functions {
    pub(super) scalar: Vec<Arc<ScalarUDF>>,
    pub(super) aggregate: Vec<Arc<AggregateUDF>>,
    pub(super) window: Vec<Arc<WindowUDF>>,
    growing: HashMap<String, Arc<ScalarUDF>>,
    joined: Arc<ScalarUDF>,
}

impl Functions {
    /// All that are allowed; those that can grow keep to `room`.
    pub(super) fn new(room: &Arc<Room>) -> Self {
        let (mut scalar, mut growing) = (Vec::new(), HashMap::new());
        for function in SessionStateDefaults::default_scalar_functions() {
            if named(SCALAR, function.name()) {
                scalar.push(function);
            } else if named(GROWING, function.name()) {
                let bounded =
                    Arc::new(ScalarUDF::new_from_impl(Bounded::new(function, room.clone())));
                growing.insert(bounded.name().to_owned(), bounded.clone());
                scalar.push(bounded);
            }
        }
        let aggregate = SessionStateDefaults::default_aggregate_functions()
            .into_iter()
            .filter(|f| named(AGGREGATE, f.name()));
        let window = SessionStateDefaults::default_window_functions()
            .into_iter()
            .filter(|f| named(WINDOW, f.name()));
        let joined = Arc::new(ScalarUDF::new_from_impl(Joined::new(room.clone())));
        Self { scalar, aggregate: aggregate.collect(), window: window.collect(), growing, joined }
    }

    /// What is to be called instead of a function that the planner put in by itself, such as that
    /// of `[1, 2]`. `None`: it may stay.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not allowed.
    pub(super) fn instead_of(&self, function: &ScalarUDF) -> Result<Option<&Arc<ScalarUDF>>> {
        match self.growing.get(function.name()) {
            Some(_) if function.inner().as_any().is::<Bounded>() => Ok(None),
            Some(bounded) => Ok(Some(bounded)),
            None if named(SCALAR, function.name()) || function.name() == self.joined.name() => {
                Ok(None)
            }
            None => Err(refused(function.name())),
        }
    }

    /// What `||` means.
    pub(super) fn joined(&self) -> &Arc<ScalarUDF> {
        &self.joined
    }

    /// The names under which the allowed functions are called.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let scalar = self
            .scalar
            .iter()
            .flat_map(|f| std::iter::once(f.name()).chain(f.aliases().iter().map(String::as_str)));
        let aggregate = self
            .aggregate
            .iter()
            .flat_map(|f| std::iter::once(f.name()).chain(f.aliases().iter().map(String::as_str)));
        let window = self
            .window
            .iter()
            .flat_map(|f| std::iter::once(f.name()).chain(f.aliases().iter().map(String::as_str)));
        scalar.chain(aggregate).chain(window).chain(["unnest"])
    }
}

/// The error for a function that is not allowed.
pub(super) fn refused(name: &str) -> Error {
    let mut allowed: Vec<&str> = [SCALAR, GROWING, AGGREGATE, WINDOW]
        .iter()
        .flat_map(|list| list.split_whitespace())
        .collect();
    allowed.push("unnest");
    allowed.sort_unstable();
    allowed.dedup();
    Error::Invalid(format!(
        "the function \"{name}\" is not allowed in queries. These are: {}",
        allowed.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_lists_is_a_function_and_stands_in_one_list() {
        let functions = Functions::new(&Arc::default());
        let scalar: Vec<&str> = functions.scalar.iter().map(|f| f.name()).collect();
        let aggregate: Vec<&str> = functions.aggregate.iter().map(|f| f.name()).collect();
        let window: Vec<&str> = functions.window.iter().map(|f| f.name()).collect();
        for (lists, found) in
            [(vec![SCALAR, GROWING], scalar), (vec![AGGREGATE], aggregate), (vec![WINDOW], window)]
        {
            for name in lists.iter().flat_map(|list| list.split_whitespace()) {
                assert_eq!(found.iter().filter(|found| **found == name).count(), 1, "{name}");
            }
        }
        for dangerous in [
            "range",
            "generate_series",
            "array_repeat",
            "array_resize",
            "levenshtein",
            "array_has_any",
            "named_struct",
            "random",
        ] {
            assert!(functions.names().all(|name| name != dangerous), "{dangerous}");
        }
    }
}
