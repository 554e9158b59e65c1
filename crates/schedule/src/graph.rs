use crate::{Error, Result};
use std::collections::HashMap;

/// Which task waits for which, by their place in the list given.
#[derive(Debug)]
pub(crate) struct Graph {
    /// How many tasks each waits for.
    pub(crate) needs: Vec<usize>,
    /// Who waits for each.
    pub(crate) dependants: Vec<Vec<usize>>,
}

impl Graph {
    /// Checks names and arrows.
    ///
    /// # Errors
    /// `Invalid`: a name given twice, an `after` that names no task of the run, a cycle (which is
    /// named).
    pub(crate) fn new(tasks: &[(String, Vec<String>)]) -> Result<Self> {
        let mut places = HashMap::new();
        for (place, (name, _)) in tasks.iter().enumerate() {
            if places.insert(name.as_str(), place).is_some() {
                return Err(Error::Invalid(format!(
                    "two tasks of the run are called \"{name}\": give each its own name"
                )));
            }
        }
        let mut graph =
            Self { needs: vec![0; tasks.len()], dependants: vec![Vec::new(); tasks.len()] };
        for (place, (name, after)) in tasks.iter().enumerate() {
            for needed in after {
                let Some(needed) = places.get(needed.as_str()) else {
                    return Err(Error::Invalid(format!(
                        "task \"{name}\" comes after \"{needed}\", which is not a task of the run"
                    )));
                };
                graph.needs[place] += 1;
                graph.dependants[*needed].push(place);
            }
        }
        let stuck = graph.never_ready();
        if stuck.is_empty() {
            return Ok(graph);
        }
        let names: Vec<_> =
            stuck.into_iter().map(|place| format!("\"{}\"", tasks[place].0)).collect();
        Err(Error::Invalid(format!(
            "tasks wait for each other in a cycle, or behind one: {}",
            names.join(", ")
        )))
    }

    /// Tasks that no order reaches (Kahn).
    fn never_ready(&self) -> Vec<usize> {
        let mut needs = self.needs.clone();
        let mut ready: Vec<usize> = (0..needs.len()).filter(|place| needs[*place] == 0).collect();
        while let Some(place) = ready.pop() {
            for dependant in &self.dependants[place] {
                needs[*dependant] -= 1;
                if needs[*dependant] == 0 {
                    ready.push(*dependant);
                }
            }
        }
        (0..needs.len()).filter(|place| needs[*place] > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `"a; b a; c a b"`: each task with those it comes after.
    fn check(text: &str, expected: std::result::Result<&[usize], &str>) {
        let words = |part: &str| part.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let tasks: Vec<_> =
            text.split(';').map(words).map(|mut words| (words.remove(0), words)).collect();
        match (Graph::new(&tasks), expected) {
            (Ok(graph), Ok(needs)) => assert_eq!(graph.needs, needs, "{text}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{text}: {error}"),
            (graph, _) => panic!("{text}: {graph:?}"),
        }
    }

    #[test]
    fn cases() {
        check("a", Ok(&[0]));
        check("c a b; b a; a", Ok(&[2, 1, 0]));
        check("a; b a; c a; d b c", Ok(&[0, 1, 1, 2]));
        check("a; b a a", Ok(&[0, 2]));
        check("a; a", Err("two tasks of the run are called \"a\""));
        check("a x", Err("task \"a\" comes after \"x\""));
        check("a a", Err("cycle, or behind one: \"a\""));
        check("a; b a c; c b; d c", Err("cycle, or behind one: \"b\", \"c\", \"d\""));
    }
}
