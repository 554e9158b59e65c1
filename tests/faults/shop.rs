//! A small shop under a server, asked and written to over HTTP.

use crate::driver::{Answer, House, Server, eventually, shop_definitions};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;

const APP: &str = "/api/v1/apps/corner";
/// Users `u0` … of the files.
pub(crate) const USERS: u32 = 50;

/// Applies the definitions, ingests two files of orders and produces.
pub(crate) fn fill(house: &House) {
    house.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
    let mut folder = None;
    for file in 0..2 {
        let mut text = String::from("id,user,event,time,sku,amount\n");
        for row in 0..100 {
            let (user, id) = ((row * 7 + file * 3) % USERS, file * 100 + row);
            writeln!(
                text,
                "{id},u{user},purchase,2026-06-{:02}T10:00:00,s{},{}.50",
                1 + row % 28,
                row % 5,
                5 + row % 40
            )
            .unwrap();
        }
        folder = house
            .file(&format!("in/orders-{file}.csv"), text)
            .parent()
            .map(std::path::Path::to_owned);
    }
    house.ok(&["ingest", "--source", "orders", folder.unwrap().to_str().unwrap()]);
    house.ok(&["produce", "--as-of", "2026-07-01T00:00"]);
}

/// A server with keys to all its doors.
pub(crate) struct Shop {
    pub(crate) server: Server,
    admin: String,
    write: String,
}

impl Shop {
    /// The first server of a folder.
    pub(crate) fn open(house: &House) -> Self {
        let server = house.serve();
        let admin = server.admin_key.clone().unwrap();
        let write = server
            .post("/api/v1/keys", &admin, &json!({"role": "write", "app": "corner"}))
            .json()["secret"]
            .as_str()
            .unwrap()
            .to_owned();
        Self { server, admin, write }
    }

    /// Another server of it.
    pub(crate) fn with(&self, server: Server) -> Self {
        Self { server, admin: self.admin.clone(), write: self.write.clone() }
    }

    pub(crate) fn event(&self, user: &str, noise: &str) -> Answer {
        let call = json!({"userId": user, "event": "purchase", "messageId": format!("m-{user}"), "timestamp": "2026-06-20T10:00:00.000Z",
            "properties": {"sku": "live", "amount": 12.5, "noise": noise}});
        self.server.call("POST", "/v1/track", Some(&self.basic()), call.to_string().as_bytes())
    }

    /// Sets the city of all users of the files.
    pub(crate) fn change(&self, city: &str) -> Answer {
        let changes: Vec<Json> = (0..USERS)
            .map(|user| json!({"user": format!("u{user}"), "tag": "city", "set": city}))
            .collect();
        self.server.post(
            &format!("{APP}/changes"),
            &self.admin,
            &json!({ "changes": changes, "create": true }),
        )
    }

    /// The status of a call that the server may not live to answer.
    fn tried(&self, path: &str, authorization: &str, body: &Json) -> Option<u16> {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let request = ureq::http::Request::builder()
            .method("POST")
            .uri(format!("{}{path}", self.server.base))
            .header("authorization", authorization)
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes())
            .unwrap();
        agent.run(request).ok().map(|response| response.status().as_u16())
    }

    pub(crate) fn try_event(&self, user: &str) -> Option<u16> {
        let call = json!({"userId": user, "event": "purchase", "messageId": format!("m-{user}"), "timestamp": "2026-06-20T10:00:00.000Z",
            "properties": {"sku": "live", "amount": 12.5}});
        self.tried("/v1/track", &self.basic(), &call)
    }

    pub(crate) fn try_change(&self) -> Option<u16> {
        let body =
            json!({"create": true, "changes": [{"user": "u1", "tag": "city", "set": "late"}]});
        self.tried(&format!("{APP}/changes"), &format!("Bearer {}", self.admin), &body)
    }

    pub(crate) fn try_key(&self) -> Option<u16> {
        self.tried(
            "/api/v1/keys",
            &format!("Bearer {}", self.admin),
            &json!({"role": "viewer", "app": "corner"}),
        )
    }

    fn basic(&self) -> String {
        use base64::Engine;
        format!(
            "Basic {}",
            base64::engine::general_purpose::STANDARD.encode(format!("{}:", self.write))
        )
    }

    pub(crate) fn key(&self, note: &str) -> Answer {
        self.server.post(
            "/api/v1/keys",
            &self.admin,
            &json!({"role": "viewer", "app": "corner", "note": note}),
        )
    }

    /// The run at its end; the refusal to begin one.
    pub(crate) fn produce(&self) -> Result<Json, Answer> {
        let begun = self.server.post(
            &format!("{APP}/produce"),
            &self.admin,
            &json!({"as_of": "2030-01-01T00:00"}),
        );
        if begun.status >= 300 {
            return Err(begun);
        }
        let id = begun.json()["id"].as_str().unwrap().to_owned();
        Ok(eventually("the end of a production", || {
            let run = self.server.get(&format!("{APP}/runs/{id}?wait_ms=20000"), &self.admin);
            (run.status == 200 && run.json()["state"] != "running").then(|| run.json())
        }))
    }

    /// For whom an expression holds.
    pub(crate) fn users(&self, expression: &str) -> BTreeSet<String> {
        let answer = self.server.post(
            &format!("{APP}/sample"),
            &self.admin,
            &json!({"expression": expression, "size": 10_000}),
        );
        assert_eq!(answer.status, 200, "{}", text(&answer));
        answer.json()["users"]
            .as_array()
            .unwrap()
            .iter()
            .map(|user| user.as_str().unwrap().to_owned())
            .collect()
    }

    /// Everything that is asked of a shop, as text; where it is refused, the refusal.
    pub(crate) fn answers(&self) -> Vec<String> {
        let post =
            |path: &str, body: Json| self.server.post(&format!("{APP}/{path}"), &self.admin, &body);
        let samples = [
            "purchases >= 5",
            "spend_30d >= 50",
            "favourite == \"s1\"",
            "city is set",
            "band == \"high\"",
            "!(purchases >= 4)",
        ];
        let mut answers: Vec<String> = samples
            .iter()
            .map(|expression| {
                let answer = post("sample", json!({"expression": expression, "size": 10_000}));
                match answer.status {
                    200 => {
                        let mut users: Vec<String> =
                            serde_json::from_value(answer.json()["users"].clone()).unwrap();
                        users.sort();
                        format!("{expression}: {}", users.join(" "))
                    }
                    _ => text(&answer),
                }
            })
            .collect();
        for path in [
            "crowds/high_spenders/export",
            "crowds/others/export",
            "definitions",
            "profile?user=u7",
        ] {
            answers.push(text(&self.server.get(&format!("{APP}/{path}"), &self.admin)));
        }
        let tags = self.server.get(&format!("{APP}/tags"), &self.admin);
        answers.push(match tags.status {
            200 => tags.json()["tags"]
                .as_array()
                .unwrap()
                .iter()
                .map(|tag| format!("{} {} {}; ", tag["name"], tag["users"], tag["sum"]))
                .collect(),
            _ => text(&tags),
        });
        answers
    }
}

/// Status and body.
pub(crate) fn text(answer: &Answer) -> String {
    format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
}
