//! Definition files (YAML) and their check against one another; and stored definitions, whose JSON
//! comes from the catalog.

use taghouse_rules::{DefinitionFile, Definitions, Document, parse_definitions};

pub fn read(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let file = DefinitionFile { path: "fuzz.yaml".to_owned(), text: text.to_owned() };
    if let Ok(documents) = parse_definitions(&[file]) {
        let stored: Vec<Document> = documents
            .iter()
            .filter_map(|document| {
                Document::stored(document.kind.as_str(), &document.name, &document.body)
            })
            .collect();
        let (fresh, stored) = (Definitions::check(&documents), Definitions::check(&stored));
        assert_eq!(fresh.is_ok(), stored.is_ok(), "what is stored means the same");
        if let Ok(definitions) = fresh {
            let _ = (
                definitions.tag_order(),
                definitions.crowd_order(),
                definitions.properties(),
                definitions.attributes(),
            );
        }
    }
    // A body that no check of shape has seen.
    if let Ok(body) = serde_json::from_str(text) {
        let documents: Vec<Document> = ["app", "source", "tag", "crowd"]
            .iter()
            .filter_map(|kind| Document::stored(kind, "x", &body))
            .collect();
        let _ = Definitions::check(&documents);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let shop = include_str!("../../tests/shop/shop.yaml");
    let mut seeds: Vec<Vec<u8>> =
        shop.split("---\n").map(|document| document.as_bytes().to_vec()).collect();
    seeds.push(shop.as_bytes().to_vec());
    let file = DefinitionFile { path: "shop.yaml".to_owned(), text: shop.to_owned() };
    seeds.extend(
        parse_definitions(&[file])
            .unwrap_or_default()
            .iter()
            .map(|document| document.body.to_string().into_bytes()),
    );
    seeds
}
