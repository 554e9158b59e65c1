//! What a right set of definitions becomes.
#![allow(clippy::unwrap_used, clippy::panic)]

mod definitions;

use definitions::{check, file, shown};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use std::path::Path;
use taghouse_model::{Name, Value, ValueType};
use taghouse_rules::{
    AggregateFunction, CrowdChecks, CrowdPolicy, CrowdSource, Definitions, Document, DocumentKind,
    EventMapping, Expression, RolloutPlan, Scalar, Share, SourceFormat, StepKind, TagKind,
    TimeFormat, Trigger, UnknownColumns, Window, parse_definitions,
};

const GOOD: &str = include_str!("definitions/good.yaml");

fn good() -> Definitions {
    check(GOOD).unwrap_or_else(|errors| panic!("{}", shown(&errors)))
}

fn names(all: &[Name]) -> Vec<&str> {
    all.iter().map(Name::as_str).collect()
}

#[test]
fn sources_are_read() {
    let definitions = good();
    assert_eq!(definitions.app.id.as_str(), "shop");
    assert_eq!(definitions.app.time_zone, TimeZone::get("Europe/London").unwrap());
    let retail = &definitions.sources["online_retail"];
    assert_eq!(retail.format, SourceFormat::Csv { delimiter: b';', escape: None });
    assert_eq!(
        retail.user_id.as_ref().map(|u| (u.column.as_str(), u.value_type, u.required)),
        Some(("CustomerID", ValueType::Int, true))
    );
    let Some(EventMapping::Rules(rules)) = &retail.event else { panic!("rules expected") };
    assert_eq!(
        rules.iter().map(|r| (r.when.is_some(), r.name.as_str())).collect::<Vec<_>>(),
        [(true, "refund"), (false, "purchase")]
    );
    let time = retail.time.as_ref().unwrap();
    assert_eq!(time.format, TimeFormat::Pattern("%Y-%m-%d %H:%M:%S".to_owned()));
    assert_eq!(time.zone, Some(TimeZone::get("Europe/Paris").unwrap()));
    assert_eq!(retail.unknown_columns, UnknownColumns::Ignore);
    assert_eq!(retail.max_reject_share, Decimal::new(25, 2));
    assert_eq!(retail.max_future_ms, 2 * 3_600_000);
    assert_eq!(
        (retail.filters.len(), retail.rejects.len(), retail.ignore.as_slice()),
        (2, 1, ["Description".to_owned()].as_slice())
    );
    assert!(retail.properties["quantity"].required && !retail.properties["invoice"].required);
    assert_eq!(retail.properties["delivered"].format.as_deref(), Some("%d.%m.%Y"));
    assert_eq!(
        definitions.sources["people"].time.as_ref().unwrap().format,
        TimeFormat::Epoch(taghouse_rules::reader::EpochUnit::Milliseconds)
    );
    assert_eq!(definitions.sources["people"].attributes["country"].column, "address.country");
    let live = &definitions.sources["live"];
    assert_eq!(
        (live.unknown_columns, live.max_reject_share, live.user_id.is_none()),
        (UnknownColumns::Keep, Decimal::new(5, 1), true)
    );
    assert_eq!(definitions.sources["lines"].event, Some(EventMapping::Column("e".to_owned())));
    assert_eq!(definitions.sources["lines"].unknown_columns, UnknownColumns::Reject);
    let types = definitions.properties();
    assert_eq!(types["unit_price"], ValueType::Decimal { scale: 4 });
    assert_eq!((types["delivered"], types["packed_at"]), (ValueType::Date, ValueType::Time));
    assert_eq!(
        definitions.attributes().keys().map(Name::as_str).collect::<Vec<_>>(),
        ["birthday", "country", "interests", "limit"]
    );
}

#[test]
fn tags_are_read() {
    let definitions = good();
    let aggregate = |name: &str| match &definitions.tags[name].kind {
        TagKind::Aggregate(aggregate) => aggregate.clone(),
        other => panic!("{name} is {other:?}"),
    };
    let orders = aggregate("orders_30d");
    assert_eq!(
        (orders.function, orders.window, orders.events.as_slice()),
        (AggregateFunction::CountDistinct, Window::Days(30), ["purchase".to_owned()].as_slice())
    );
    assert!(orders.filter.is_some() && orders.value == Some(Scalar::Name("invoice".to_owned())));
    assert_eq!(
        (aggregate("events_12h").window, aggregate("events_12h").value),
        (Window::Hours(12), None)
    );
    assert_eq!(aggregate("spend").window, Window::Lifetime);
    let row = |name: &str| {
        Some(if name == "quantity" {
            Value::Int(3)
        } else {
            Value::Decimal("1.2345".parse().unwrap())
        })
    };
    let value = |name: &str| {
        aggregate(name).value.unwrap().value(definitions.tag_type(name).unwrap(), &row).unwrap()
    };
    assert_eq!(value("spend"), Value::Decimal("3.7035".parse().unwrap()));
    // A whole number for a decimal tag comes as a decimal, a division is rounded once, to the tag's
    // scale.
    assert!(value("quantity_sum").is_of(ValueType::Decimal { scale: 2 }));
    assert_eq!(value("halves"), Value::Decimal("1.5".parse().unwrap()));
    let seven = |_: &str| Some(Value::Int(7));
    let third = check(&GOOD.replace("quantity / 2", "1 / quantity")).unwrap();
    let TagKind::Aggregate(third) = &third.tags["halves"].kind else {
        panic!("an aggregate expected")
    };
    assert_eq!(
        third.value.as_ref().unwrap().value(ValueType::Decimal { scale: 4 }, &seven),
        Some(Value::Decimal("0.1429".parse().unwrap()))
    );

    let TagKind::Cohort { rules, otherwise } = &definitions.tags["band"].kind else {
        panic!("a cohort expected")
    };
    assert_eq!(
        rules.iter().map(|r| r.value.to_string()).collect::<Vec<_>>(),
        ["gold", "NO"],
        "NO is not a truth value"
    );
    assert_eq!(*otherwise, Some(Value::text("none")));
    let TagKind::Cohort { rules, otherwise } = &definitions.tags["discount"].kind else {
        panic!("a cohort expected")
    };
    assert_eq!(rules[0].value, Value::Decimal(Decimal::new(15, 1)));
    assert_eq!(
        (&rules[1].value, otherwise),
        (&Value::Decimal(Decimal::ONE), &Some(Value::Decimal(Decimal::new(25, 2))))
    );
    let TagKind::Cohort { rules, .. } = &definitions.tags["since"].kind else {
        panic!("a cohort expected")
    };
    assert_eq!(rules[0].value.to_string(), "2011-06-30T23:00:00Z", "midnight in London");
    let TagKind::Cohort { rules, .. } = &definitions.tags["kinds"].kind else {
        panic!("a cohort expected")
    };
    assert_eq!(rules[0].value, Value::Set(["a".into(), "b".into()].into()));
    assert_eq!(rules[1].value, Value::Set(["c".into()].into()));

    assert!(matches!(definitions.tags["vip"].kind, TagKind::Expression(Expression::Condition(_))));
    assert!(matches!(
        definitions.tags["vip_or_not"].kind,
        TagKind::Expression(Expression::Scalar(_))
    ));
    assert!(
        matches!(&definitions.tags["rows"].kind, TagKind::Sql { query } if query.contains("{as_of}"))
    );
    assert_eq!(definitions.tag_type("last_seen"), Some(ValueType::Time));
    assert_eq!(definitions.tags["band"].description.as_deref(), Some("By the average order."));
}

#[test]
fn tags_over_the_order_of_events_are_read() {
    let definitions = good();
    let kind = |name: &str| definitions.tags[name].kind.clone();
    let TagKind::Session(session) = kind("visits_30d") else { panic!("a session expected") };
    assert_eq!((session.gap_ms, session.window), (45 * 60_000, Window::Days(30)));
    assert!(session.of.filter.is_some() && session.of.events == ["purchase", "refund"]);

    let TagKind::State(machine) = kind("lifecycle") else { panic!("a state expected") };
    assert_eq!(machine.initial.as_deref(), Some("new"));
    let [to_active, _, to_lost] = machine.transitions.as_slice() else { panic!("three expected") };
    assert!(to_active.from.is_empty() && matches!(to_active.trigger, Trigger::Event(_)));
    assert_eq!(to_lost.trigger, Trigger::Elapsed(90 * 86_400_000));
    assert_eq!(to_lost.from, ["active", "doubtful"]);

    let TagKind::Sequence(sequence) = kind("sent_back") else { panic!("a sequence expected") };
    let kinds: Vec<StepKind> = sequence.steps.iter().map(|step| step.kind).collect();
    assert_eq!(kinds, [StepKind::Times(2), StepKind::Absent, StepKind::Times(1)]);
    assert_eq!(sequence.within_ms, Some(14 * 86_400_000));
    let TagKind::Sequence(silent) = kind("silent") else { panic!("a sequence expected") };
    assert_eq!(silent.steps[1].kind, StepKind::AbsentFor(7 * 86_400_000));
    let properties = TagKind::Sequence(sequence).over_events().unwrap().properties().len();
    assert_eq!(properties, 2, "gift and invoice");
}

#[test]
fn conditions_on_events_are_anonymous_tags_that_equal_ones_share() {
    let definitions = good();
    let anonymous: Vec<_> = definitions.tags.values().filter(|tag| tag.is_anonymous()).collect();
    let texts: Vec<_> = anonymous.iter().filter_map(|tag| tag.description.as_deref()).collect();
    assert_eq!(anonymous.len(), 4, "the first of both crowds is one tag: {texts:?}");
    let names = |crowd: &str| -> Vec<String> {
        let names = definitions.crowds[crowd].tags();
        names.into_iter().map(str::to_owned).collect()
    };
    let shared = names("five_times_of_late");
    assert!(names("thrice_of_late").iter().any(|name| shared.contains(name)));

    let checked = &definitions.crowds["five_times_of_late"].rule().unwrap().checked;
    assert!(checked.matches(&|_| None), "a sum of nothing is under 100");
    let twice = |name: &str| name.starts_with("__did").then_some(Value::Int(2));
    assert!(!definitions.crowds["thrice_of_late"].rule().unwrap().checked.matches(&twice));

    let (_, asked) = definitions
        .check_expression("did(\"purchase\", within 30d, where unit_price > 10)")
        .unwrap();
    assert_eq!(asked.names().len(), 1, "a question may ask what a crowd does");
    let unknown = definitions.check_expression("did(\"purchase\", within 31d)").unwrap_err();
    assert!(unknown.to_string().contains("no crowd that was produced asks for"), "{unknown}");
}

/// The canonical text of a crowd is what versions are told by.
#[test]
fn crowds_are_made_in_several_ways() {
    let definitions = good();
    let crowds = definitions.crowds.values().filter(|c| c.name.as_str().starts_with("kind_"));
    let texts: Vec<String> =
        crowds.map(|c| format!("{}: {} {}", c.name, c.source.kind(), c.source)).collect();
    assert_eq!(
        texts,
        [
            "kind_ids: ids ids: 2 (xxh3 d9fbb2265bf748fcb5eb62eea5494c52)",
            "kind_import: import imported from files",
            "kind_import_found: import imported from files",
            "kind_sample: sample sample 5%, salt \"kind_sample\", of crowd(\"kind_top\") && did(\"refund\", within 90d)",
            "kind_sample_of_all: sample sample 100, salt \"spring\"",
            "kind_sql: sql sql SELECT user_id FROM events",
            "kind_top: top top 1000, lowest orders_30d, among orders_30d >= 1",
            "kind_top_share: top top 0.5%, highest orders_30d",
        ]
    );
    let CrowdSource::Ids(list) = &definitions.crowds["kind_ids"].source else { panic!("ids") };
    assert_eq!(*list.ids, ["ann", "0042", "ann"], "as written");
    let tags = |crowd: &str| definitions.crowds[crowd].tags().len();
    assert_eq!((tags("kind_top"), tags("kind_sample"), tags("kind_sql")), (1, 1, 0));
    let order = definitions.crowd_order();
    let at = |name: &str| order.iter().position(|n| n.as_str() == name).unwrap();
    assert!(at("kind_top") < at("kind_sample"), "{order:?}");
}

#[test]
fn what_is_needed_comes_first() {
    let definitions = good();
    let order = definitions.tag_order();
    assert_eq!(order.len(), definitions.tags.len());
    let at = |name: &str| order.iter().position(|n| n.as_str() == name).unwrap();
    for (name, tag) in &definitions.tags {
        for need in tag.kind.tags() {
            assert!(at(need.as_str()) < at(name.as_str()), "{need} comes after {name}");
        }
    }
    let order = definitions.crowd_order();
    let crowds: Vec<&str> =
        names(&order).into_iter().filter(|name| !name.starts_with("kind_")).collect();
    assert_eq!(
        crowds,
        ["awake", "best", "careful", "five_times_of_late", "left_it", "thrice_of_late"]
    );
    assert_eq!(
        definitions.crowds["best"].source.to_string(),
        "band == \"gold\" && crowd(\"awake\")"
    );
}

#[test]
fn how_versions_are_published_is_read() {
    let definitions = good();
    let share = |text| Share::parse(text).unwrap();
    let policy = &definitions.crowds["careful"].policy;
    assert_eq!((policy.keep, policy.needs_approval), (10, true));
    let checks = CrowdChecks {
        min_size: Some(1),
        max_size: Some(1_000_000),
        max_change: Some(share("20%")),
    };
    assert_eq!(policy.checks, checks);
    let stages = ["0.5%", "10%", "50%"].map(share).to_vec();
    assert_eq!(policy.rollout, Some(RolloutPlan { stages, every_ms: 12 * 3_600_000 }));
    assert_eq!(policy.refresh_every_ms, Some(30 * 60_000));
    assert_eq!(policy.holdout, share("5%"));
    assert_eq!(policy.always.iter().collect::<Vec<_>>(), ["tester"]);
    assert_eq!(policy.never.iter().collect::<Vec<_>>(), ["ceo"]);
    assert_eq!(definitions.crowds["best"].policy, CrowdPolicy::default());
}

#[test]
fn an_expression_is_checked_against_the_set() {
    let definitions = good();
    let (tree, checked) = definitions.check_expression("spend >= 5000 && crowd('best')").unwrap();
    assert_eq!(tree.to_string(), "spend >= 5000 && crowd(\"best\")");
    assert_eq!(checked.names().into_iter().collect::<Vec<_>>(), ["spend"]);
    let error =
        definitions.check_expression("vip == true && spnd >= 5000").unwrap_err().to_string();
    assert_eq!(
        error,
        "unknown name `spnd`; did you mean `spend`?\n  1 | vip == true && spnd >= 5000\n    |                ^"
    );
}

/// The canonical JSON is a definition too, and equal definitions have equal ones, however they are
/// written.
#[test]
fn the_canonical_form_says_all() {
    let documents = parse_definitions(&[file("good.yaml", GOOD)]).unwrap();
    let stored: Vec<Document> = documents
        .iter()
        .map(|d| Document::stored(d.kind.as_str(), &d.name, &d.body).unwrap())
        .collect();
    assert_eq!(Definitions::check(&stored).unwrap(), good());
    let json: Vec<_> = documents.iter().map(|d| file("a.json", &d.body.to_string())).collect();
    let again = parse_definitions(&json).unwrap();
    assert_eq!(
        again.iter().map(|d| &d.body).collect::<Vec<_>>(),
        documents.iter().map(|d| &d.body).collect::<Vec<_>>()
    );
    assert_eq!(
        documents[0].body.to_string(),
        r#"{"kind":"app","id":"shop","time_zone":"Europe/London","description":"A shop."}"#
    );

    let one = "kind: tag\nname: a\ntype: int\naggregate: { function: count, window: 1d }\n";
    let other = "# the same\n\"type\": 'int'\naggregate:\n  window: \"1d\"\n  events: []\n  where:\n  function: count\nname: a\nkind: tag\n";
    let body =
        |text: &str| parse_definitions(&[file("x", text)]).unwrap().remove(0).body.to_string();
    assert_eq!(body(one), body(other));
    assert_eq!(Document::stored("tagg", "a", &documents[0].body), None);
}

#[test]
fn documents_know_their_place() {
    let files = [
        file(
            "a.yaml",
            "# first\n\nkind: app\nid: shop\n---\n\nkind: crowd\nname: b\nexpression: x == 1\n",
        ),
        file("b.yaml", ""),
    ];
    let documents = parse_definitions(&files).unwrap();
    let places: Vec<_> =
        documents.iter().map(|d| (d.kind, d.name.as_str(), d.path.as_str(), d.line)).collect();
    assert_eq!(
        places,
        [(DocumentKind::App, "shop", "a.yaml", 3), (DocumentKind::Crowd, "b", "a.yaml", 7)]
    );
}

/// The definitions that ship with the product check, wherever they are by now.
#[test]
fn shipped_definitions_check() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = 0;
    for folder in ["examples/online-retail", "crates/taghouse/src/demo/definitions"] {
        let Ok(entries) = std::fs::read_dir(root.join(folder)) else { continue };
        let paths = entries
            .map(|e| e.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == "yaml"));
        let files: Vec<_> = paths
            .map(|p| file(&p.to_string_lossy(), &std::fs::read_to_string(&p).unwrap()))
            .collect();
        let checked =
            parse_definitions(&files).and_then(|documents| Definitions::check(&documents));
        assert!(checked.is_ok(), "{}", shown(&checked.unwrap_err()));
        found += 1;
    }
    assert!(found > 0, "neither folder is there any more");
}
