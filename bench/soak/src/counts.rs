use std::collections::BTreeMap;
use std::fmt;

/// How often each kind of step was taken, question asked and operator used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    steps: BTreeMap<&'static str, u64>,
    questions: BTreeMap<&'static str, u64>,
    operators: BTreeMap<&'static str, u64>,
    /// Questions answered by nobody, and by everybody.
    pub(crate) none: u64,
    pub(crate) all: u64,
}

impl Counts {
    /// How many questions were asked.
    pub fn questions(&self) -> u64 {
        self.questions.values().sum()
    }

    /// Kinds of steps, questions and operators that never occurred.
    pub fn missing(&self) -> Vec<&'static str> {
        let steps = crate::steps::STEPS
            .iter()
            .map(|step| step.name)
            .filter(|name| !self.steps.contains_key(name));
        let questions = crate::questions::QUESTIONS
            .iter()
            .map(|question| question.name)
            .filter(|name| !self.questions.contains_key(name));
        let operators = crate::predicates::OPERATORS
            .iter()
            .copied()
            .filter(|name| !self.operators.contains_key(name));
        steps.chain(questions).chain(operators).collect()
    }

    pub(crate) fn step(&mut self, name: &'static str) {
        *self.steps.entry(name).or_default() += 1;
    }

    pub(crate) fn question(&mut self, name: &'static str) {
        *self.questions.entry(name).or_default() += 1;
    }

    pub(crate) fn operator(&mut self, name: &'static str) {
        *self.operators.entry(name).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let parts = [
            (&mut self.steps, &other.steps),
            (&mut self.questions, &other.questions),
            (&mut self.operators, &other.operators),
        ];
        for (mine, others) in parts {
            others.iter().for_each(|(name, count)| *mine.entry(name).or_default() += count);
        }
        self.none += other.none;
        self.all += other.all;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, counts) in
            [("steps", &self.steps), ("questions", &self.questions), ("operators", &self.operators)]
        {
            writeln!(f, "{title}: {}", counts.values().sum::<u64>())?;
            counts.iter().try_for_each(|(name, count)| writeln!(f, "  {count:>9}  {name}"))?;
        }
        writeln!(f, "answers: nobody {}, everybody {}", self.none, self.all)
    }
}
