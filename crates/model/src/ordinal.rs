/// The dense number that the dictionary gives a user id, from 0. 32 bits hold four billion users of
/// one app.
pub type Ordinal = u32;
