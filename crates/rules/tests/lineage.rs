//! Labels flow from columns to tags, from tags to tags, and on to crowds; what they forbid is
//! refused with the way on which they came.
#![allow(clippy::unwrap_used, clippy::panic)]

use taghouse_rules::{DefinitionFile, Definitions, Labelled, Use, parse_definitions};

const SHOP: &str = r#"
kind: app
id: shop
---
kind: source
name: hr
format: csv
user_id: id
time: at
event: {column: event}
properties:
  grade: {column: grade, type: int, labels: [personal]}
  kind: {column: kind}
attributes:
  income: {column: salary, type: int, labels: [no-export, sensitive]}
  city: city
---
{kind: tag, name: income, type: int, attribute: income}
---
{kind: tag, name: city, type: enum, attribute: city}
---
{kind: tag, name: band, type: enum, cohort: {rules: [{when: income > 100000, value: high}]}}
---
{kind: tag, name: graded, type: int, aggregate: {function: count, where: grade > 3}}
---
{kind: tag, name: asked, type: int, sql: "SELECT user_id, 1 AS value FROM events"}
---
{kind: crowd, name: vip, expression: band == 'high'}
---
{kind: crowd, name: nested, expression: 'crowd("vip") && city is set'}
---
{kind: crowd, name: plain, expression: city is set}
---
{kind: crowd, name: seen, expression: 'did("visit", where grade > 2)'}
---
{kind: crowd, name: named, ids: [ann], labels: [no-export], category: sales}
"#;

fn definitions(more: &str) -> Result<Definitions, Vec<String>> {
    let file = DefinitionFile { path: "shop.yaml".into(), text: format!("{SHOP}{more}") };
    let documents = parse_definitions(&[file]).unwrap();
    Definitions::check(&documents)
        .map_err(|errors| errors.into_iter().map(|error| error.message).collect())
}

#[test]
fn labels_flow_from_columns_to_crowds_and_the_way_is_named() {
    let shop = definitions("").unwrap();
    let path = |of, asked| shop.forbidden(of, asked).map(|forbidden| forbidden.path);
    let tag = "tag income reads column salary of source hr, labelled no-export";
    assert_eq!(path(Labelled::Tag("income"), Use::Export).as_deref(), Some(tag));
    let crowd = "crowd nested uses crowd vip, which uses tag band, which uses tag income, which reads column salary of source hr, labelled no-export";
    assert_eq!(path(Labelled::Crowd("nested"), Use::Activate).as_deref(), Some(crowd));
    let masked =
        "tag band uses tag income, which reads column salary of source hr, labelled sensitive";
    assert_eq!(path(Labelled::Tag("band"), Use::Mask).as_deref(), Some(masked));
    let own = "crowd named is labelled no-export";
    assert_eq!(path(Labelled::Crowd("named"), Use::Export).as_deref(), Some(own));
    let query =
        "tag asked is a query, which may read column salary of source hr, labelled no-export";
    assert_eq!(path(Labelled::Tag("asked"), Use::Export).as_deref(), Some(query));
    for free in [Labelled::Crowd("plain"), Labelled::Tag("city"), Labelled::Tag("graded")] {
        assert_eq!(path(free, Use::Export), None, "{free}");
    }
    assert_eq!(shop.labels(Labelled::Tag("graded")).into_iter().collect::<Vec<_>>(), ["personal"]);
    assert!(shop.labels(Labelled::Crowd("seen")).contains("personal"), "a condition on events");
    assert_eq!(shop.crowds["named"].marks.category.as_deref(), Some("sales"));
}

#[test]
fn an_app_says_what_labels_forbid() {
    let own = SHOP.replace(
        "id: shop\n",
        "id: shop\naccess: {min_audience: 20, labels: {no-export: [], personal: [judge, view]}}\n",
    );
    let file = DefinitionFile { path: "shop.yaml".into(), text: own };
    let shop = Definitions::check(&parse_definitions(&[file]).unwrap()).unwrap();
    assert_eq!(shop.app.access.min_audience, Some(20));
    assert_eq!(shop.forbidden(Labelled::Crowd("vip"), Use::Export), None);
    let judged = shop.forbidden(Labelled::Crowd("seen"), Use::Judge).unwrap();
    assert_eq!(judged.label, "personal");
    assert!(judged.path.starts_with("crowd seen uses did("), "{}", judged.path);
    assert!(shop.forbidden(Labelled::Tag("income"), Use::Mask).is_some(), "as without a policy");
}

#[test]
fn a_sink_of_what_may_not_leave_is_refused() {
    let live = "---\n{kind: tag, name: grades, type: int, mode: stream, labels: [no-export], aggregate: {events: [seen], function: count}}\n";
    let sink = |named: &str| {
        format!(
            "{live}---\n{{kind: sink, name: out, webhook: {{url: \"https://example.com/\", secret: \"${{WEBHOOK_S}}\"}}{named}}}\n"
        )
    };
    for named in ["", ", tags: [grades]"] {
        let said = definitions(&sink(named)).unwrap_err();
        assert!(said[0].starts_with("tag grades is labelled no-export: "), "{said:?}");
    }
    assert!(definitions(&sink(", crowds: [plain]")).is_ok());
}

#[test]
fn what_is_wrong_is_named() {
    for (more, words) in [
        ("---\n{kind: crowd, name: a, expression: city is set, labels: [No]}", "label: \"No\""),
        (
            "---\n{kind: crowd, name: a, expression: city is set, category: A b}",
            "category: \"A b\"",
        ),
    ] {
        let said = definitions(more).unwrap_err();
        assert!(said.iter().any(|said| said.contains(words)), "{said:?}");
    }
    let few = SHOP.replace("id: shop\n", "id: shop\naccess: {min_audience: 1}\n");
    let file = DefinitionFile { path: "shop.yaml".into(), text: few };
    let said = Definitions::check(&parse_definitions(&[file]).unwrap()).unwrap_err();
    assert!(said[0].message.contains("from 2 to 1000000"), "{said:?}");
}
