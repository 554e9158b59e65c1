use std::collections::{BTreeMap, BTreeSet};
use taghouse_model::Name;

/// How far a name is.
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// On the way that leads to where we are.
    Open,
    Done,
}

/// All names, each after those it needs, otherwise by name; and the circles met, each as the names
/// on it, from its first one on.
///
/// Needs that are not key are passed over. Walks without recursion: a chain may be as long as there
/// are names.
pub(super) fn dependencies_first(
    needs: &BTreeMap<Name, BTreeSet<Name>>,
) -> (Vec<Name>, Vec<Vec<Name>>) {
    let mut states: BTreeMap<&Name, State> = BTreeMap::new();
    let (mut order, mut circles) = (Vec::new(), Vec::new());
    for root in needs.keys() {
        if states.contains_key(root) {
            continue;
        }
        states.insert(root, State::Open);
        let mut way: Vec<(&Name, Vec<&Name>)> = vec![(root, next(needs, root))];
        while let Some((name, left)) = way.last_mut() {
            let Some(need) = left.pop() else {
                states.insert(name, State::Done);
                order.push((*name).clone());
                way.pop();
                continue;
            };
            match states.get(need) {
                Some(State::Done) => {}
                Some(State::Open) => {
                    circles.push(
                        way.iter().map(|(n, _)| *n).skip_while(|n| *n != need).cloned().collect(),
                    );
                }
                None => {
                    states.insert(need, State::Open);
                    way.push((need, next(needs, need)));
                }
            }
        }
    }
    (order, circles)
}

/// What a name needs, the first by name last.
fn next<'a>(needs: &'a BTreeMap<Name, BTreeSet<Name>>, name: &Name) -> Vec<&'a Name> {
    let all = needs.get(name).into_iter().flatten();
    all.rev().filter_map(|need| needs.get_key_value(need).map(|(key, _)| key)).collect()
}
